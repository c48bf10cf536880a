//! Servers whose parent blocks signals, and signals from outside.

use std::process::Command;

use rustix::process::Signal;
use sinbin_tests::{Client, Running, Server, guest, sinbin, sinbin_wasi, with_signals_blocked};

/// Returns each host that is a command of this repository, serving fib.
fn ways() -> Vec<(&'static str, Command)> {
    let listen = ["--listen", "127.0.0.1:0"];
    let native = |args: &[&str]| sinbin(&[&["serve", "fib"], args, &listen].concat());
    vec![
        ("machine", native(&[])),
        ("async-fn", native(&["--written-as", "async-fn"])),
        ("driven", in_sandbox("fib.wasm", &listen)),
        ("portable", in_sandbox("fib-portable.wasm", &listen)),
    ]
}

fn in_sandbox(name: &str, args: &[&str]) -> Command {
    let guest = guest(name);
    sinbin_wasi(&[&["run", guest.to_str().expect("a UTF-8 path")], args].concat())
}

fn unruly(args: &[&str]) -> Server {
    let listen = ["--listen", "127.0.0.1:0"];
    Server::announced(with_signals_blocked(in_sandbox("unruly.wasm", &[&listen, args].concat())))
}

fn echo(client: &mut Client, text: &str) {
    client.send(text);
    assert_eq!(client.bytes(text.len()), text.as_bytes());
}

#[test]
fn a_server_whose_parent_blocked_all_signals_drains() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        for (name, command) in ways() {
            let server = Server::announced(with_signals_blocked(command));
            let mut client = server.client();
            client.ask(20);
            server.signal(signal);
            // An open connection would be cut.
            drop(client);
            let ended = server.wait();
            assert_eq!(ended.code, Some(0), "{name}, {signal:?}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_second_signal_ends_it_all_the_same() {
    let command = in_sandbox("poll-loop.wasm", &["--raw-arguments", "--", "shout", "here"]);
    let running = Running::start(with_signals_blocked(command));
    running.logs("guest: here");
    running.signal(Signal::TERM);
    running.signal(Signal::INT);
    assert_eq!(running.wait().code, Some(130));
}

#[test]
fn a_guest_that_loops_is_interrupted_though_the_clock_was_blocked() {
    let server = unruly(&["--turn-limit", "100ms"]);
    let mut client = server.client();
    echo(&mut client, "before");
    client.send("loop");
    assert_eq!(client.rest(), "");
    server.logs("takes longer than the limit of 100ms");
    echo(&mut server.client(), "after");
    assert_eq!(server.stop().code, Some(0));
}

/// wasmtime detects traps by a signal. If that signal is blocked, it ends the process.
#[test]
fn a_guest_that_traps_is_replaced_though_faults_were_blocked() {
    let server = unruly(&["--workers", "1"]);
    let mut client = server.client();
    echo(&mut client, "spoil");
    server.logs("a job failed");
    client.send("trap");
    assert_eq!(client.rest(), "");
    server.logs("unreachable");
    echo(&mut server.client(), "after");
    assert_eq!(server.stop().code, Some(0));
}

/// A signal of the clock from outside counts as another tick, which must not interrupt a guest.
#[test]
fn signals_of_the_clock_from_outside_interrupt_nobody() {
    let server = Server::announced(in_sandbox("fib.wasm", &["--listen", "127.0.0.1:0", "--workers", "0"]));
    let mut client = server.client();
    for _ in 0..100 {
        for _ in 0..20 {
            server.signal(Signal::VTALARM);
        }
        client.ask(15);
    }
    drop(client);
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("the guest failed"), "{}", ended.stderr);
}
