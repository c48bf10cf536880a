//! The ends of connections: announced, cut off, and drained.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use rustix::process::Signal;
use sinbin_tests::{eventually, replies};

use crate::certificates::Certificates;
use crate::{HOSTS, Host, connect, end, rest};

#[test]
fn an_end_that_is_not_announced_is_a_failure() {
    let certificates = Certificates::new("truncation");
    let config = certificates.client();
    for host in HOSTS {
        let server = host.start("fib", &certificates, &[]);
        let mut client = connect(&server, &config);
        client.write_all(b"10\n").expect("sent");
        let mut answer = [0; 3];
        client.read_exact(&mut answer).expect("received");
        // The request lacks its newline: without TLS, the end of the stream would complete it.
        client.write_all(b"20").expect("sent");
        client.sock.shutdown(Shutdown::Write).expect("ended");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).ok();
        assert_eq!(answer, b"", "{host:?}");
        let ended = server.stop();
        assert!(ended.stdout.contains("1 connections failed"), "{host:?}: {}", ended.stdout);
    }
}

#[test]
fn open_connections_are_drained_and_told() {
    let certificates = Certificates::new("drain");
    let config = certificates.client();
    for host in HOSTS {
        let server = host.start("fib", &certificates, &["--drain-timeout", "1h"]);
        let mut idle = connect(&server, &config);
        idle.write_all(b"1\n").expect("sent");
        idle.read_exact(&mut [0; 2]).expect("received");
        let mut busy = connect(&server, &config);
        busy.write_all(b"1\n").expect("sent");
        busy.read_exact(&mut [0; 2]).expect("received");
        // While the process is stopped, the system receives requests for it.
        server.signal(Signal::STOP);
        busy.write_all(b"25\n26\n").expect("sent");
        server.signal(Signal::TERM);
        server.signal(Signal::CONT);
        assert_eq!(rest(&mut busy), replies([25, 26]).as_bytes(), "{host:?}");
        assert_eq!(rest(&mut idle), b"", "{host:?}");
        let ended = server.wait();
        assert_eq!(ended.code, Some(0), "{host:?}: {}", ended.stderr);
    }
}

#[test]
fn a_connection_that_is_cut_off_is_truncated() {
    let certificates = Certificates::new("cut");
    let config = certificates.client();
    for host in HOSTS {
        let server = host.start("fib", &certificates, &["--drain-timeout", "10ms", "--max-n", "93"]);
        let mut client = connect(&server, &config);
        // The first answer is sent in the step in which the job is submitted.
        client.write_all(b"1\n90\n").expect("sent");
        client.read_exact(&mut [0; 2]).expect("received");
        server.signal(Signal::TERM);
        let error = client.read(&mut [0]).expect_err("no announced end");
        let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{host:?}: {error}");
        assert_eq!(server.wait().code, Some(3), "{host:?}");
    }
}

/// The last bytes of an answer may still be encrypted and not sent when the service closes the connection.
#[test]
fn the_last_bytes_reach_a_client_that_reads_late() {
    let certificates = Certificates::new("late");
    let config = certificates.client();
    let requests = "90000000\n".repeat(1 << 10);
    for host in HOSTS {
        let server = host.start("upper", &certificates, &[]);
        let mut client = connect(&server, &config);
        client.sock.set_nonblocking(false).expect("blocking");
        for _ in 0..20 {
            client.write_all(requests.as_bytes()).expect("sent");
        }
        end(&mut client);
        // The server is done with its side, as far as the buffers of the system permit.
        eventually("the server has received the requests", || {
            let mut peeked = [0; 1 << 10];
            client.sock.peek(&mut peeked).is_ok_and(|count| count == peeked.len())
        });
        let received = rest(&mut client);
        let answers = received.len() - received.windows(3).filter(|bytes| bytes == b"_SB").count() * 3;
        assert_eq!(answers, requests.len() * 20, "{host:?}");
    }
}

#[test]
fn hundreds_of_idle_connections_stay_usable() {
    let certificates = Certificates::new("idle");
    let config = certificates.client();
    let server = Host::Machine.start("fib", &certificates, &[]);
    let mut clients: Vec<_> = (0..500).map(|_| connect(&server, &config)).collect();
    for client in &mut clients {
        client.write_all(b"10\n").expect("sent");
    }
    for round in 0..2 {
        for client in &mut clients {
            let mut answer = [0; 3];
            client.read_exact(&mut answer).expect("received");
            assert_eq!(&answer, b"55\n");
            if round == 0 {
                client.write_all(b"10\n").expect("sent");
            }
        }
    }
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
