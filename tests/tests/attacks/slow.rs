//! Clients that take their time: to send a request, or to take what they asked for. They cost the server no more memory
//! than it was given, and keep no place for longer than its timeouts say.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, unused_imports, reason = "most tests here look into /proc")
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use sinbin_tests::{Server, connect, eventually};
use socket2::{Domain, Socket, Type};

/// The pause of a client that does a little now and then: much shorter than each timeout here.
const PAUSE: Duration = Duration::from_millis(20);

const LATE: &str = "error: the request took too long; closing\n";

/// A number of lines whose answers are more than 2 MB, of which a narrow client's system takes some tens of KB.
const ENOUGH: usize = 64 << 10;

/// The answer to an empty line.
const EMPTY: &str = "error: an empty line; send an integer\n";

/// A client for which little fits into the system's buffers, so that it is soon stuck.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2048).expect("an option");
    #[cfg(target_os = "linux")]
    socket.set_tcp_mss(536).expect("an option");
    socket.connect(&address.into()).expect("a listener");
    socket.set_nonblocking(true).expect("an option");
    socket.into()
}

/// Sends empty lines until none has been taken for a while, or [`ENOUGH`] by each; returns how many were.
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

/// Takes a byte, if one is there. Returns false at the end of the connection.
fn take_a_byte(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// How many bytes the process has had in RAM at a time.
#[cfg(target_os = "linux")]
fn most_memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_pid()));
    let status = status.expect("a living process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("its size") * 1024
}

/// Each asks for far more than it takes. What waits in the process is what was allowed; what was allowed to wait is not
/// lost, and the others are served.
#[cfg(target_os = "linux")]
#[test]
fn clients_that_read_nothing_cost_no_more_than_is_allowed() {
    /// Enough clients that replies which are kept, some 40 times as long as the requests, would take 60 MiB.
    const CLIENTS: usize = 120;
    /// The blocks of one MiB, in a guest and once more in its host; some turns' worth of windows; and tables.
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
    (&stream).write_all(b"1\n").expect("it is taken");
    stream.set_nonblocking(true).expect("an option");
    eventually("the end of the connection", || {
        // The server may have gone away already.
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
    // Silence is no request, and others are not concerned.
    silent.ask(7);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn requests_that_come_in_their_time_are_answered_for_longer_than_that() {
    let server = Server::fib(&["--framing", "lines", "--request-timeout", "1s"]);
    let mut client = server.client();
    client.send("1");
    for _ in 0..30 {
        sleep(PAUSE * 3);
        // The end of one request, and the beginning of the next.
        client.send("0\n1");
        assert_eq!(client.line(), "55");
    }
    client.send("\n");
    assert_eq!(client.line(), "1");
}

/// WASI 0.2 has no way to break off a connection whose output is stuck: a command that drops one waits until all is sent.
#[cfg(target_os = "linux")]
fn can_break_off() -> bool {
    !matches!(std::env::var("SINBIN_HOST").as_deref(), Ok("portable" | "stock" | "node-portable"))
}

/// Takes bytes now and then until the server has given the connection up, and its descriptor is free.
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
        // As much as is taken, until nothing is for the first time; then only one of the two goes on.
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

/// A part of a request was not received: a drain does not wait for its rest.
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

/// A connection that the server has closed is read out for a while, and no longer, however much still comes.
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
