//! The command line: accepted arguments, the contents of stdout and stderr, and exit codes.
//!
//! With `SINBIN_STDERR=closed`, `full`, `gone` or `unread` everything but the contents of stderr must be equal.

#![cfg(unix)]

use std::env;
use std::io::{BufRead, BufReader, pipe};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use rustix::process::Signal;
use sinbin_tests::{
    Client, Mute, ReservedPort, Running, Server, connect, eventually, run, sinbin, stderr_is_heard,
};

const COMMANDS: [&str; 12] = [
    "",
    "serve",
    "serve fib",
    "serve echo",
    "serve upper",
    "ask",
    "perf",
    "perf latency",
    "perf throughput",
    "perf mixed",
    "completions",
    "man",
];

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn each_command_has_help() {
    for command in COMMANDS {
        for help in ["--help", "-h"] {
            let mut args = words(command);
            args.push(help);
            let ended = run(&args);
            assert_eq!(ended.code, Some(0), "{args:?}");
            assert_eq!(ended.stderr, "", "{args:?}");
            let usage = format!("Usage: sinbin {command}");
            assert!(ended.stdout.contains(usage.trim_end()), "{args:?}: {}", ended.stdout);
        }
    }
}

#[test]
fn the_help_tells_the_exit_codes_and_how_to_begin() {
    let help = run(&["--help"]).stdout;
    for text in ["Exit codes: 0 ", "sinbin serve fib", "130"] {
        assert!(help.contains(text), "{text:?} in {help}");
    }
}

#[test]
fn the_version_is_told() {
    let ended = run(&["--version"]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stdout, format!("sinbin {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_arguments_end_with_code_2_and_the_usage() {
    for line in [
        "",
        "serve",
        "perf",
        "nonsense",
        "serve nonsense",
        "serve fib --nonsense",
        "serve fib extra",
        "serve fib --listen",
        "serve fib --listen nonsense",
        "serve fib --listen localhost",
        "serve fib --listen 127.0.0.1",
        "serve fib --listen 127.0.0.1:65536",
        "serve fib --listen ::1",
        "serve fib --max-connections 0",
        "serve fib --max-connections many",
        "serve fib --max-connections -1",
        "serve fib --idle-timeout 5",
        "serve fib --idle-timeout 0s",
        "serve fib --drain-timeout soon",
        "serve fib --workers -1",
        "serve fib --workers 2000",
        "serve fib --slice 0",
        "serve fib --busy-poll 1h",
        "serve fib --max-buffered -1",
        "serve fib --max-buffered 64X",
        "serve fib --record file --record-limit 0",
        "serve fib --max-n 94",
        "serve fib --loop-n 26",
        "serve fib --max-line 0",
        "serve fib --framing nonsense",
        "serve echo --max-n 5",
        "serve upper --framing lines",
        "perf latency --connect nonsense",
        "perf latency --seconds 0",
        "perf latency --n 94",
        "perf latency --pipeline 2",
        "perf throughput --connections 0",
        "perf throughput --pipeline 0",
        "perf throughput --bare --pipeline 2",
        "perf mixed --slow-n 94",
        "perf mixed --connections 2",
        "perf mixed --json --brief",
        "perf mixed --max-others much",
        "perf latency --max-spread -1%",
        "perf throughput --attempts 0",
    ] {
        let ended = run(&words(line));
        assert_eq!(ended.code, Some(2), "{line:?}: {}", ended.stdout);
        assert_eq!(ended.stdout, "", "{line:?}");
        let helpful = ["Usage: ", "For more information, try '--help'."];
        if !stderr_is_heard() {
            continue;
        }
        assert!(helpful.iter().any(|text| ended.stderr.contains(text)), "{line:?}: {}", ended.stderr);
    }
}

#[test]
fn what_is_wrong_with_an_argument_is_told() {
    for (line, message) in [
        ("serve fib --idle-timeout 5", "off"),
        ("serve fib --idle-timeout 0s", "off"),
        ("serve fib --max-n 94", "93"),
        ("serve fib --listen localhost", "--listen <ADDR:PORT>"),
        ("serve fib --listen localhost", "localhost:25000 or 25000"),
        ("serve fib --max-buffered 64X", "64M, 64MiB, 1500K or 1G"),
        ("serve fib --max-buffered 64G", "0B to 65535MiB"),
    ] {
        let ended = run(&words(line));
        assert_eq!(ended.code, Some(2), "{line:?}");
        if !stderr_is_heard() {
            continue;
        }
        assert!(ended.stderr.contains(message), "{line:?}: {}", ended.stderr);
    }
}

#[test]
fn stdout_has_the_address_and_the_summary_and_stderr_the_logs() {
    let server = Server::fib(&["--log", "debug"]);
    let address = server.address();
    server.client().ask(20);
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    let summary = "served 1 connections, 1 jobs; 3 bytes in, 5 bytes out";
    if !stderr_is_heard() {
        let begins = ended.stdout.starts_with(&format!("listening on {address}\n{summary}"));
        assert!(begins, "{}", ended.stdout);
        return;
    }
    assert_eq!(ended.stdout, format!("listening on {address}\n{summary}\n"));
    for text in ["DEBUG", "connected", "INFO", "draining"] {
        assert!(ended.stderr.contains(text), "{text:?} in {}", ended.stderr);
    }
    assert!(!ended.stderr.contains('\x1b'), "no colours in a pipe");
}

#[test]
fn logs_can_be_off_by_option_and_by_environment() {
    let server = Server::fib(&["--log", "off"]);
    server.client().ask(20);
    assert_eq!(server.stop().stderr, "");

    let mut command = sinbin(&["serve", "fib", "--listen", "127.0.0.1:0"]);
    command.env("SINBIN_LOG", "debug");
    let loud = Running::start(command);
    loud.says("listening on ");
    let address = loud.stdout().trim().rsplit(' ').next().and_then(|word| word.parse().ok());
    drop(connect(address.expect("an address")));
    if stderr_is_heard() {
        loud.logs("connected");
    }
}

#[test]
fn a_log_level_that_is_none_is_told_with_those_that_there_are() {
    for level in ["bogus", "fib=debug", "INFO", "3"] {
        let by_option =
            Running::start(sinbin(&["--log", level, "serve", "fib", "--listen", "127.0.0.1:0"])).wait();
        let mut command = sinbin(&["serve", "fib", "--listen", "127.0.0.1:0"]);
        command.env("SINBIN_LOG", level);
        for ended in [by_option, Running::start(command).wait()] {
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{level:?}: {}", ended.stderr);
            if !stderr_is_heard() {
                continue;
            }
            let told =
                format!("SINBIN_LOG) {level:?}: unknown level; use error, warn, info, debug, trace or off\n");
            assert!(ended.stderr.ends_with(&told), "{}", ended.stderr);
        }
    }
}

/// Runs all tests of this file again for each kind of stderr that is not read.
#[test]
fn the_same_holds_whatever_becomes_of_stderr() {
    if !stderr_is_heard() {
        return;
    }
    for mute in Mute::ALL {
        let mut again = Command::new(env::current_exe().expect("a test has a path"));
        let ended = again.env("SINBIN_STDERR", format!("{mute:?}")).output().expect("it can be started");
        assert!(ended.status.success(), "{mute:?}: {}", String::from_utf8_lossy(&ended.stdout));
    }
}

/// Starts a server whose stdout is closed after its first line, as behind `| head -1`.
fn start_and_close_stdout(args: &[&str]) -> (Running, SocketAddr) {
    let (reader, writer) = pipe().expect("a pipe");
    let mut all = vec!["serve", "fib", "--listen", "127.0.0.1:0"];
    all.extend(args);
    let running = Running::start_into(sinbin(&all), writer);
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).expect("a line");
    let address = line.trim().rsplit(' ').next().and_then(|word| word.parse().ok());
    (running, address.expect("an address"))
}

#[test]
fn a_server_whose_stdout_is_closed_serves_and_ends_well() {
    let (running, address) = start_and_close_stdout(&[]);
    Client::connect(address).ask(20);
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code, Some(0), "every client was served");
}

#[test]
fn a_server_whose_stdout_is_closed_tells_by_its_code_that_it_cut_clients_off() {
    let (running, address) = start_and_close_stdout(&["--drain-timeout", "100ms", "--max-n", "93"]);
    let mut client = Client::connect(address);
    client.send("1\n93\n");
    assert_eq!(client.line(), "1");
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code, Some(3), "the exit code that the help documents");
}

#[test]
fn a_server_whose_stdout_nobody_ever_reads_serves() {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    // The server cannot print its address, so the test chooses it.
    let port = ReservedPort::new();
    let free = port.address();
    let mut running = Running::start_into(sinbin(&["serve", "fib", "--listen", &free.to_string()]), writer);
    eventually("a server, or its end", || TcpStream::connect(free).is_ok() || running.has_ended());
    assert!(!running.has_ended(), "the server ended: {:?}", running.stderr());
    Client::connect(free).ask(20);
}

#[test]
fn a_measurement_whose_stdout_is_closed_ends_without_a_panic() {
    let server = Server::fib(&[]);
    let address = server.address().to_string();
    let (reader, writer) = pipe().expect("a pipe");
    let args = ["perf", "latency", "--n", "5", "--seconds", "600", "--connect", &address];
    let running = Running::start_into(sinbin(&args), writer);
    // As `sinbin perf latency | head -1` does.
    BufReader::new(reader).read_line(&mut String::new()).expect("a line");
    let ended = running.wait();
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}
