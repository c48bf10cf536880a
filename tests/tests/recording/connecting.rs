//! Guests that connect to other servers: the connections are those of the host, and a replay has none.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use sinbin_tests::{ReservedPort, Server, connect};

use crate::{path, replay_in_sandbox, sandboxed, stop};

/// Starts a server that sends back what it receives in upper case, to `clients` clients in turn.
fn upstream(clients: usize) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let serve = move || {
        for _ in 0..clients {
            let (mut client, _) = listener.accept().expect("a client");
            let mut all = Vec::new();
            client.read_to_end(&mut all).expect("it sends something");
            client.write_all(&all.to_ascii_uppercase()).expect("it receives the answer");
        }
    };
    (address, thread::spawn(serve))
}

/// Starts `forward.wasm`, which forwards to `to`, with permission for `allowed`.
fn forward(recording: &std::path::Path, to: &str, allowed: &[&str]) -> Server {
    let allow = allowed.iter().flat_map(|allowed| ["--allow-connect", allowed]);
    sandboxed("forward.wasm", recording, &allow.chain(["--", to]).collect::<Vec<_>>())
}

#[test]
fn a_forwarder_is_recorded_and_replayed_without_a_network() {
    let recording = path("forward");
    let (address, upstream) = upstream(3);
    let server = forward(&recording, &format!("localhost:{}", address.port()), &[&address.to_string()]);
    let large = "what is said through another ".repeat(30_000);
    for text in ["hello", "", &large] {
        assert_eq!(server.ask(text), text.to_ascii_uppercase());
    }
    upstream.join().expect("it has served three clients");
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("; 3 connections made for the guest"), "{}", ended.stdout);
    // The server is gone, and its port closed.
    let played = replay_in_sandbox(&recording, "forward.wasm", &["--trace"]);
    assert_eq!(played.code, Some(0), "{}", played.stderr);
    assert!(played.stderr.contains("all answers match"), "{}", played.stderr);
    assert_eq!(played.stdout.matches("  -> connect by request ").count(), 3);
    assert_eq!(played.stdout.matches(&format!(" to {address}\n")).count(), 3, "{:.2000}", played.stdout);
}

#[test]
fn without_permission_nothing_is_connected() {
    let (address, _upstream) = upstream(1);
    let other = format!("127.0.0.1:{}", address.port().wrapping_add(1).max(1));
    for (allowed, to) in [
        (&[][..], address.to_string()),
        (&[other.as_str()], address.to_string()),
        // A permission by name, and one for all public addresses, do not permit the loopback address.
        (&["localhost.example:*", "*:*"], format!("localhost:{}", address.port())),
        (&["*:*"], format!("[::ffff:127.0.0.1]:{}", address.port())),
        (&["*:*"], format!("0.0.0.0:{}", address.port())),
    ] {
        let recording = path("forbidden");
        let server = forward(&recording, &to, allowed);
        assert_eq!(server.ask("hello"), "", "{to}");
        server.logs("the guest may not connect there; see --allow-connect");
        stop(server);
        let played = replay_in_sandbox(&recording, "forward.wasm", &["--trace"]);
        assert_eq!(played.code, Some(0), "{}", played.stderr);
        assert!(
            played.stdout.contains(" failed: operation not supported by the host\n"),
            "{}",
            played.stdout
        );
    }
    // The upstream server has seen no client: this is the first one.
    let mut client = connect(address);
    client.write_all(b"first").expect("it is accepted");
    client.shutdown(std::net::Shutdown::Write).expect("it is open");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer, "FIRST");
}

#[test]
fn a_server_that_is_not_there_ends_its_client_only() {
    let recording = path("refused");
    let port = ReservedPort::new();
    let server = forward(&recording, &port.address().to_string(), &["127.0.0.1:*"]);
    for _ in 0..3 {
        assert_eq!(server.ask("hello"), "");
    }
    stop(server);
    let played = replay_in_sandbox(&recording, "forward.wasm", &["--trace"]);
    assert_eq!(played.stdout.matches(" failed: connection refused\n").count(), 3, "{}", played.stdout);
}

/// Random numbers and the time are events, and a log line is a command: a replay has the same.
#[test]
fn dice_fall_again_as_they_fell() {
    let recording = path("dice");
    let server = sandboxed("dice.wasm", &recording, &["--log", "debug"]);
    let before = seconds();
    let rolls: String = (0..3).map(|_| server.ask("a?b")).collect();
    let numbers: Vec<_> =
        rolls.lines().map(|line| line.split_once(' ').expect("a number and a time")).collect();
    assert_eq!(numbers.len(), 9, "{rolls}");
    for (number, time) in numbers {
        assert!((1..=6).contains(&number.parse::<u8>().expect("a number")), "{rolls}");
        assert!((before..=seconds()).contains(&time.parse::<u64>().expect("a time")), "{rolls}");
    }
    server.logs("a client asked for line\\nbreaks, and rolled ");
    stop(server);
    for _ in 0..2 {
        let played = replay_in_sandbox(&recording, "dice.wasm", &["--trace"]);
        assert_eq!(played.code, Some(0), "{}", played.stderr);
        assert!(played.stderr.contains("all answers match"), "{}", played.stderr);
        assert_eq!(played.stdout.matches("  entropy: 32 bytes ").count(), 1);
        assert_eq!(played.stdout.matches("  -> log Warn: ").count(), 3);
        let sent: Vec<_> = played.stdout.lines().filter(|line| line.contains("  -> send ")).collect();
        assert!(rolls.lines().all(|line| sent.iter().any(|sent| sent.contains(line))), "{sent:?} {rolls}");
    }
    // Another run, and another instance of the same run, have other numbers.
    let many = "a".repeat(40);
    let another = path("dice-again");
    let server = sandboxed("dice.wasm", &another, &[]);
    let first = server.ask(&many);
    assert_eq!(server.ask("!"), "");
    let second = server.ask(&many);
    assert_ne!(first, second);
    assert_eq!(server.stop().code, Some(0));
    let played = replay_in_sandbox(&another, "dice.wasm", &["--trace"]);
    assert_eq!(played.code, Some(0), "{}", played.stderr);
    assert_eq!(played.stdout.matches("  entropy: 32 bytes ").count(), 2, "one for each instance");
}

/// Returns the seconds since 1970.
fn seconds() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("a clock that is right").as_secs()
}

/// While the host drains, a request that was received is still forwarded, and its answer awaited: the connection to the
/// server is never idle.
#[test]
fn a_drain_waits_for_the_answer_of_the_other_server() {
    let recording = path("forward-drain");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = forward(&recording, &address.to_string(), &[&address.to_string()]);
    let mut client = connect(server.address());
    client.write_all(b"question").expect("it is accepted");
    client.shutdown(std::net::Shutdown::Write).expect("it is open");
    let (mut upstream, _) = listener.accept().expect("the guest connects");
    let mut question = String::new();
    upstream.read_to_string(&mut question).expect("the end is forwarded too");
    assert_eq!(question, "question");
    server.signal(rustix::process::Signal::TERM);
    server.logs("draining");
    upstream.write_all(b"answer").expect("it is open");
    drop(upstream);
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer, "answer");
    let ended = server.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
