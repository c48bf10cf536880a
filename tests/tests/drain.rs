//! Ctrl-C and SIGTERM: the server answers the requests that it has received, and then ends.

#![cfg(unix)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sinbin_tests::{Client, PATIENCE, Server, connect, eventually, replies, with_longer_spans};

/// Starts a server whose drain does not end by its timeout, and that accepts requests which never end.
fn patient(args: &[&str]) -> Server {
    let mut all = vec!["--drain-timeout", "1h", "--max-n", "93"];
    all.extend(args);
    Server::fib(&all)
}

/// Connects a client whose endless job has begun.
fn busy_client(server: &Server) -> Client {
    let mut client = server.client();
    // The first answer is sent in the same step in which the job is submitted.
    client.send("1\n93\n");
    assert_eq!(client.line(), "1");
    client
}

#[test]
fn an_idle_server_ends_at_once_by_any_of_the_signals() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        for service in ["fib", "echo", "upper"] {
            let server = Server::start(service, &["--drain-timeout", "1h"]);
            // When the server answers, its start is complete.
            let mut client = server.client();
            client.send("1\n");
            let _ = client.bytes(2);
            drop(client);
            server.signal(signal);
            let ended = server.wait();
            assert_eq!(ended.code, Some(0), "{service}, {signal:?}: {}", ended.stderr);
            let said: Vec<_> = ended.stdout.lines().collect();
            assert_eq!(said.len(), 2, "{said:?}");
            assert!(said[1].starts_with("served 1 connections, "), "{said:?}");
        }
    }
}

#[test]
fn a_signal_right_after_the_first_line_is_heard() {
    for _ in 0..30 {
        let server = Server::fib(&[]);
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "a listening server can be stopped");
    }
}

#[test]
fn who_waits_in_the_backlog_when_the_signal_comes_is_answered() {
    for _ in 0..3 {
        let server = patient(&[]);
        // While the process is stopped, the system accepts connections and requests for it.
        server.signal(Signal::STOP);
        let mut clients: Vec<_> = (0..20).map(|_| server.client()).collect();
        clients.iter_mut().for_each(|client| client.send("5\n25\n"));
        server.signal(Signal::TERM);
        server.signal(Signal::CONT);
        for client in &mut clients {
            assert_eq!(client.rest(), replies([5, 25]));
        }
        assert_eq!(server.wait().code, Some(0));
    }
}

#[test]
fn no_answer_is_lost_under_load() {
    for workers in ["0", "1"] {
        for signal in [Signal::TERM, Signal::INT] {
            let server = patient(&["--workers", workers]);
            let bursts = [23, 3, 24, 1, 2, 4, 26, 25, 5, 26, 6];
            let mut clients: Vec<_> = (0..50).map(|_| server.client()).collect();
            for (number, client) in clients.iter_mut().enumerate() {
                let mut burst = vec![1];
                burst.extend(&bursts[number % bursts.len()..]);
                client.send(burst.iter().map(|n| format!("{n}\n")).collect::<String>());
            }
            // When the first answer of a burst arrives, the server's system has the rest of the burst.
            for client in &mut clients {
                assert_eq!(client.line(), "1");
            }
            server.signal(signal);
            for (number, client) in clients.iter_mut().enumerate() {
                let rest = bursts[number % bursts.len()..].iter().copied();
                assert_eq!(client.rest(), replies(rest), "{workers} workers, client {number}");
            }
            drop(clients);
            let ended = server.wait();
            assert_eq!(ended.code, Some(0), "{workers} workers: {}", ended.stderr);
            assert_eq!(ended.stdout.lines().count(), 2, "{}", ended.stdout);
            assert!(ended.stdout.contains("served 50 connections"), "{}", ended.stdout);
        }
    }
}

#[test]
fn a_connection_whose_job_ends_during_the_drain_is_closed_then() {
    for workers in ["0", "1"] {
        let server = patient(&["--workers", workers]);
        let mut client = server.client();
        // Usually long enough for the drain to begin meanwhile.
        client.send("1\n32\n");
        assert_eq!(client.line(), "1");
        server.signal(Signal::TERM);
        server.logs("draining");
        // The client neither closes nor sends anything else.
        assert_eq!(client.rest(), replies([32]), "{workers} workers");
        let ended = server.wait();
        assert_eq!(ended.code, Some(0), "{workers} workers: {}", ended.stderr);
    }
}

#[test]
fn what_lies_unread_in_the_server_when_the_drain_begins_is_answered() {
    for workers in ["0", "1"] {
        let server = patient(&["--workers", workers]);
        let mut client = server.client();
        // While a job is in progress, the server reads nothing behind its first read.
        let numbers = || (0..12_000).map(|i| if i % 4000 == 3999 { 24 } else { i % 10 });
        client.send("1\n33\n");
        assert_eq!(client.line(), "1");
        client.send(numbers().map(|n| format!("{n}\n")).collect::<String>());
        server.signal(Signal::TERM);
        let expected = replies([33]) + &replies(numbers());
        assert!(client.rest() == expected, "{workers} workers");
        drop(client);
        assert_eq!(server.wait().code, Some(0), "{workers} workers");
    }
}

#[test]
fn clients_that_are_idle_are_closed_and_lose_nothing() {
    let server = patient(&[]);
    let mut clients: Vec<_> = (0..20).map(|_| server.client()).collect();
    clients.iter_mut().for_each(|client| client.ask(20));
    server.signal(Signal::TERM);
    // The clients stay connected, and the server ends nevertheless.
    let ended = server.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(clients.iter_mut().all(|client| client.rest().is_empty()));
}

#[test]
fn clients_that_go_on_asking_do_not_keep_the_server_from_its_end() {
    for clients in [1, 8] {
        let server = patient(&["--workers", "1"]);
        thread::scope(|scope| {
            let (tell, told) = channel();
            for _ in 0..clients {
                let (mut stream, tell) = (connect(server.address()), tell.clone());
                // Each client sends the next request when it has an answer, until no more answers arrive.
                scope.spawn(move || {
                    let mut answer = [0; 2];
                    while stream.write_all(b"1\n").is_ok() && stream.read_exact(&mut answer).is_ok() {
                        assert_eq!(&answer, b"1\n");
                        tell.send(()).ok();
                    }
                });
            }
            for _ in 0..100 {
                told.recv_timeout(PATIENCE).expect("answers");
            }
            let ended = server.stop();
            assert_eq!(ended.code, Some(0), "{clients} clients: {}", ended.stderr);
        });
    }
}

#[test]
fn half_a_line_is_not_taken_for_a_request_by_the_drain() {
    let server = patient(&[]);
    let mut client = server.client();
    client.send("1\n3");
    assert_eq!(client.line(), "1");
    server.signal(Signal::TERM);
    // The client may have meant 35: it has ended neither its line nor its stream.
    assert_eq!(client.rest(), "", "no answer to an incomplete request");
    drop(client);
    assert_eq!(server.wait().code, Some(0));
}

#[test]
fn new_connections_are_refused_during_the_drain() {
    let server = patient(&["--workers", "1"]);
    let _busy = busy_client(&server);
    server.signal(Signal::TERM);
    server.logs("draining");
    eventually("a refusal", || match TcpStream::connect(server.address()) {
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    });
}

#[test]
fn clients_that_wait_for_room_do_not_keep_the_drain_from_its_end() {
    let server = patient(&["--max-connections", "1"]);
    let mut served = server.client();
    served.ask(5);
    let _waiting = server.client();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code, Some(0));
    assert_eq!(served.rest(), "");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for workers in ["0", "1"] {
        let server = patient(&["--workers", workers]);
        let _busy = busy_client(&server);
        server.signal(Signal::INT);
        server.logs("draining");
        server.signal(Signal::TERM);
        let ended = server.wait();
        assert_eq!(ended.code, Some(130), "{workers} workers: {}", ended.stderr);
    }
}

#[test]
fn when_the_time_to_drain_is_over_the_rest_is_cut_off() {
    for workers in ["0", "1"] {
        with_longer_spans(Duration::from_secs(1), |time| {
            let time_to_drain = format!("{}s", time.as_secs());
            let args = ["--drain-timeout", &time_to_drain, "--max-n", "93", "--workers", workers];
            let server = Server::fib(&args);
            let mut busy = busy_client(&server);
            let mut quick = server.client();
            quick.send("1\n20\n");
            assert_eq!(quick.line(), "1");
            let begin = Instant::now();
            server.signal(Signal::TERM);
            let answered = quick.rest();
            if answered != replies([20]) {
                // The server may have had no time for the answer.
                assert!(begin.elapsed() >= time, "{workers} workers: cut off too early: {answered:?}");
                return Err(format!("{workers} workers: an answered client is cut off: {answered:?}"));
            }
            assert_eq!(busy.rest(), "", "{workers} workers");
            drop((busy, quick));
            let ended = server.wait();
            assert_eq!(ended.code, Some(3), "{workers} workers: {}", ended.stderr);
            assert!(ended.stderr.contains("the time to drain is over"), "{}", ended.stderr);
            let summary = ended.stdout.lines().last().expect("a summary");
            assert!(summary.contains("; 1 connections cut off"), "{workers} workers: {summary}");
            Ok(())
        });
    }
}

#[test]
fn the_job_of_a_connection_that_is_cut_off_is_cancelled() {
    let server = Server::fib(&["--drain-timeout", "100ms", "--max-n", "93"]);
    let _busy = busy_client(&server);
    let ended = server.stop();
    assert_eq!(ended.code, Some(3));
    let summary = ended.stdout.lines().last().expect("a summary");
    assert!(summary.contains("1 jobs cancelled"), "{summary}");
    assert!(!summary.contains("failed"), "it is cut off, and did not fail: {summary}");
}

#[test]
fn an_echo_gives_back_what_it_has_got_before_it_ends() {
    let server = Server::start("echo", &["--drain-timeout", "1h"]);
    let mut client = server.client();
    let bytes = "0123456789".repeat(2000);
    client.send(&bytes);
    let _ = client.bytes(1);
    server.signal(Signal::TERM);
    assert!(client.rest() == bytes[1..]);
    drop(client);
    assert_eq!(server.wait().code, Some(0));
}
