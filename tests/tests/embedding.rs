//! Hosts outside of this repository that drive the guests of `just build-wasi`: the examples in Node and Python. If the
//! tools of a language are missing, its hosts are skipped, unless `SINBIN_ALL_HOSTS` is 1.

#![cfg(unix)]

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use sinbin_tests::{Client, Running, Server, exchange, foreign, foreign_lacks, guest, noise, replies};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wasi-host/examples");

/// A driver, and a guest that serves Fibonacci numbers with it.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Driver {
    language: &'static str,
    script: &'static str,
    fib: &'static str,
}

const NODE: Driver = Driver { language: "node", script: "serve.mjs", fib: "fib.wasm" };
const NODE_CORE: Driver = Driver { language: "node", script: "core.mjs", fib: "sinbin_core.wasm" };
const NODE_PORTABLE: Driver =
    Driver { language: "node", script: "run-portable.mjs", fib: "fib-portable.wasm" };
const PYTHON: Driver = Driver { language: "python", script: "serve.py", fib: "fib.wasm" };
const PYTHON_CORE: Driver = Driver { language: "python", script: "core.py", fib: "sinbin_core.wasm" };

/// The drivers that implement the guest contract.
const DRIVERS: [Driver; 4] = [NODE, NODE_CORE, PYTHON, PYTHON_CORE];

/// The drivers, and the host of a guest that drives itself.
const HOSTS: [Driver; 5] = [NODE, NODE_CORE, PYTHON, PYTHON_CORE, NODE_PORTABLE];

/// Returns the drivers whose tools are installed.
fn there(drivers: &[Driver]) -> impl Iterator<Item = Driver> {
    drivers.iter().copied().filter(|driver| foreign_lacks(driver.language).is_none())
}

impl Driver {
    /// Starts a server of Fibonacci numbers.
    fn fib(self) -> Server {
        self.serve(self.fib)
    }

    fn serve(self, name: &str) -> Server {
        let mut command = self.command();
        command.arg(guest(name)).arg("--listen");
        Server::of(command)
    }

    fn command(self) -> Command {
        foreign(self.language, self.script)
    }
}

fn lines(ns: impl IntoIterator<Item = u32>) -> String {
    ns.into_iter().map(|n| format!("{n}\n")).collect()
}

#[test]
fn lines_are_answered_by_lines() {
    for driver in there(&HOSTS) {
        let server = driver.fib();
        let mut client = server.client();
        for n in [30, 1, 12, 0, 25] {
            client.send(format!("{n}\n"));
            assert_eq!(client.lines(1), replies([n]), "{driver:?}");
        }
        client.end();
        assert_eq!(client.rest(), "", "{driver:?}");
    }
}

#[test]
fn reads_without_newlines_are_answered_one_by_one() {
    for driver in there(&HOSTS) {
        let server = driver.fib();
        let mut client = server.client();
        for n in [30, 1, 12, 0, 25] {
            client.send(n.to_string());
            assert_eq!(client.lines(1), replies([n]), "{driver:?}");
        }
    }
}

#[test]
fn bad_lines_are_answered_too_and_too_long_ones_end_it() {
    let expected =
        "error: not an integer\nerror: an empty line; send an integer\nerror: n is over the limit of 45\n";
    for driver in there(&HOSTS) {
        let server = driver.fib();
        assert_eq!(server.ask("no\n\n99\n4\n"), expected.to_owned() + &replies([4]), "{driver:?}");
        if driver == NODE_PORTABLE {
            // preview2-shim closes a socket at once, which resets a connection that has unread input.
            continue;
        }
        // Further input does not cost the client its last answer.
        let answer = server.ask("1".repeat(200_000));
        assert_eq!(answer, "error: the line is over the limit of 64 bytes; closing\n", "{driver:?}");
    }
}

#[test]
fn who_ends_its_stream_gets_the_last_answers() {
    for driver in there(&HOSTS) {
        let server = driver.fib();
        assert_eq!(server.ask("5\n24\n20"), replies([5, 24, 20]), "{driver:?}");
        assert_eq!(server.ask("20"), replies([20]), "{driver:?}");
        assert_eq!(server.ask(""), "", "{driver:?}");
    }
}

#[test]
fn ten_thousand_requests_in_one_write_are_answered_in_their_order() {
    let ns: Vec<u32> = (0..10_000).map(|i| if i % 500 == 0 { 20 + i / 500 % 5 } else { i % 11 }).collect();
    for driver in there(&HOSTS) {
        let server = driver.fib();
        let answers = server.ask(lines(ns.iter().copied()));
        assert!(answers == replies(ns.iter().copied()), "{driver:?}: {} bytes", answers.len());
    }
}

#[test]
fn a_hundred_clients_each_get_their_own_answers() {
    for driver in there(&HOSTS) {
        let server = driver.fib();
        let mut clients: Vec<_> = (0..100).map(|_| server.client()).collect();
        for round in 0..5 {
            for (client, n) in clients.iter_mut().zip(round..) {
                client.send(format!("{}\n", n % 20));
            }
            for (client, n) in clients.iter_mut().zip(round..) {
                assert_eq!(client.lines(1), replies([n % 20]), "{driver:?}");
            }
        }
    }
}

#[test]
fn a_slow_request_does_not_hold_up_fast_ones_nor_outlive_its_client() {
    for driver in there(&DRIVERS) {
        let mut command = driver.command();
        command.arg(guest(driver.fib)).args(["--listen", "127.0.0.1:0", "--", "--max-n", "93"]);
        let server = Server::announced(command);
        let mut slow = server.client();
        slow.send("1\n93\n");
        assert_eq!(slow.line(), "1");
        let mut fast = server.client();
        for n in 0..50 {
            fast.ask(n % 11);
        }
        assert!(slow.is_silent(), "{driver:?}");
        // No client waits for the end of fib(93) any more, which would take years.
        slow.reset();
        drop(fast);
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{driver:?}: {}", ended.stderr);
    }
}

#[test]
fn a_client_that_does_not_read_gets_it_all_later() {
    // Answers that are far longer than the requests, and more than sockets can buffer.
    let (count, answer) = (200_000, "error: not an integer\n");
    for driver in there(&DRIVERS) {
        let server = driver.fib();
        let mut client = server.client();
        let requests = "5\n".to_owned() + &"x\n".repeat(count);
        let stream = client.stream().try_clone().expect("a descriptor");
        let sender = thread::spawn(move || Client::over(stream).send(requests));
        assert_eq!(client.line(), "5");
        // Another client is answered meanwhile.
        server.client().ask(7);
        sender.join().expect("the server accepts everything");
        client.end();
        assert!(client.rest() == answer.repeat(count), "{driver:?}");
    }
}

#[test]
fn what_is_sent_comes_back() {
    for driver in there(&[NODE, PYTHON]) {
        let size = if driver == NODE { 4 << 20 } else { 100_000 };
        for name in ["echo.wasm", "echo-async.wasm"] {
            let server = driver.serve(name);
            let bytes = noise(size);
            let answer = exchange(server.address(), &bytes);
            assert!(answer == bytes, "{driver:?}, {name}: {} bytes", answer.len());
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn who_does_not_read_is_not_read_from() {
    use sinbin_tests::machine::resident_bytes;

    let Some(driver) = there(&[NODE]).next() else { return };
    let server = driver.serve("echo.wasm");
    let mut client = server.client();
    client.send("first");
    assert_eq!(client.bytes(5), b"first");
    let before = resident_bytes(server.pid());
    let bytes = noise(96 << 20);
    let stream = client.stream().try_clone().expect("a descriptor");
    thread::scope(|scope| {
        scope.spawn(|| Client::over(stream).send(&bytes));
        // Enough time for everything, if it were accepted.
        thread::sleep(Duration::from_secs(2));
        let grown = resident_bytes(server.pid()).saturating_sub(before);
        assert!(grown < 48 << 20, "it grew by {grown} bytes");
        assert!(client.bytes(bytes.len()) == bytes);
    });
}

#[test]
fn what_was_received_is_answered_before_the_end() {
    let burst = [1, 25, 3, 26, 4];
    for driver in there(&DRIVERS) {
        let server = driver.fib();
        let mut idle: Vec<_> = (0..5).map(|_| server.client()).collect();
        idle[0].ask(20);
        let mut clients: Vec<_> = (0..20).map(|_| server.client()).collect();
        for client in &mut clients {
            client.send(lines(burst));
            assert_eq!(client.line(), "1");
        }
        server.signal(Signal::TERM);
        for client in &mut clients {
            assert_eq!(client.rest(), replies(burst[1..].iter().copied()), "{driver:?}");
        }
        // The clients stay connected, and the server ends nevertheless.
        let ended = server.wait();
        assert_eq!(ended.code, Some(0), "{driver:?}: {}", ended.stderr);
        assert!(idle.iter_mut().all(|client| client.rest().is_empty()), "{driver:?}");
    }
}

#[test]
fn what_is_no_guest_is_told_so() {
    let other = |driver| if [NODE, PYTHON].contains(&driver) { "sinbin_core.wasm" } else { "fib.wasm" };
    for driver in there(&DRIVERS) {
        for (file, listen) in [(guest(other(driver)), "127.0.0.1:0"), (guest(driver.fib), "nowhere")] {
            let mut command = driver.command();
            command.arg(&file).args(["--listen", listen]);
            let ended = Running::start(command).wait();
            assert!(ended.code.is_some_and(|code| code > 0), "{driver:?}: {ended:?}");
            assert!(!ended.stderr.contains("Traceback"), "{driver:?}: {}", ended.stderr);
        }
    }
}

#[test]
fn the_guest_has_the_last_word_on_its_arguments() {
    for driver in there(&DRIVERS) {
        let mut command = driver.command();
        command.arg(guest(driver.fib)).args(["--listen", "127.0.0.1:0", "--", "--max-n", "94"]);
        let ended = Running::start(command).wait();
        assert!(ended.code.is_some_and(|code| code > 0), "{driver:?}: {ended:?}");
        assert_eq!(ended.stderr, "--max-n 94: expected 0 to 93\n", "{driver:?}");
    }
}

#[test]
fn the_page_shows_what_there_is() {
    let read = |name: &str| fs::read_to_string(format!("{EXAMPLES}/../{name}")).expect("a readable file");
    let page = read("../docs/src/embedding.md");
    let driver = read("examples/driver.rs");
    let (_, listing) = page.split_once("```rust,ignore\n").expect("a listing");
    let (listing, _) = listing.split_once("\n}\n```").expect("its end");
    for part in listing.split("\n\nimpl Sockets {\n") {
        assert!(driver.contains(part), "{part}");
    }
    let tables = page.find("| export ").expect("the table of the core module");
    let documented = read("guest/core-module/src/lib.rs").replace("//! ", "");
    assert!(documented.contains(page[tables..].split("\n\n").next().expect("a table")));
}
