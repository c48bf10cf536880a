//! Tests of hyper on the native loop: clients and servers are tasks of one loop.

mod loopback;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::rt::Timer as _;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use sinbin::hyper::{Executor, HttpError, Io, Server, Timer, detach};
use sinbin::task::Error;

use crate::loopback::{pair, run};

type Page = Full<Bytes>;

/// Answers with the version of the protocol and the body of the request.
async fn echo(request: Request<Incoming>) -> Result<Response<Page>, hyper::Error> {
    let mut page = format!("{:?} {} ", request.version(), request.uri().path()).into_bytes();
    page.extend(request.into_body().collect().await?.to_bytes());
    Ok(Response::new(page.into()))
}

fn request(body: &[u8]) -> Request<Page> {
    let request = Request::post("http://localhost/echo").header("host", "localhost");
    request.body(Bytes::copy_from_slice(body).into()).expect("a request")
}

async fn page(response: Response<Incoming>) -> Vec<u8> {
    response.into_body().collect().await.expect("a body").to_bytes().to_vec()
}

#[test]
fn requests_of_http1_are_answered_on_one_connection() {
    run(async |handle| {
        let (client, server) = pair(handle).await;
        let served = handle.spawn(async move { Server::new(handle).serve(server, service_fn(echo)).await });
        let (mut sender, connection) = http1::handshake(Io::new(client)).await.expect("ready");
        handle.spawn(connection).expect("room");
        for len in [0, 5, 100_000, 1 << 20] {
            let body = vec![b'x'; len];
            sender.ready().await.expect("open");
            let response = sender.send_request(request(&body)).await.expect("a response");
            assert_eq!(response.version(), Version::HTTP_11);
            let page = page(response).await;
            assert!(page.starts_with(b"HTTP/1.1 /echo ") && page.len() == 15 + len);
        }
        drop(sender);
        assert!(served.expect("room").join().await.expect("no panic").is_ok());
    });
}

#[test]
fn streams_of_http2_are_answered_at_the_same_time() {
    run(async |handle| {
        let (client, server) = pair(handle).await;
        // No response comes before the last request.
        let waiting = Rc::new((Cell::new(0), sinbin::sync::Event::new(handle)));
        let service = service_fn(move |request: Request<Incoming>| {
            let waiting = Rc::clone(&waiting);
            async move {
                waiting.0.set(waiting.0.get() + 1);
                if waiting.0.get() == 100 {
                    waiting.1.set().expect("within a task");
                }
                waiting.1.wait().await.expect("not cancelled");
                echo(request).await
            }
        });
        let served = handle.spawn(async move { Server::new(handle).serve(server, service).await });
        let (io, moves) = detach(client);
        handle.spawn(moves).expect("room");
        let (sender, connection) = http2::handshake(Executor::new(handle), io).await.expect("ready");
        let connection = handle.spawn(connection).expect("room");
        let mut tasks = Vec::new();
        for number in 0..100_usize {
            let mut sender = sender.clone();
            tasks.push(handle.spawn(async move {
                let body = vec![b'x'; number * 1000];
                let response = sender.send_request(request(&body)).await.expect("a response");
                (number, page(response).await)
            }));
        }
        for task in tasks {
            let (number, page) = task.expect("room").join().await.expect("no panic");
            assert!(page.starts_with(b"HTTP/2.0 /echo ") && page.len() == 15 + number * 1000, "{number}");
        }
        drop(sender);
        { connection }.join().await.expect("no panic").expect("a clean end");
        assert!(served.expect("room").join().await.expect("no panic").is_ok());
    });
}

/// The first bytes decide between the versions, however they arrive.
#[test]
fn the_preface_is_recognised_in_pieces() {
    run(async |handle| {
        for (pieces, answer) in [
            (&[&b"P"[..], b"RI * HTTP/2.0\r\n\r\nSM\r\n\r", b"\n\0\0\0\x04\0\0\0\0\0"][..], &b"\0\0"[..]),
            (&[b"PUT ", b"/ HTTP/1.1\r\nHost: a\r\nContent-", b"Length: 0\r\n\r\n"], b"HTTP/1.1 200 OK\r\n"),
            (&[b"PRI * HTTP/2.0\r\n\r\n", b"XX\r\n\r\n"], b"HTTP/1.1 "),
        ] {
            let (client, server) = pair(handle).await;
            let served =
                handle.spawn(async move { Server::new(handle).serve(server, service_fn(echo)).await });
            for piece in pieces {
                client.send_all(piece).await.expect("sent");
                handle.sleep(Duration::from_millis(1)).await;
            }
            let mut answered = vec![0; answer.len()];
            client.recv_exact(&mut answered).await.expect("an answer");
            assert_eq!(answered, answer);
            drop(client);
            drop(served.expect("room").join().await.expect("no panic"));
        }
    });
}

#[test]
fn a_client_that_sends_no_request_is_disconnected() {
    run(async |handle| {
        let (client, server) = pair(handle).await;
        let limited = Server::new(handle).header_timeout(Duration::from_millis(30));
        let began = Instant::now();
        handle.yield_now().await;
        let served = handle.spawn(async move { limited.serve(server, service_fn(echo)).await });
        client.send_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await.expect("sent");
        let mut rest = vec![0; 1000];
        while client.recv(&mut rest).await.expect("no reset") > 0 {}
        assert!(began.elapsed() >= Duration::from_millis(25), "not before the limit");
        let ended = served.expect("room").join().await.expect("no panic");
        assert!(matches!(ended, Err(HttpError::Late)), "{ended:?}");
    });
}

#[test]
fn a_client_that_reads_no_response_is_disconnected() {
    run(async |handle| {
        for is_http2 in [false, true] {
            let (client, server) = pair(handle).await;
            let limited = Server::new(handle).write_timeout(Some(Duration::from_millis(30)));
            let service =
                service_fn(|_| async { Ok::<_, Infallible>(Response::new(Page::from(vec![0; 64 << 20]))) });
            let served = handle.spawn(async move { limited.serve(server, service).await });
            if is_http2 {
                // The preface, a window of 2 GiB for streams and for the connection, and a request.
                client.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
                client.send_all(b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff").await.expect("sent");
                client.send_all(b"\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0").await.expect("sent");
                client.send_all(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x84\x86\x41\x01a").await.expect("sent");
            } else {
                client.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
            }
            let ended = served.expect("room").join().await.expect("no panic");
            assert!(matches!(ended, Err(HttpError::Connection(Error::Elapsed))), "{is_http2} {ended:?}");
            drop(client);
        }
    });
}

#[test]
fn a_stop_answers_what_was_requested_and_ends_idle_connections() {
    for is_http2 in [false, true] {
        run(async |handle| {
            let (client, server) = pair(handle).await;
            let (idle, idle_server) = pair(handle).await;
            let service = service_fn(move |request: Request<Incoming>| async move {
                handle.stop().expect("it stops");
                handle.sleep(Duration::from_millis(30)).await;
                echo(request).await
            });
            let idle_served =
                handle.spawn(async move { Server::new(handle).serve(idle_server, service_fn(echo)).await });
            let served = handle.spawn(async move { Server::new(handle).serve(server, service).await });
            let (io, moves) = detach(client);
            handle.spawn(moves).expect("room");
            let response = if is_http2 {
                let client = http2::handshake(Executor::new(handle), io).await;
                let (mut sender, connection) = client.expect("ready");
                handle.spawn(connection).expect("room");
                sender.send_request(request(b"last")).await
            } else {
                let (mut sender, connection) = http1::handshake(io).await.expect("ready");
                handle.spawn(connection).expect("room");
                sender.send_request(request(b"last")).await
            };
            assert!(page(response.expect("a response")).await.ends_with(b" /echo last"));
            assert!(served.expect("room").join().await.expect("no panic").is_ok());
            assert!(idle_served.expect("room").join().await.expect("no panic").is_ok());
            drop(idle);
        });
    }
}

#[test]
fn a_connection_that_fails_reports_its_error() {
    run(async |handle| {
        let (client, server) = pair(handle).await;
        let served = handle.spawn(async move { Server::new(handle).serve(server, service_fn(echo)).await });
        client.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").await.expect("sent");
        drop(client);
        let ended = served.expect("room").join().await.expect("no panic");
        assert!(ended.is_err(), "the request was not complete");
        let (client, server) = pair(handle).await;
        let served = handle.spawn(async move { Server::new(handle).serve(server, service_fn(echo)).await });
        client.send_all(b"\0\0\0").await.expect("sent");
        let ended = served.expect("room").join().await.expect("no panic");
        let ended = ended.expect_err("no request").to_string();
        assert!(ended.contains("invalid HTTP method"), "{ended}");
    });
}

/// The sleeps of a timer end in order, also within executors with wakers of their own, and can be reset and dropped.
#[test]
fn sleeps_end_while_the_timer_is_driven() {
    run(async |handle| {
        let timer = Timer::new();
        let ended = timer
            .drive(handle, async {
                let began = Instant::now();
                let dropped = timer.sleep(Duration::from_millis(1));
                let mut reset = timer.sleep(Duration::from_secs(1000));
                timer.reset(&mut reset, began + Duration::from_millis(20));
                drop(dropped);
                let mut sleeps: FuturesUnordered<_> = [30_u64, 10]
                    .into_iter()
                    .map(|millis| {
                        let sleep = timer.sleep(Duration::from_millis(millis));
                        async move {
                            sleep.await;
                            millis
                        }
                    })
                    .collect();
                let mut order = vec![sleeps.next().await];
                reset.await;
                order.push(Some(20));
                order.push(sleeps.next().await);
                assert!(began.elapsed() >= Duration::from_millis(30));
                order
            })
            .await;
        assert_eq!(ended, [Some(10), Some(20), Some(30)]);
        assert_eq!(format!("{timer:?}"), "Timer { sleeps: 0, .. }");
        // A timer that only hyper holds does not end a wait.
        let late =
            handle.timeout(Duration::from_millis(20), timer.drive(handle, pending::<Infallible>())).await;
        assert!(late.is_err());
    });
}

/// A task other than the driver's is woken as well.
#[test]
fn a_sleep_wakes_the_task_that_polls_it() {
    run(async |handle| {
        let timer = Timer::new();
        let sleep = timer.sleep(Duration::from_millis(10));
        let (ended, ends) = (Rc::new(Cell::new(false)), handle);
        let flag = Rc::clone(&ended);
        let task = ends.spawn(async move {
            sleep.await;
            flag.set(true);
        });
        timer
            .drive(handle, async {
                task.expect("room").join().await.expect("no panic");
            })
            .await;
        assert!(ended.get());
    });
}

#[test]
fn the_io_of_a_task_that_was_cancelled_fails() {
    run(async |handle| {
        let (client, _server) = pair(handle).await;
        let (io, moves) = detach(client);
        let moves = handle.spawn(moves).expect("room");
        moves.cancel();
        let (mut sender, connection) = http1::handshake(io).await.expect("ready");
        handle.spawn(connection).expect("room");
        let failed = sender.send_request(request(b"")).await.expect_err("nothing moves the bytes");
        assert!(!failed.to_string().is_empty());
    });
}
