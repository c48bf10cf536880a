//! Slow clients: in sending a request, or in reading the answers. They must not cost the server more memory than
//! allowed, and must not occupy a slot for longer than the timeouts.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, unused_imports, reason = "most tests here read /proc")
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sinbin_tests::{Server, connect, eventually, in_time, with_longer_spans};
use socket2::{Domain, Socket, Type};

/// The pause of a client that does a little at intervals: much shorter than each timeout here.
const PAUSE: Duration = Duration::from_millis(20);

const LATE: &str = "error: the request took too long; closing\n";

/// A number of lines whose answers exceed 2 MB, of which a narrow client's system accepts some tens of KB.
const ENOUGH: usize = 64 << 10;

/// The answer to an empty line.
const EMPTY: &str = "error: an empty line; send an integer\n";

/// Connects a client with small system buffers, so that the connection is soon stuck.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2048).expect("an option");
    #[cfg(target_os = "linux")]
    socket.set_tcp_mss(536).expect("an option");
    socket.connect(&address.into()).expect("a listener");
    socket.set_nonblocking(true).expect("an option");
    socket.into()
}

/// Sends empty lines until no line has been accepted for a while, or each client has sent [`ENOUGH`]. Returns the
/// number of lines of each.
fn send_until_stuck(streams: &[TcpStream]) -> Vec<usize> {
    let lines = [b'\n'; 4096];
    let mut sent = vec![0; streams.len()];
    let mut quiet = 0;
    while quiet < 20 {
        quiet += 1;
        for (mut stream, sent) in streams.iter().zip(&mut sent).filter(|(_, sent)| **sent < ENOUGH) {
            match stream.write(&lines) {
                Ok(count) => (*sent, quiet) = (*sent + count, 0),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "after {sent} lines"),
            }
        }
        sleep(PAUSE);
    }
    sent
}

/// Reads a byte, if one is available. Returns false at the end of the connection.
fn take_a_byte(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Returns the peak number of bytes that the process had in RAM.
#[cfg(target_os = "linux")]
fn most_memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_pid()));
    let status = status.expect("a living process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("its size") * 1024
}

/// Each client asks for far more than it reads. The server buffers no more than allowed, does not lose what it has
/// buffered, and serves the other clients.
#[cfg(target_os = "linux")]
#[test]
fn clients_that_read_nothing_cost_no_more_than_is_allowed() {
    /// Enough clients that buffering all their replies, each about 40 times as long as its request, would take 60 MiB.
    const CLIENTS: usize = 120;
    /// The blocks of one MiB, in a guest and again in its host, some windows of output, and the tables.
    const ALLOWED: u64 = 16 << 20;

    let server = Server::fib(&["--max-buffered", "1", "--reply-timeout", "off", "--idle-timeout", "off"]);
    server.client().ask(5);
    let before = most_memory(&server);
    let streams: Vec<_> = (0..CLIENTS).map(|_| narrow(server.address())).collect();
    let sent = send_until_stuck(&streams);
    server.client().ask(6);
    let grown = most_memory(&server) - before;
    assert!(grown < ALLOWED, "{} KiB more than before {CLIENTS} clients", grown >> 10);

    for (mut stream, sent) in streams.iter().zip(sent).step_by(CLIENTS / 4) {
        stream.set_nonblocking(false).expect("an option");
        stream.set_read_timeout(Some(sinbin_tests::PATIENCE)).expect("an option");
        let mut said = vec![0; sent * EMPTY.len()];
        stream.read_exact(&mut said).unwrap_or_else(|error| panic!("of {sent} answers: {error}"));
        assert!(said.chunks(EMPTY.len()).all(|line| line == EMPTY.as_bytes()), "each line is answered");
    }
}

#[test]
fn a_line_that_comes_a_byte_now_and_then_is_given_up() {
    let server = Server::fib(&["--framing", "lines", "--max-line", "65535", "--request-timeout", "400ms"]);
    let mut silent = server.client();
    let stream = connect(server.address());
    let mut said = Vec::new();
    (&stream).write_all(b"1\n").expect("the server accepts it");
    stream.set_nonblocking(true).expect("an option");
    eventually("the end of the connection", || {
        // The server may have closed the connection already.
        (&stream).write_all(b" ").ok();
        sleep(PAUSE);
        let mut chunk = [0; 256];
        match (&stream).read(&mut chunk) {
            Ok(count) => {
                said.extend_from_slice(&chunk[..count]);
                count == 0
            }
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    });
    assert_eq!(String::from_utf8_lossy(&said), format!("1\n{LATE}"));
    // Silence is no incomplete request, and other clients are not affected.
    silent.ask(7);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn requests_that_come_in_their_time_are_answered_for_longer_than_that() {
    with_longer_spans(Duration::from_secs(1), |time| {
        let time_to_send = format!("{}s", time.as_secs());
        let server = Server::fib(&["--framing", "lines", "--request-timeout", &time_to_send]);
        let mut client = server.client();
        let mut begin = Instant::now();
        client.send("1");
        for _ in 0..30 {
            sleep(time * 6 / 100);
            // The end of one request, and the beginning of the next.
            let next = Instant::now();
            client.send("0\n1");
            in_time(begin, time)?;
            assert_eq!(client.line(), "55");
            begin = next;
        }
        client.send("\n");
        in_time(begin, time)?;
        assert_eq!(client.line(), "1");
        Ok(())
    });
}

/// Returns true if the host can reset a connection whose output is stuck. In WASI 0.2 that is impossible: a command
/// that drops such a connection waits until everything is sent.
#[cfg(target_os = "linux")]
fn can_break_off() -> bool {
    !matches!(std::env::var("SINBIN_HOST").as_deref(), Ok("portable" | "stock" | "node-portable"))
}

/// Reads bytes at intervals until the server has given up the connection, and its descriptor is free.
#[cfg(target_os = "linux")]
fn is_given_up(service: &str, half_closed: bool) {
    use sinbin_tests::load::Footprint;

    if !can_break_off() {
        return;
    }
    let server = Server::start(service, &["--reply-timeout", "500ms", "--idle-timeout", "off"]);
    let mut other = server.client();
    other.send("1\n");
    assert!(other.bytes(2).starts_with(b"1"));
    let before = Footprint::descriptors(&server);
    let stream = narrow(server.address());
    let mut says_more = true;
    eventually("a place that is free again", || {
        // Sends until the socket first accepts nothing. After that, only one of the two cases continues to send.
        while says_more && (&stream).write(&[b'\n'; 4096]).is_ok() {}
        if half_closed && says_more {
            says_more = false;
            stream.shutdown(Shutdown::Write).expect("a connected socket");
        }
        take_a_byte(&stream);
        sleep(PAUSE);
        Footprint::descriptors(&server) == before
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_takes_a_byte_now_and_then_is_given_up() {
    for service in ["fib", "echo", "upper"] {
        is_given_up(service, false);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_has_said_all_and_takes_a_byte_now_and_then_is_given_up() {
    for service in ["fib", "echo"] {
        is_given_up(service, true);
    }
}

/// An incomplete request does not count as received, so a drain does not wait for the rest.
#[test]
fn half_a_request_holds_up_no_drain() {
    let server = Server::fib(&["--framing", "lines", "--request-timeout", "off", "--idle-timeout", "off"]);
    let mut clients: Vec<_> = (0..20).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send("5\n1");
        assert_eq!(client.line(), "5");
    }
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for mut client in clients {
        assert_eq!(client.rest(), "");
    }
}

/// After the server has closed a connection, it discards further input for a limited time, however much arrives.
#[test]
fn a_client_that_never_stops_sending_is_read_out_for_so_long_and_no_longer() {
    let server = Server::fib(&["--framing", "lines"]);
    let stream = connect(server.address());
    stream.set_nonblocking(true).expect("an option");
    let endless = [b'7'; 16 << 10];
    eventually("the end of the connection", || {
        for _ in 0..64 {
            match (&stream).write(&endless) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
        false
    });
    server.client().ask(8);
}
