use sinbin::IoError;
use sinbin::net::{copy, copy_bidirectional};
use sinbin::task::{Conn, Handle, join};

use crate::{LOCAL, run};

async fn pair(handle: Handle<'_>) -> (Conn<'_>, Conn<'_>) {
    let listener = handle.listen(LOCAL).expect("a port");
    let (client, server) = join(handle.connect(listener.address()), listener.accept()).await;
    (client.expect("it listens"), server.expect("it connects").0)
}

async fn receive_all(conn: &Conn<'_>) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        match conn.recv(&mut buffer).await.expect("it is open") {
            0 => return all,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

#[test]
fn both_directions_are_copied_with_their_ends() {
    const LOTS: usize = 3 << 20;
    run(async |handle| {
        let ((client, inner), (outer, server)) = (pair(handle).await, pair(handle).await);
        let request: Vec<u8> = (0..=250_u8).cycle().take(LOTS).collect();
        let talk = async {
            let send = async {
                client.send_all(&request).await?;
                client.shutdown()
            };
            let answer = async {
                // The server answers after the end of the request.
                let received = receive_all(&server).await;
                assert!(received == request);
                server.send_all(b"thanks").await?;
                server.shutdown()
            };
            let (sent, (answered, thanks)) = join(send, join(answer, receive_all(&client))).await;
            sent.and(answered).map(|()| thanks)
        };
        let (copied, thanks) = join(copy_bidirectional(&inner, &outer), talk).await;
        assert_eq!(copied, Ok((LOTS as u64, 6)));
        assert_eq!(thanks, Ok(b"thanks".to_vec()));
    });
}

#[test]
fn a_reset_of_one_side_ends_the_copy() {
    run(async |handle| {
        let (outer, _server) = pair(handle).await;
        let listener = handle.listen(LOCAL).expect("a port");
        let client = std::net::TcpStream::connect(listener.address()).expect("it listens");
        let (inner, _) = listener.accept().await.expect("it connects");
        let reset = async {
            handle.yield_now().await;
            socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).expect("an option");
            drop(client);
        };
        let (copied, ()) = join(copy_bidirectional(&inner, &outer), reset).await;
        assert_eq!(copied.map_err(|error| error.io()), Err(Some(IoError::Reset)));
    });
}

/// Many connections share the pipes of the loop, and their bytes do not mix.
#[test]
fn many_copies_at_once_do_not_mix() {
    run(async |handle| {
        let copies = sinbin::group::JoinSet::new(handle);
        for n in 0..40_u8 {
            copies
                .spawn(async move {
                    let ((client, inner), (outer, server)) = (pair(handle).await, pair(handle).await);
                    let send = async {
                        client.send_all(&vec![n; 200_000]).await?;
                        client.shutdown()
                    };
                    let copy = async {
                        let copied = copy(&inner, &outer).await;
                        outer.shutdown()?;
                        copied
                    };
                    let (_, (copied, received)) = join(send, join(copy, receive_all(&server))).await;
                    assert_eq!(copied, Ok(200_000));
                    assert!(received == vec![n; 200_000]);
                })
                .expect("there is room");
        }
        while let Some((_, ended)) = copies.join_next().await.expect("it may wait") {
            ended.expect("it does not panic");
        }
    });
}
