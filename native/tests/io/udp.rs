use std::net::SocketAddr;
use std::time::Duration;

use sinbin::IoError;
use sinbin::kernel::Op;
use sinbin::net::UdpSocket;
use sinbin::task::{Error, Handle, join};

use crate::{LOCAL, run};

fn pair<'d>(handle: Handle<'d>) -> (UdpSocket<'d>, SocketAddr, UdpSocket<'d>, SocketAddr) {
    let [one, two] = [(); 2].map(|()| UdpSocket::bind(handle, LOCAL).expect("a port"));
    let [at_one, at_two] = [&one, &two].map(|socket| socket.address().expect("it is bound"));
    (one, at_one, two, at_two)
}

#[test]
fn datagrams_keep_their_lengths_and_their_senders() {
    run(async |handle| {
        let (one, at_one, two, at_two) = pair(handle);
        let mut buffer = [0; 2000];
        for len in [0, 1, 7, 1500, 2000] {
            let bytes = vec![b'x'; len];
            let (sent, received) = join(one.send_to(&bytes, at_two), two.recv_from(&mut buffer)).await;
            assert_eq!((sent, received), (Ok(()), Ok((len, at_one))));
            assert_eq!(buffer[..len], bytes);
        }
        assert_eq!(two.try_recv_from(&mut buffer), Ok(None));
    });
}

/// The datagram is reported with its sender, and later ones are received as before.
#[test]
fn a_datagram_larger_than_the_buffer_is_an_error_with_its_sender() {
    run(async |handle| {
        let (one, at_one, two, at_two) = pair(handle);
        let mut buffer = [0; 4];
        for bytes in ["hello", "1234", "again", "12"] {
            one.send_to(bytes.as_bytes(), at_two).await.expect("it is sent");
        }
        let too_long = Error::Address { op: Op::Recv, address: at_one, error: IoError::TooLong };
        assert_eq!(two.recv_from(&mut buffer).await, Err(too_long));
        assert_eq!(&buffer, b"hell");
        assert_eq!(
            too_long.to_string(),
            format!("recv from {at_one}: the datagram is larger than the buffer")
        );
        assert_eq!(two.recv_from(&mut buffer).await, Ok((4, at_one)));
        assert_eq!(two.try_recv_from(&mut buffer), Err(too_long));
        assert_eq!(two.recv(&mut buffer).await, Ok(2));
    });
}

#[test]
fn a_datagram_that_is_too_long_for_the_network_is_an_error_with_its_address() {
    run(async |handle| {
        let (one, _, _two, at_two) = pair(handle);
        let error = one.send_to(&vec![0; 70_000], at_two).await.expect_err("no datagram has so many bytes");
        assert!(
            matches!(error, Error::Address { op: Op::Send, address, .. } if address == at_two),
            "{error}"
        );
    });
}

#[test]
fn a_connected_socket_receives_from_its_peer_only_and_learns_of_a_closed_port() {
    run(async |handle| {
        let (one, at_one, two, at_two) = pair(handle);
        let (three, ..) = pair(handle);
        one.connect(at_two).expect("an address");
        let mut buffer = [0; 9];
        three.send_to(b"intruder", at_one).await.expect("it is sent");
        two.send_to(b"peer", at_one).await.expect("it is sent");
        assert_eq!(one.recv(&mut buffer).await, Ok(4));
        one.send(b"hello").await.expect("it is sent");
        assert_eq!(two.recv_from(&mut buffer).await, Ok((5, at_one)));
        drop(two);
        handle.yield_now().await;
        one.send(b"is anyone there?").await.expect("it is sent");
        let error = one.recv(&mut buffer).await.expect_err("the port is closed");
        assert_eq!(error.io(), Some(IoError::ConnectionRefused));
    });
}

#[test]
fn several_tasks_receive_in_the_order_of_their_requests() {
    let received = run(async |handle| {
        let (one, _, two, at_two) = pair(handle);
        let (mut first, mut second) = ([0; 9], [0; 9]);
        let receive = join(two.recv(&mut first), two.recv(&mut second));
        let send = async {
            handle.yield_now().await;
            one.send_to(b"a", at_two).await?;
            one.send_to(b"bc", at_two).await
        };
        join(receive, send).await.0
    });
    assert_eq!(received, (Ok(1), Ok(2)));
}

/// A datagram that has arrived before the stop is still received.
#[test]
fn receiving_ends_when_the_loop_stops() {
    let received = run(async |handle| {
        let (one, _, two, at_two) = pair(handle);
        one.send_to(b"early", at_two).await?;
        let receive = async {
            let mut all = 0;
            loop {
                match two.recv(&mut [0; 9]).await {
                    Ok(len) => all += len,
                    Err(error) if error.is_the_end() => return all,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let stop = async {
            handle.yield_now().await;
            handle.stop()
        };
        let (received, stopped) = join(receive, stop).await;
        stopped?;
        Ok::<_, Error>(received)
    });
    assert_eq!(received, Ok(5));
}

#[test]
fn a_dropped_wait_takes_no_datagram() {
    run(async |handle| {
        let (one, at_one, two, at_two) = pair(handle);
        let mut buffer = [0; 9];
        handle.timeout(Duration::ZERO, two.recv_from(&mut buffer)).await.expect_err("nothing was sent");
        one.send_to(b"hello", at_two).await.expect("it is sent");
        assert_eq!(two.recv_from(&mut buffer).await, Ok((5, at_one)));
    });
}
