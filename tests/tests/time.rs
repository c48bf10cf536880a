//! Time that passes without polls: while a process is stopped, and within a long step. Input that arrived before a
//! deadline is answered, and a silence counts from the end of the answer. Each test runs on each host.

#![cfg(unix)]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use sinbin_tests::{
    Running, Server, connect, eventually, guest, machine, sinbin, sinbin_wasi, with_longer_spans,
};

/// A deadline that a test lets pass. If the machine stalls for this long between two lines of a test, the connection is
/// closed rightly. Such an attempt does not count.
const IDLE: Duration = Duration::from_millis(500);

/// The number of attempts of a test that a stall may spoil.
const TRIES: usize = 5;

/// A way to serve.
#[derive(Clone, Copy, Debug)]
enum Way {
    Native,
    AsyncFn,
    Recorded,
    Driven,
    Portable,
}

const WAYS: [Way; 5] = [Way::Native, Way::AsyncFn, Way::Recorded, Way::Driven, Way::Portable];

impl Way {
    /// Starts a service with this idle timeout.
    fn serve(self, service: &str, idle: Duration, more: &[&str]) -> Server {
        let idle = format!("{}ms", idle.as_millis());
        let own = [&["--idle-timeout", &idle], more].concat();
        Server::announced(match self {
            Self::Native => Self::native(service, &own),
            Self::AsyncFn => Self::native(service, &[&["--written-as", "async-fn"], &own[..]].concat()),
            Self::Recorded => {
                static RECORDINGS: AtomicU32 = AtomicU32::new(0);
                let number = RECORDINGS.fetch_add(1, Ordering::Relaxed);
                let id = std::process::id();
                let path = format!("{}/time-{id}-{number}.sinbin", env!("CARGO_TARGET_TMPDIR"));
                let server =
                    Server::announced(Self::native(service, &[&["--record", &path], &own[..]].concat()));
                // The server has opened it.
                fs::remove_file(path).expect("the recording has begun");
                return server;
            }
            Self::Driven => Self::sandboxed(&format!("{service}.wasm"), &["--turn-limit", "1h"], &own),
            Self::Portable => Self::sandboxed(&format!("{service}-portable.wasm"), &[], &own),
        })
    }

    fn native(service: &str, args: &[&str]) -> Command {
        sinbin(&[&["serve", service, "--listen", "127.0.0.1:0"], args].concat())
    }

    fn sandboxed(name: &str, host: &[&str], args: &[&str]) -> Command {
        let guest = guest(name);
        let guest = guest.to_str().expect("a UTF-8 path");
        sinbin_wasi(&[&["run", guest, "--listen", "127.0.0.1:0"], host, &["--"], args].concat())
    }
}

/// Stops the process for longer than `idle`. Calls `meanwhile` while it is stopped.
fn while_stopped<T>(server: &Running, idle: Duration, meanwhile: impl FnOnce() -> T) -> T {
    server.signal(Signal::STOP);
    eventually("a stopped process", || is_stopped(server));
    let happened = meanwhile();
    thread::sleep(idle + idle / 4);
    server.signal(Signal::CONT);
    happened
}

fn is_stopped(server: &Running) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid().as_raw_pid())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

/// Repeats an attempt that a stall of the machine may spoil. Panics if none of the attempts returns `expected`.
fn patiently(way: Way, expected: &str, mut tries: impl FnMut() -> io::Result<String>) {
    let is_right = |told: &io::Result<String>| told.as_ref().is_ok_and(|told| told == expected);
    let mut last = tries();
    for _ in 1..TRIES {
        if is_right(&last) {
            return;
        }
        last = tries();
    }
    assert!(is_right(&last), "{way:?}, in each of {TRIES} attempts: {last:?} instead of {expected:?}");
}

/// Sends the client's last bytes, half-closes, and returns what is received.
fn ask_last(mut client: &TcpStream, text: &[u8]) -> io::Result<String> {
    client.write_all(text)?;
    client.shutdown(Shutdown::Write)?;
    rest(client)
}

fn rest(mut client: &TcpStream) -> io::Result<String> {
    let mut told = String::new();
    client.read_to_string(&mut told)?;
    Ok(told)
}

/// Sends bytes, and receives as many.
fn echo(mut client: &TcpStream, text: &[u8]) -> io::Result<()> {
    client.write_all(text)?;
    client.read_exact(&mut vec![0; text.len()])
}

#[cfg(target_os = "linux")]
#[test]
fn what_came_while_the_process_was_stopped_is_answered() {
    for way in WAYS {
        let server = way.serve("echo", IDLE, &[]);
        patiently(way, "hi", || {
            let mut client = connect(server.address());
            echo(&client, b"ready?")?;
            while_stopped(&server, IDLE, || client.write_all(b"hi"))?;
            client.shutdown(Shutdown::Write)?;
            rest(&client)
        });
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{way:?}: {}", ended.stderr);
    }
}

/// More clients than the system reports in one wait, with more bytes than a guest receives in one turn.
#[cfg(target_os = "linux")]
#[test]
fn whoever_spoke_while_the_process_was_stopped_is_answered() {
    machine::raise_descriptor_limit();
    thread::scope(|scope| {
        for way in WAYS {
            scope.spawn(move || a_crowd_speaks_while_the_process_is_stopped(way));
        }
    });
}

#[cfg(target_os = "linux")]
fn a_crowd_speaks_while_the_process_is_stopped(way: Way) {
    // A WASI 0.2 host receives the whole list each time, and reports at most 128 entries of it.
    let count = if matches!(way, Way::Portable) { 300 } else { 1100 };
    let text = [b'x'; 300];
    // Making as many connections takes less than the first span, unless the machine is busy.
    with_longer_spans(Duration::from_secs(4), |idle| {
        let server = way.serve("echo", idle, &[]);
        let answered = || {
            let mut clients = Vec::new();
            for _ in 0..count {
                let client = connect(server.address());
                echo(&client, b"?")?;
                clients.push(client);
            }
            let speak = || clients.iter().try_for_each(|mut client| client.write_all(&text));
            while_stopped(&server, idle, speak)?;
            clients.iter().try_for_each(|client| client.shutdown(Shutdown::Write))?;
            let answers = clients.iter().map(rest);
            let whole = answers.filter(|told| told.as_ref().is_ok_and(|told| told.len() == text.len()));
            io::Result::Ok(whole.count())
        };
        match answered() {
            Ok(answers) if answers == count => Ok(()),
            other => Err(format!("{way:?}: {other:?} of {count} answers")),
        }
    });
}

/// A number of requests whose answers, computed on the loop, take longer than the idle timeout.
const REQUESTS: usize = 2300;

const COMPUTES: [&str; 4] = ["--loop-n", "25", "--framing", "lines"];

#[test]
fn what_came_while_a_step_took_long_is_answered() {
    for way in WAYS {
        let server = way.serve("fib", IDLE, &COMPUTES);
        patiently(way, "1\n", || {
            let (mut busy, other) = (connect(server.address()), connect(server.address()));
            (&other).write_all(b"1\n")?;
            (&other).read_exact(&mut [0; 2])?;
            busy.write_all("25\n".repeat(REQUESTS).as_bytes())?;
            ask_last(&other, b"2\n")
        });
    }
}

#[test]
fn a_silence_counts_from_the_answer_however_long_that_took() {
    for way in WAYS {
        let server = way.serve("fib", IDLE, &COMPUTES);
        patiently(way, "1\n", || {
            let mut client = connect(server.address());
            client.write_all("25\n".repeat(REQUESTS).as_bytes())?;
            let mut answers = vec![0; 6 * REQUESTS];
            client.read_exact(&mut answers)?;
            assert_eq!(answers, "75025\n".repeat(REQUESTS).as_bytes(), "{way:?}");
            ask_last(&client, b"2\n")
        });
    }
}
