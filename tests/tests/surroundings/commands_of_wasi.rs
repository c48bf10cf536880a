//! Ordinary commands of WASI: programs that know nothing of sinbin.

use std::process::Command;

use rustix::process::Signal;
use sinbin_tests::{Client, Mute, Running, eventually, guest, sinbin_wasi};

use crate::{free_address, listens};

/// More connections that are ready at once than tokio lets a task see, several times over.
const CROWD: usize = 400;

fn poll_loop(options: &[&str], arguments: &[&str]) -> Command {
    let guest = guest("poll-loop.wasm");
    let all =
        [&["run", guest.to_str().expect("a path of ours"), "--raw-arguments"], options, &["--"], arguments];
    sinbin_wasi(&all.concat())
}

/// How a command ends that has no end.
fn cut(running: Running) {
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
}

#[test]
fn hundreds_of_connections_that_are_ready_at_once_are_all_served() {
    sinbin_tests::machine::raise_descriptor_limit();
    let address = free_address().to_string();
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

/// Some who are never done keep nobody else from being heard.
#[test]
fn a_client_that_is_always_ready_starves_no_other() {
    let address = free_address().to_string();
    let options = ["--listen", &address, "--drain-timeout", "1ms"];
    let mut running = Running::start(poll_loop(&options, &["echo", &address]));
    let address = address.parse().expect("an address");
    listens(&mut running, address);
    let flood = std::net::TcpStream::connect(address).expect("a connection");
    let reader = flood.try_clone().expect("a descriptor");
    let writes =
        std::thread::spawn(move || while std::io::Write::write(&mut &flood, &[b'x'; 4096]).is_ok() {});
    let reads = std::thread::spawn(move || std::io::copy(&mut &reader, &mut std::io::sink()).ok());
    for number in 0..20 {
        let mut client = Client::connect(address);
        client.send(format!("{number}\n"));
        assert_eq!(client.line(), number.to_string());
    }
    cut(running);
    writes.join().expect("the writer");
    reads.join().expect("the reader");
}

#[test]
fn a_command_that_spins_or_waits_for_ever_is_ended_when_the_time_to_drain_is_over() {
    for what in ["spin", "hang"] {
        let running = Running::start(poll_loop(&["--drain-timeout", "50ms"], &[what]));
        // Until it is a process that knows of signals.
        eventually("a handler", || catches_signals(&running));
        cut(running);
    }
}

#[test]
fn a_command_that_waits_for_a_reader_of_its_stdout_is_ended_too() {
    for mute in [Mute::Unread, Mute::Gone, Mute::Full] {
        let command = poll_loop(&["--drain-timeout", "50ms"], &["talk"]);
        let running = Running::start_mute(command, Some(mute), None);
        if mute == Mute::Unread {
            eventually("a handler", || catches_signals(&running));
            cut(running);
        } else {
            // It hears of it, as any program does, and fails.
            assert_eq!(running.wait().code, Some(1), "{mute:?}");
        }
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let running = Running::start(poll_loop(&[], &["spin"]));
    eventually("a handler", || catches_signals(&running));
    running.signal(Signal::TERM);
    running.signal(Signal::INT);
    assert_eq!(running.wait().code, Some(130));
}

/// Whether the process has a handler for SIGTERM, as Linux tells it.
fn catches_signals(running: &Running) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid().as_raw_pid()));
    let caught = status
        .unwrap_or_default()
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok());
    caught.is_some_and(|caught| caught & (1 << (Signal::TERM.as_raw() - 1)) != 0)
}
