//! The surroundings of the process: its output, its signals, its environment, the files and threads that it may have.
//! None of them decides whether clients are served.

#![cfg(unix)]

mod commands_of_wasi;
mod environment;
mod files;
mod options;
mod output;
mod signals;
mod threads;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use sinbin_tests::{Client, Running, eventually, guest, sinbin, sinbin_wasi};

/// A way to serve `fib`.
struct Way {
    name: &'static str,
    command: fn(&[&str]) -> Command,
}

/// Each host that a command of ours is.
const WAYS: [Way; 5] = [
    Way { name: "machine", command: |args| sinbin(&[&["serve", "fib"], args].concat()) },
    Way {
        name: "async-fn",
        command: |args| sinbin(&[&["serve", "fib", "--written-as", "async-fn"], args].concat()),
    },
    Way {
        name: "recorded",
        command: |args| {
            let path = scratch("recording");
            sinbin(&[&["serve", "fib", "--record", path.to_str().expect("a path of ours")], args].concat())
        },
    },
    Way { name: "driven", command: |args| in_sandbox("fib.wasm", args) },
    Way { name: "portable", command: |args| in_sandbox("fib-portable.wasm", args) },
];

fn in_sandbox(name: &str, args: &[&str]) -> Command {
    let guest = guest(name);
    sinbin_wasi(&[&["run", guest.to_str().expect("a path of ours")], args].concat())
}

/// A path where there is nothing yet.
fn scratch(name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};

    static PATHS: AtomicU32 = AtomicU32::new(0);
    let number = PATHS.fetch_add(1, Ordering::Relaxed);
    let path = format!("{}/surroundings-{}-{number}-{name}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::remove_file(&path).ok();
    path.into()
}

/// An address for a server that can't tell its own.
fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.expect("a free port")
}

/// Waits until it listens there.
fn listens(running: &mut Running, address: SocketAddr) {
    eventually("a server, or its end", || TcpStream::connect(address).is_ok() || running.has_ended());
    assert!(!running.has_ended(), "it ended: {:?}", running.stderr());
}

/// Asks for something that is computed on the loop, and something that is not.
fn is_served(address: SocketAddr) {
    let mut client = Client::connect(address);
    client.ask(1);
    client.ask(20);
}

/// Asks it to stop. Returns its code and what it said to stdout.
fn drain(running: Running) -> (Option<i32>, String) {
    running.signal(Signal::TERM);
    let ended = running.wait();
    (ended.code, ended.stdout)
}

/// Returns true if the process has a handler for the signal, as Linux tells it.
fn catches(running: &Running, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid().as_raw_pid()));
    let mask = |line: &str| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok();
    let caught = status.unwrap_or_default().lines().find_map(mask);
    caught.is_some_and(|caught| caught & (1 << (signal.as_raw() - 1)) != 0)
}
