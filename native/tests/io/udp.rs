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

/// Sizes, among them some that the system does not send together.
const SIZES: [usize; 6] = [1, 100, 1200, 9000, 40_000, 65_507];

#[test]
fn segments_are_sent_as_datagrams_of_their_size() {
    run(async |handle| {
        let (one, at_one, two, at_two) = pair(handle);
        let mut buffer = vec![0; 65_507];
        for size in SIZES {
            // Not more than fits the receive buffer: what does not is lost.
            let len = (size * 3 + size / 2).min(90_000);
            let bytes: Vec<u8> = (0..=250_u8).cycle().take(len).collect();
            let receive = async {
                for piece in bytes.chunks(size) {
                    assert_eq!(two.recv_from(&mut buffer).await, Ok((piece.len(), at_one)), "{size}");
                    assert!(buffer[..piece.len()] == *piece);
                }
            };
            let (sent, ()) = join(one.send_segments(&bytes, size, at_two), receive).await;
            assert_eq!(sent, Ok(()));
        }
        assert_eq!(one.send_segments(&[], 1, at_two).await, Ok(()));
        assert_eq!(two.try_recv_from(&mut buffer), Ok(None));
    });
}

/// More segments than one system call takes. They keep their order, their sizes and their sender.
#[test]
fn many_segments_are_received_in_few_pieces() {
    const COUNT: usize = 150;
    run(async |handle| {
        let (one, at_one, two, at_two) = pair(handle);
        let mut buffer = vec![0; 64 * 1024];
        // The system joins from the first call on.
        handle.timeout(Duration::ZERO, two.recv_segments(&mut buffer)).await.expect_err("nothing was sent");
        let bytes: Vec<u8> = (0..150_u8).flat_map(|byte| [byte; 100]).collect();
        one.send_segments(&bytes[..bytes.len() - 1], 100, at_two).await.expect("they are sent");
        let (mut pieces, mut received) = (0, 0);
        while received < COUNT {
            let segments = two.recv_segments(&mut buffer).await.expect("they were sent");
            assert_eq!(segments.from(), at_one);
            for segment in segments.iter() {
                let len = if received == COUNT - 1 { 99 } else { 100 };
                assert_eq!(segment, &vec![bytes[received * 100]; len]);
                received += 1;
            }
            pieces += 1;
        }
        if cfg!(target_os = "linux") {
            assert_eq!(pieces, COUNT.div_ceil(64));
        }
    });
}

#[test]
fn segments_are_told_from_other_datagrams() {
    run(async |handle| {
        let (one, at_one, two, at_two) = pair(handle);
        let mut buffer = [0; 250];
        handle.timeout(Duration::ZERO, two.recv_segments(&mut buffer)).await.expect_err("nothing was sent");
        // An empty datagram, and three that are not joined with others.
        for len in [0, 1, 7, 250] {
            one.send_to(&vec![1; len], at_two).await.expect("it is sent");
            let segments = two.recv_segments(&mut buffer).await.expect("it was sent");
            assert_eq!((segments.from(), segments.iter().len()), (at_one, 1));
            assert_eq!(segments.iter().next(), Some(&*vec![1; len]));
        }
        // A datagram larger than the buffer, and on Linux, three that are joined.
        one.send_to(&[1; 251], at_two).await.expect("it is sent");
        let too_long = Err(Error::Address { op: Op::Recv, address: at_one, error: IoError::TooLong });
        assert_eq!(two.recv_segments(&mut buffer).await.map(|segments| segments.size()), too_long);
        if cfg!(target_os = "linux") {
            one.send_segments(&[1; 300], 100, at_two).await.expect("they are sent");
            assert_eq!(two.recv_segments(&mut buffer).await.map(|segments| segments.size()), too_long);
        }
        // The functions for single datagrams refuse to receive several.
        let unsupported = two.recv_from(&mut buffer).await.expect_err("datagrams may be joined");
        assert_eq!(unsupported.io(), Some(IoError::Unsupported));
        let unsupported = two.try_recv_from(&mut buffer).expect_err("datagrams may be joined");
        assert_eq!(unsupported.io(), Some(IoError::Unsupported));
    });
}

#[test]
fn segments_by_version_6_of_ip_are_sent_and_received() {
    run(async |handle| {
        let local = "[::1]:0".parse().expect("an address");
        let Ok(one) = UdpSocket::bind(handle, local) else { return };
        let two = UdpSocket::bind(handle, local).expect("a port");
        let [at_one, at_two] = [&one, &two].map(|socket| socket.address().expect("it is bound"));
        let mut buffer = vec![0; 64 * 1024];
        handle.timeout(Duration::ZERO, two.recv_segments(&mut buffer)).await.expect_err("nothing was sent");
        one.send_segments(&[7; 6400], 100, at_two).await.expect("they are sent");
        let mut count = 0;
        while count < 64 {
            let segments = two.recv_segments(&mut buffer).await.expect("they were sent");
            assert_eq!((segments.from(), segments.size()), (at_one, 100));
            count += segments.iter().len();
        }
    });
}
