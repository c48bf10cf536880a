//! Behaviour at the limits of capacity, descriptors, time, and the reading of a client.

#![cfg(unix)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use sinbin_tests::machine;
use sinbin_tests::{
    Client, ReservedPort, Server, connect, eventually, exchange, in_time, replies, run, with_longer_spans,
};
use socket2::SockRef;

/// Far more than the system buffers in flight. A server that accepts as much must be buffering it.
const FLOOD: usize = 256 << 20;

/// Repeated requests and their answers: errors, whose lines are longer than the requests, and a job at intervals.
struct Dialogue {
    requests: String,
    answers: String,
}

impl Dialogue {
    fn new() -> Self {
        let errors = "7\nx\n45678\n\n";
        let replies = "13\nerror: not an integer\nerror: n is over the limit of 45\n\
                       error: an empty line; send an integer\n";
        Self { requests: errors.repeat(200) + "14\n", answers: replies.repeat(200) + "377\n" }
    }

    /// Returns the bytes that follow the first `sent` bytes.
    fn next(&self, sent: usize) -> &[u8] {
        &self.requests.as_bytes()[sent % self.requests.len()..]
    }
}

/// The number of times that a socket must be found full, and `meanwhile` called, until its peer counts as stuck. The
/// answer to another client shows that the server has polled all its connections since.
const FULL: u32 = 100;

/// Sends requests until the peer has not accepted any for a while, calling `meanwhile` whenever the socket is full, which
/// waits for the server's answer to another client. Returns the number of accepted bytes.
fn send_until_stuck(stream: &TcpStream, dialogue: &Dialogue, mut meanwhile: impl FnMut()) -> usize {
    // A small send buffer makes the socket full sooner.
    SockRef::from(stream).set_send_buffer_size(16 << 10).expect("an option");
    stream.set_nonblocking(true).expect("an option");
    let (mut sent, mut since, mut full) = (0, Instant::now(), 0);
    // The time alone could pass while the server, or this process, is stopped.
    while full < FULL || since.elapsed() < Duration::from_millis(500) {
        let mut writer = stream;
        match writer.write(dialogue.next(sent)) {
            Ok(count) => (sent, since, full) = (sent + count, Instant::now(), 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                meanwhile();
                full += 1;
            }
            Err(error) => panic!("after {sent} bytes: {error}"),
        }
        assert!(sent < FLOOD, "the server accepts everything");
    }
    stream.set_nonblocking(false).expect("an option");
    sent
}

#[test]
fn a_client_that_never_reads_is_not_read_from_and_loses_nothing() {
    for workers in ["0", "1"] {
        let server = Server::fib(&["--workers", workers]);
        let mut other = server.client();
        other.ask(20);
        let (mut stream, dialogue) = (connect(server.address()), Dialogue::new());
        #[cfg(target_os = "linux")]
        let before = machine::resident_bytes(server.pid());
        let sent = send_until_stuck(&stream, &dialogue, || other.ask(12));
        #[cfg(target_os = "linux")]
        {
            let grown = machine::resident_bytes(server.pid()).saturating_sub(before);
            assert!(grown < 2 << 20, "{grown} bytes more, for {sent} bytes of requests");
            eventually("a loop at rest", || machine::loop_rests(server.pid()));
        }
        other.ask(21);
        // Now the client reads, and sends the rest of the dialogue.
        let mut said = String::new();
        thread::scope(|scope| {
            let (mut writer, rest) = (&stream, dialogue.next(sent));
            scope.spawn(move || {
                writer.write_all(rest).expect("the server accepts it now");
                writer.shutdown(Shutdown::Write).expect("a connected socket");
            });
            (&stream).read_to_string(&mut said).expect("all answers, and the end");
        });
        let times = sent / dialogue.requests.len() + 1;
        assert_eq!(said.len(), times * dialogue.answers.len());
        assert!(said == dialogue.answers.repeat(times), "the answers to the requests");
        assert_eq!(stream.read(&mut [0]).expect("the end again"), 0);
    }
}

#[test]
fn a_client_that_never_reads_does_not_keep_an_echo_from_others() {
    let server = Server::start("echo", &[]);
    let mut other = server.client();
    let stream = connect(server.address());
    let sent = send_until_stuck(&stream, &Dialogue::new(), || {
        other.send("hello");
        assert_eq!(other.bytes(5), b"hello");
    });
    stream.shutdown(Shutdown::Write).expect("a connected socket");
    let mut said = Vec::new();
    (&stream).read_to_end(&mut said).expect("all of it");
    assert_eq!(said.len(), sent);
}

#[test]
fn a_client_that_does_not_take_its_answers_is_closed_after_the_idle_timeout() {
    let server = Server::fib(&["--idle-timeout", "100ms"]);
    let (stream, dialogue) = (connect(server.address()), Dialogue::new());
    stream.set_nonblocking(true).expect("an option");
    let (mut writer, mut sent) = (&stream, 0);
    eventually("the end of the connection", || {
        loop {
            match writer.write(dialogue.next(sent)) {
                Ok(count) => sent += count,
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    });
    server.client().ask(20);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn a_client_that_does_not_take_its_answers_is_cut_off_at_the_end_of_the_drain() {
    // No job is in progress: a connection that is stuck here stays stuck.
    let server = Server::fib(&["--drain-timeout", "100ms", "--loop-n", "25"]);
    let stream = connect(server.address());
    let mut other = server.client();
    send_until_stuck(&stream, &Dialogue::new(), || other.ask(12));
    drop(other);
    let ended = server.stop();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stdout.contains("; 1 connections cut off"), "{}", ended.stdout);
}

#[test]
fn sixty_four_kilobytes_of_requests_in_one_write_are_all_answered() {
    for args in [["--workers", "0"], ["--workers", "2"], ["--max-buffered", "0"]] {
        let server = Server::fib(&args);
        let numbers = (0..).map(|i| if i % 500 == 499 { 20 + i / 500 % 5 } else { i % 11 });
        let (mut requests, mut asked) = (String::new(), Vec::new());
        for n in numbers {
            let line = format!("{n}\n");
            if requests.len() + line.len() > 64 << 10 {
                break;
            }
            requests += &line;
            asked.push(n);
        }
        let answers = exchange(server.address(), requests.as_bytes());
        assert!(answers == replies(asked).as_bytes(), "{args:?}");
    }
}

#[test]
fn a_port_in_use_is_told_with_its_address() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("a bound socket").to_string();
    let ended = run(&["serve", "fib", "--listen", &address]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains(&format!("cannot listen on {address}: ")), "{}", ended.stderr);
    assert!(ended.stderr.contains("in use"), "{}", ended.stderr);
}

#[test]
fn a_port_given_twice_is_in_use() {
    let port = ReservedPort::new();
    let address = port.address().to_string();
    let ended = run(&["serve", "echo", "--listen", &address, "--listen", &address]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(&format!("cannot listen on {address}: ")), "{}", ended.stderr);
}

#[test]
fn a_port_can_be_had_again_at_once_after_a_server_with_clients_has_ended() {
    let port = ReservedPort::new();
    let address = port.address().to_string();
    let server = Server::fib(&["--listen", &address]);
    // The server's side closes first, so that its sockets are the ones in TIME_WAIT.
    let mut clients: Vec<_> = (0..5).map(|_| server.client()).collect();
    clients.iter_mut().for_each(|client| client.ask(5));
    assert_eq!(server.stop().code, Some(0));
    assert!(clients.iter_mut().all(|client| client.rest().is_empty()));
    drop(clients);
    let again = Server::fib(&["--listen", &address]);
    again.client().ask(6);
}

#[test]
fn an_address_that_is_not_ours_is_told() {
    // An address of a range that is reserved for documentation.
    let ended = run(&["serve", "fib", "--listen", "192.0.2.1:1"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("cannot listen on 192.0.2.1:1: "), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

#[test]
#[cfg(target_os = "linux")]
fn without_descriptors_accepting_pauses_and_nobody_is_dropped() {
    let server = Server::fib(&[]);
    // When the client is answered, the server has opened all descriptors that it needs.
    let mut first = server.client();
    first.ask(5);
    machine::allow_descriptors(server.pid(), 10);
    let mut clients: Vec<_> = (0..25).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send("7\n");
    }
    let mut waiting = clients.split_off(10);
    for client in &mut clients {
        assert_eq!(client.line(), "13", "there was capacity for this one");
    }
    server.logs("accepting pauses");
    assert!(machine::rests(server.pid()), "the server is busy without work");
    clients.iter_mut().for_each(|client| client.ask(20));
    assert!(waiting.iter().all(Client::is_silent), "there was no capacity for these");
    // When ten connections are closed, the next ten are accepted.
    drop(clients);
    let last = waiting.split_off(10);
    for client in &mut waiting {
        assert_eq!(client.line(), "13", "it was accepted later");
    }
    assert!(machine::rests(server.pid()), "the server is busy without work");
    assert!(last.iter().all(Client::is_silent));
    drop(waiting);
    for mut client in last {
        assert_eq!(client.line(), "13", "the last ones were accepted too");
        client.ask(20);
    }
    first.ask(6);
    drop(first);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_without_descriptors_can_be_stopped() {
    let server = Server::fib(&["--drain-timeout", "1h"]);
    let mut first = server.client();
    first.ask(5);
    machine::allow_descriptors(server.pid(), 0);
    let _waiting = server.client();
    server.logs("accepting pauses");
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(first.rest(), "");
}

#[test]
#[cfg(target_os = "linux")]
fn descriptors_that_somebody_else_gives_back_are_found_as_well() {
    let server = Server::fib(&[]);
    let mut first = server.client();
    first.ask(5);
    machine::allow_descriptors(server.pid(), 0);
    let mut client = server.client();
    client.send("7\n");
    server.logs("accepting pauses");
    assert!(client.is_silent());
    // No connection is closed; the limit is raised instead.
    machine::allow_descriptors(server.pid(), 10);
    assert_eq!(client.line(), "13");
    first.ask(6);
}

#[test]
fn connections_above_the_maximum_wait_until_others_go() {
    let server = Server::fib(&["--max-connections", "3"]);
    let mut clients: Vec<_> = (0..8).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send("7\n");
    }
    let mut waiting = clients.split_off(3);
    for client in &mut clients {
        assert_eq!(client.line(), "13");
    }
    for _ in 0..100 {
        clients.iter_mut().for_each(|client| client.ask(8));
    }
    assert!(waiting.iter().all(Client::is_silent), "three at a time");
    #[cfg(target_os = "linux")]
    assert!(machine::rests(server.pid()), "the server is busy without work");
    // Each connection that is closed makes capacity for one, in the order of arrival.
    clients.reverse();
    while let Some(gone) = clients.pop() {
        drop(gone);
        let mut next = waiting.remove(0);
        assert_eq!(next.line(), "13");
        next.ask(20);
        assert!(waiting.iter().all(Client::is_silent), "still three at a time");
        if waiting.is_empty() {
            break;
        }
        clients.insert(0, next);
    }
    assert_eq!(server.stop().code, Some(0));
}

/// An idle timeout within which a test connects and sends, unless the machine stalls.
const IDLE: Duration = Duration::from_millis(100);

#[test]
fn a_silent_connection_is_closed_after_the_idle_timeout() {
    for service in ["fib", "echo", "upper"] {
        with_longer_spans(IDLE, |idle| {
            let server = Server::start(service, &["--idle-timeout", &format!("{}ms", idle.as_millis())]);
            let mut never_spoke = server.client();
            let begin = Instant::now();
            let mut spoke = server.client();
            spoke.send("5\n");
            let mut half_a_line = server.client();
            half_a_line.send("5\n5");
            in_time(begin, idle)?;
            assert_eq!(never_spoke.rest(), "", "{service}");
            assert!(spoke.rest().starts_with('5'), "{service}");
            assert!(half_a_line.rest().starts_with('5'), "{service}");
            assert_eq!(server.stop().code, Some(0));
            Ok(())
        });
    }
}

#[test]
fn a_client_that_waits_for_a_job_is_not_idle() {
    for workers in ["0", "1"] {
        with_longer_spans(IDLE, |idle| {
            let idle_timeout = format!("{}ms", idle.as_millis());
            let args = ["--idle-timeout", &idle_timeout, "--workers", workers, "--max-n", "93"];
            let server = Server::fib(&args);
            let begin = Instant::now();
            let mut patient = server.client();
            patient.send("1\n93\n");
            in_time(begin, idle)?;
            assert_eq!(patient.line(), "1");
            // Clients that came much later are closed meanwhile.
            for _ in 0..3 {
                assert_eq!(server.client().rest(), "");
            }
            assert!(patient.is_silent(), "{workers} workers");
            Ok(())
        });
    }
}

#[test]
fn the_idle_timeout_can_be_off() {
    let server = Server::fib(&["--idle-timeout", "off"]);
    let mut client = server.client();
    client.ask(5);
    let other = Server::fib(&["--idle-timeout", "200ms"]);
    eventually("the end of another server's client", || other.client().rest().is_empty());
    client.ask(6);
}

/// A deadline ends busy polling of any duration, and so does a signal.
#[test]
fn busy_polling_is_no_longer_than_a_deadline_and_a_stop() {
    let server = Server::start("echo", &["--busy-poll", "1000000", "--idle-timeout", "300ms"]);
    assert_eq!(server.client().rest(), "", "closed after the idle timeout");
    let _idle = server.client();
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
