//! Ordinary WASI commands: programs that do not know sinbin.

use std::io::{self, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;

use rustix::process::Signal;
use sinbin_tests::{Client, Mute, ReservedPort, Running, Server, eventually, guest, sinbin_wasi};

use crate::{catches, listens};

/// Several times more ready connections than tokio lets a task process at once.
const CROWD: usize = 400;

fn poll_loop(options: &[&str], arguments: &[&str]) -> Command {
    let guest = guest("poll-loop.wasm");
    let all =
        [&["run", guest.to_str().expect("a UTF-8 path"), "--raw-arguments"], options, &["--"], arguments];
    sinbin_wasi(&all.concat())
}

/// Stops a command that never ends by itself, and checks its exit code.
fn cut(running: Running) {
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
}

#[test]
fn hundreds_of_connections_that_are_ready_at_once_are_all_served() {
    sinbin_tests::machine::raise_descriptor_limit();
    let port = ReservedPort::new();
    let address = port.address().to_string();
    let options = ["--listen", &address, "--drain-timeout", "1ms"];
    let mut running = Running::start(poll_loop(&options, &["echo", &address]));
    let address = address.parse().expect("an address");
    listens(&mut running, address);
    let mut clients: Vec<_> = (0..CROWD).map(|_| Client::connect(address)).collect();
    for round in 0..3 {
        for client in &mut clients {
            client.send(format!("{round}\n"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.line(), round.to_string(), "client {number}");
        }
    }
    cut(running);
}

/// A client that is always ready does not starve others.
#[test]
fn a_client_that_is_always_ready_starves_no_other() {
    let port = ReservedPort::new();
    let address = port.address().to_string();
    let options = ["--listen", &address, "--drain-timeout", "1ms"];
    let mut running = Running::start(poll_loop(&options, &["echo", &address]));
    let address = address.parse().expect("an address");
    listens(&mut running, address);
    let flood = TcpStream::connect(address).expect("a connection");
    let reader = flood.try_clone().expect("a descriptor");
    let writes = thread::spawn(move || while (&flood).write(&[b'x'; 4096]).is_ok() {});
    let reads = thread::spawn(move || io::copy(&mut &reader, &mut io::sink()).ok());
    for number in 0..20 {
        let mut client = Client::connect(address);
        client.send(format!("{number}\n"));
        assert_eq!(client.line(), number.to_string());
    }
    assert!(!writes.is_finished(), "it is served as well");
    cut(running);
    writes.join().expect("the writer");
    reads.join().expect("the reader");
}

#[test]
fn a_command_that_spins_or_waits_for_ever_is_ended_when_the_time_to_drain_is_over() {
    for what in ["spin", "hang"] {
        let running = Running::start(poll_loop(&["--drain-timeout", "50ms"], &[what]));
        // Wait until the process handles signals.
        eventually("a handler", || catches(&running, Signal::TERM));
        cut(running);
    }
}

#[test]
fn a_command_that_waits_for_a_reader_of_its_stdout_is_ended_too() {
    for mute in [Mute::Unread, Mute::Gone, Mute::Full] {
        let command = poll_loop(&["--drain-timeout", "50ms"], &["talk"]);
        let running = Running::start_mute(command, Some(mute), None);
        if mute == Mute::Unread {
            eventually("a handler", || catches(&running, Signal::TERM));
            cut(running);
        } else {
            // The command receives the error, like any program, and fails.
            assert_eq!(running.wait().code, Some(1), "{mute:?}");
        }
    }
}

/// A guest that is driven is also ended in time: the drain does not wait for a long turn.
#[test]
fn a_turn_that_does_not_come_back_is_ended_when_the_time_to_drain_is_over() {
    let guest = guest("unruly.wasm");
    let guest = guest.to_str().expect("a UTF-8 path");
    for limit in ["off", "1000years"] {
        let options = ["--listen", "127.0.0.1:0", "--turn-limit", limit, "--drain-timeout", "50ms"];
        let server = Server::announced(sinbin_wasi(&[&["run", guest], &options[..]].concat()));
        let mut client = server.client();
        client.send("before\n");
        assert_eq!(client.line(), "before");
        client.send("loop");
        let ended = server.stop();
        assert_eq!(ended.code, Some(3), "{limit}: {}", ended.stderr);
        assert!(ended.stderr.contains("the drain timeout has expired"), "{limit}: {}", ended.stderr);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let running = Running::start(poll_loop(&[], &["spin"]));
    eventually("a handler", || catches(&running, Signal::TERM));
    running.signal(Signal::TERM);
    running.signal(Signal::INT);
    assert_eq!(running.wait().code, Some(130));
}
