//! Clients and guests that try to fill a disk, or to forge lines of the log.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
#[cfg(target_os = "linux")]
use sinbin_tests::machine;
use sinbin_tests::{Ended, Running, Server, eventually, guest, sinbin_wasi};

/// The most lines that clients may cause during the short attacks of these tests.
const MOST: usize = 50;

/// Text that a terminal interprets or does not show, and a line that looks like one of the log.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;title\u{7}\r\u{8}\u{9b}31m \"quoted\\\" \u{202e}dlrow\u{2066}\u{200b}\u{2028}\
    \n2026-01-01T00:00:00.000000Z ERROR the disk is full";

/// The beginning of the forged line.
const FORGED: &str = "2026-01-01T00:00:00.000000Z ERROR";

fn in_sandbox(name: &str, args: &[&str]) -> Command {
    let guest = guest(name);
    sinbin_wasi(&[&["run", guest.to_str().expect("a UTF-8 path")], args].concat())
}

/// Returns the number of lines that the log counts rather than contains.
fn left_out(log: &str) -> usize {
    let counts = log.lines().filter_map(|line| {
        let (before, _) = line.split_once(" more like this in the last ")?;
        before.rsplit(' ').next()?.parse::<usize>().ok()
    });
    counts.sum()
}

/// Asserts that a line has no hidden characters.
fn is_plain(line: &str) {
    let is_hidden = |char: char| char.is_control() || "\u{202e}\u{2066}\u{200b}\u{2028}".contains(char);
    assert!(!line.contains(is_hidden), "{line:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn clients_that_come_and_go_at_the_descriptor_limit_are_a_few_lines() {
    let server = Server::fib(&["--drain-timeout", "10s"]);
    server.client().ask(1);
    machine::allow_descriptors(server.pid(), 5);
    let mut there: Vec<_> = (0..30).filter_map(|_| TcpStream::connect(server.address()).ok()).collect();
    // Whenever a client leaves, another one is accepted, and the next one is not.
    let began = Instant::now();
    for _ in (0..3000).take_while(|_| began.elapsed() < Duration::from_secs(3)) {
        there.remove(0);
        there.push(TcpStream::connect(server.address()).expect("the backlog has room"));
    }
    drop(there);
    machine::allow_descriptors(server.pid(), 50);
    eventually("an answer", || server.ask("1\n") == "1\n");
    let ended = server.stop();
    let lines = ended.stderr.lines().count();
    println!("{lines} lines, and {} that are counted", left_out(&ended.stderr));
    assert!(lines <= MOST, "{lines} lines:\n{}", ended.stderr);
}

/// Every job of this client traps, and each trap has a backtrace for the log.
#[cfg(target_os = "linux")]
#[test]
fn jobs_that_fail_by_the_hundred_are_a_few_lines_and_a_count() {
    let server = Server::announced(in_sandbox("unruly.wasm", &["--listen", "127.0.0.1:0", "--workers", "1"]));
    let mut client = server.client();
    for _ in 0..300 {
        client.send("spoil");
        assert_eq!(client.bytes(5), b"spoil");
    }
    // The jobs run one after the other; the remaining ones are cancelled at the end.
    eventually("the end of all jobs", || machine::rests(server.pid()));
    drop(client);
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines = ended.stderr.lines().count();
    println!("{lines} lines, and {} that are counted", left_out(&ended.stderr));
    assert!(lines <= MOST, "{lines} lines:\n{}", ended.stderr);
    assert!(left_out(&ended.stderr) > 0, "{}", ended.stderr);
}

/// Makes a guest write `EVIL` to its stderr until the log leaves out some lines.
fn shout(args: &[&str]) -> Ended {
    let shout = ["--raw-arguments", "--drain-timeout", "1ms", "--", "shout", EVIL];
    let running = Running::start(in_sandbox("poll-loop.wasm", &[args, &shout].concat()));
    running.logs(" more like this in the last ");
    running.signal(Signal::TERM);
    running.wait()
}

#[test]
fn a_guest_that_floods_its_stderr_forges_no_line_and_is_counted() {
    let ended = shout(&["--log-limit", "2"]);
    assert_eq!(ended.code, Some(3));
    assert!(left_out(&ended.stderr) > 0);
    for line in ended.stderr.lines() {
        is_plain(line);
        assert!(!line.starts_with(FORGED), "{line}");
        assert!(
            [" INFO guest: ", " INFO draining: ", " more like this ", " WARN "]
                .iter()
                .any(|part| line.contains(part)),
            "{line}"
        );
    }
}

#[test]
fn a_log_in_json_is_json_whatever_is_in_it() {
    let shouted = shout(&["--log-format", "json", "--log-limit", "2"]);
    let args = ["--log-format", "json", "--log", "debug", "--listen", "127.0.0.1:0"];
    let server = Server::announced(in_sandbox("unruly.wasm", &args));
    for word in ["trap", "strange", "stall"] {
        let mut client = server.client();
        client.send(word);
        client.end();
        drop(client.rest());
    }
    let failed = server.stop();
    for line in shouted.stderr.lines().chain(failed.stderr.lines()) {
        is_plain(line);
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for name in ["timestamp", "level", "message"] {
            assert!(object[name].is_string(), "{name}: {line}");
        }
    }
    // The text is unchanged.
    let said = |line: &str| serde_json::from_str::<Value>(line).ok()?["message"].as_str().map(str::to_owned);
    let first: Vec<_> = shouted.stderr.lines().filter_map(said).take(2).collect();
    let (one, two) = EVIL.split_once('\n').expect("two lines");
    assert_eq!(first, [format!("guest: {one}"), format!("guest: {two}")]);
    let message = failed.stderr.lines().filter_map(said).find(|said| said.contains("wasm backtrace"));
    assert!(message.is_some_and(|said| said.contains('\n')), "{}", failed.stderr);
}

#[test]
fn a_message_is_cut() {
    let long = "x".repeat(100_000);
    let shout = ["--raw-arguments", "--drain-timeout", "1ms", "--", "shout", &long];
    let running = Running::start(in_sandbox("poll-loop.wasm", &shout));
    running.logs("guest: xxx");
    running.signal(Signal::TERM);
    let ended = running.wait();
    for line in ended.stderr.lines() {
        assert!(line.len() < 1200, "{} bytes: {line}", line.len());
    }
}

/// The guest's message about its arguments becomes part of the command's last message.
#[test]
fn a_guest_that_refuses_its_arguments_forges_no_line() {
    let evil = format!("--{EVIL}");
    let ended = Running::start(in_sandbox("unruly.wasm", &["--listen", "127.0.0.1:0", "--", &evil])).wait();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("the guest refuses its arguments: "), "{}", ended.stderr);
    for line in ended.stderr.lines() {
        is_plain(line);
        assert!(!line.starts_with(FORGED), "{line}");
    }
}
