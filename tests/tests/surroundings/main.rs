//! The surroundings of the process: its output, signals, environment, files and threads. Clients are served regardless
//! of them.

#![cfg(unix)]

mod commands_of_wasi;
mod environment;
mod files;
mod options;
mod output;
mod signals;
mod threads;
mod unix_sockets;

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use sinbin_tests::{Client, Running, eventually, guest, sinbin, sinbin_wasi};

/// A way to serve `fib`.
struct Way {
    name: &'static str,
    command: fn(&[&str]) -> Command,
}

/// Each host that is a command of this repository.
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
            sinbin(&[&["serve", "fib", "--record", path.to_str().expect("a UTF-8 path")], args].concat())
        },
    },
    Way { name: "driven", command: |args| in_sandbox("fib.wasm", args) },
    Way { name: "portable", command: |args| in_sandbox("fib-portable.wasm", args) },
];

fn in_sandbox(name: &str, args: &[&str]) -> Command {
    let guest = guest(name);
    sinbin_wasi(&[&["run", guest.to_str().expect("a UTF-8 path")], args].concat())
}

/// Returns a path at which no file exists.
fn scratch(name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};

    static PATHS: AtomicU32 = AtomicU32::new(0);
    let number = PATHS.fetch_add(1, Ordering::Relaxed);
    let path = format!("{}/surroundings-{}-{number}-{name}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::remove_file(&path).ok();
    path.into()
}

/// Waits until the process listens at this address.
fn listens(running: &mut Running, address: SocketAddr) {
    eventually("a server, or its end", || TcpStream::connect(address).is_ok() || running.has_ended());
    assert!(!running.has_ended(), "it ended: {:?}", running.stderr());
}

/// Sends a request that is computed on the loop, and one that is not.
fn is_served(address: SocketAddr) {
    let mut client = Client::connect(address);
    client.ask(1);
    client.ask(20);
}

/// Asks the process to stop. Returns its exit code and its stdout.
fn drain(running: Running) -> (Option<i32>, String) {
    running.signal(Signal::TERM);
    let ended = running.wait();
    (ended.code, ended.stdout)
}

/// Returns true if the process has a handler for the signal, according to Linux.
fn catches(running: &Running, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid().as_raw_pid()));
    let mask = |line: &str| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok();
    let caught = status.unwrap_or_default().lines().find_map(mask);
    caught.is_some_and(|caught| caught & (1 << (signal.as_raw() - 1)) != 0)
}
