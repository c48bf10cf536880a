//! Code written for `embedded-io-async` and `edge-nal`, without knowledge of sinbin, on its sockets.

use std::cell::Cell;
use std::fmt::{Debug, Display};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use edge_http::io::client::Connection as Ask;
use edge_http::io::server::{Connection, Handler, Server};
use edge_http::{DEFAULT_MAX_HEADERS_COUNT, Method, io::Error as HttpError};
use edge_nal::{Close, Readable, TcpAccept, TcpBind, TcpConnect, TcpShutdown, TcpSplit};
use embedded_io_async::{Error as _, ErrorKind, Read, ReadExactError, Write};
use sinbin::IoError;
use sinbin::kernel::Op;
use sinbin::task::{Either, Error, Handle, Listener, WaitError, join, select};

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn io(result: &Result<impl Debug, Error>) -> (Option<IoError>, ErrorKind) {
    let error = result.as_ref().expect_err("the operation fails");
    (error.io(), error.kind())
}

/// Sends back all bytes until the end of the stream. Returns their number.
async fn echo<T: Read + Write + TcpShutdown>(mut socket: T) -> Result<usize, T::Error> {
    let (mut buf, mut sum) = ([0; 1000], 0);
    loop {
        let count = socket.read(&mut buf).await?;
        if count == 0 {
            socket.close(Close::Write).await?;
            return Ok(sum);
        }
        socket.write_all(&buf[..count]).await?;
        socket.flush().await?;
        sum += count;
    }
}

async fn serve<A: TcpAccept>(acceptor: &A, connections: usize) -> Result<usize, A::Error> {
    let mut sum = 0;
    for _ in 0..connections {
        let (peer, socket) = acceptor.accept().await?;
        assert!(peer.ip().is_loopback() && peer.port() > 0, "{peer}");
        sum += echo(socket).await?;
    }
    Ok(sum)
}

/// Sends `count` bytes and reads them back at the same time.
async fn exchange<S: TcpConnect>(stack: &S, address: SocketAddr, count: usize) -> Result<(), S::Error> {
    let bytes: Vec<_> = (0..=250).cycle().take(count).collect();
    let mut back = vec![0; count];
    let mut socket = stack.connect(address).await?;
    {
        let (mut from, mut to) = socket.split();
        let receive = async {
            from.readable().await?;
            match from.read_exact(&mut back).await {
                Ok(()) => Ok(()),
                Err(ReadExactError::Other(error)) => Err(error),
                Err(ReadExactError::UnexpectedEof) => panic!("unexpected end of the stream"),
            }
        };
        let (sent, received) = join(to.write_all(&bytes), receive).await;
        sent.and(received)?;
    }
    assert!(back == bytes, "all bytes come back unchanged");
    socket.close(Close::Both).await?;
    assert_eq!(socket.read(&mut back).await?, 0, "the other end is half-closed too");
    Ok(())
}

#[test]
fn what_knows_only_the_traits_connects_binds_accepts_and_splits() {
    async fn both<S: TcpConnect>(handle: &S, listener: Listener<'_>) -> usize {
        let clients = async {
            // More bytes than the sockets' buffers hold, so that both directions have to wait.
            for count in [1, 1000, 8 << 20] {
                exchange(handle, listener.address(), count).await.expect("a connection");
            }
        };
        join(serve(&listener, 3), clients).await.0.expect("three connections")
    }
    let sum = sinbin::run(async |handle| {
        let listener = TcpBind::bind(&handle, ANY).await.expect("a free port");
        both(&handle, listener).await
    });
    assert_eq!(sum.expect("a loop"), 1001 + (8 << 20));
}

#[test]
fn what_cannot_be_done_is_an_error_with_a_kind() {
    let done = sinbin::run(async |handle| {
        let listener = handle.listen(ANY).expect("a free port");
        let (client, server) = join(handle.connect(listener.address()), listener.accept()).await;
        let (mut client, mut server) = (client.expect("a client"), server.expect("a server").0);
        assert_eq!(io(&client.abort().await), (Some(IoError::Unsupported), ErrorKind::Unsupported));

        // Reading into an empty buffer and writing no bytes do not wait.
        assert_eq!(client.read(&mut []).await, Ok(0));
        assert_eq!(client.write(&[]).await, Ok(0));

        // A direction that is closed cannot be written to. The other direction still works.
        server.close(Close::Write).await.expect("a connection");
        assert_eq!(io(&server.write(b"more").await), (Some(IoError::Reset), ErrorKind::ConnectionReset));
        client.readable().await.expect("a connection");
        assert_eq!(client.read(&mut [0; 8]).await, Ok(0));
        client.write_all(&[7; 1000]).await.expect("a connection");
        client.close(Close::Both).await.expect("a connection");
        server.close(Close::Read).await.expect("it reads to the end");
        assert_eq!(server.read(&mut [0; 8]).await, Ok(0));
        let whole = server.read_exact(&mut [0; 8]).await;
        assert_eq!(whole, Err(ReadExactError::UnexpectedEof));

        // A task that is cancelled while it waits gets an error whose kind does not suggest a retry.
        let (client, server) = join(handle.connect(listener.address()), listener.accept()).await;
        let (client, mut server) = (client?, server?.0);
        let kind = Rc::new(Cell::new(None));
        let told = Rc::clone(&kind);
        let mut waits = handle.spawn(async move {
            let refused = server.read(&mut [0; 8]).await;
            told.set(refused.err().map(|error| error.kind()));
        })?;
        handle.yield_now().await;
        waits.cancel();
        // The join may report either that the task ended or that it was cancelled. This test does not depend on which.
        waits.join().await.ok();
        assert_eq!(kind.get(), Some(ErrorKind::ConnectionAborted));
        drop(client);
        Ok::<_, Error>(())
    });
    assert_eq!(done.expect("a loop"), Ok(()));
}

#[test]
fn a_connection_that_is_refused_is_an_error() {
    // A socket that is bound and does not listen, so that no other process gets the port meanwhile.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&ANY.into()).expect("a free port");
    let nobody = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
    let refused =
        sinbin::run(async |handle| TcpConnect::connect(&handle, nobody).await.map(|_| ())).expect("a loop");
    assert!(matches!(refused, Err(Error::Address { op: Op::Connect, .. })), "{refused:?}");
}

struct Hello;

impl Handler for Hello {
    type Error<E>
        = HttpError<E>
    where
        E: Debug;

    async fn handle<T: Read + Write + TcpSplit, const N: usize>(
        &self,
        _: impl Display + Copy,
        conn: &mut Connection<'_, T, N>,
    ) -> Result<(), HttpError<T::Error>> {
        let body = format!("you asked for {}", conn.headers()?.path);
        conn.initiate_response(200, None, &[]).await?;
        conn.write_all(body.as_bytes()).await
    }
}

async fn ask<S: TcpConnect>(
    stack: &S,
    address: SocketAddr,
    path: &str,
) -> Result<String, HttpError<S::Error>> {
    let mut buf = [0; 2048];
    let mut conn: Ask<'_, S, DEFAULT_MAX_HEADERS_COUNT> = Ask::new(&mut buf, stack, address);
    let mut said = Vec::new();
    for _ in 0..2 {
        conn.initiate_request(true, Method::Get, path, &[("Host", "sinbin")]).await?;
        conn.initiate_response().await?;
        let mut chunk = [0; 100];
        loop {
            match conn.read(&mut chunk).await? {
                0 => break,
                count => said.extend_from_slice(&chunk[..count]),
            }
        }
        conn.complete().await?;
    }
    conn.close().await?;
    Ok(String::from_utf8(said).expect("text"))
}

/// Runs clients against a server of `edge-http`. The server's four handlers share one task and one listener; each
/// client is a task.
fn ask_edge_http(keep_alive: Option<u32>) {
    let ended = sinbin::run(async |handle| {
        let listener = handle.listen(ANY).expect("a free port");
        let address = listener.address();
        let mut server = Server::<4>::new();
        let clients = async {
            let mut clients: Vec<_> = (0..10)
                .map(|n| {
                    // The future is large, and an error of `spawn` would contain it.
                    handle
                        .spawn(Box::pin(async move {
                            let path = format!("/{n}");
                            (ask(&handle, address, &path).await.expect("an answer"), path)
                        }))
                        .map_err(WaitError::from)
                })
                .collect::<Result<_, _>>()?;
            for client in &mut clients {
                let (said, path) = client.join().await.expect("it is not cancelled");
                assert_eq!(said, format!("you asked for {path}").repeat(2));
            }
            Ok::<_, WaitError>(())
        };
        match select(server.run(keep_alive, listener, Hello), clients).await {
            Either::First(ended) => panic!("the server ended: {ended:?}"),
            Either::Second(asked) => asked,
        }
    });
    assert_eq!(ended.expect("a loop"), Ok(()));
}

#[test]
fn the_server_and_the_client_of_edge_http_run_as_they_are() {
    ask_edge_http(None);
}

#[test]
fn a_server_of_edge_http_may_have_the_timeouts_of_embassy_time() {
    ask_edge_http(Some(10_000));
}

#[test]
fn embassy_times_timer_wakes_from_its_thread() {
    let wake_reason = sinbin::run(async |handle: Handle<'_>| {
        let mut waits = handle.spawn(embassy_time::Timer::after_millis(5))?;
        waits.join().await.expect("it is not cancelled");
        Ok::<_, WaitError>(())
    });
    assert_eq!(wake_reason.expect("the loop does not stall"), Ok(()));
}
