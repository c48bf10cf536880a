//! Recordings across hosts: a recording of one host is answered equally by every other one, to the byte.

#![cfg(unix)]

mod commands;
mod connecting;
mod files;
mod perfetto;
mod wrong;

use std::fs;
use std::path::{Path, PathBuf};

use sinbin_tests::{Ended, Running, Server, guest, guests, replies, sinbin, sinbin_wasi};

/// Returns the path of a recording with this name.
fn path(name: &str) -> PathBuf {
    let path = guests().join(format!("test-recording-{name}"));
    fs::remove_file(&path).ok();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Starts `sinbin serve` with a recording.
fn native(service: &str, recording: &Path, args: &[&str]) -> Server {
    let all = ["serve", service, "--listen", "127.0.0.1:0", "--record", text(recording)];
    Server::announced(sinbin(&[&all, args].concat()))
}

/// Starts `sinbin-wasi run` with a recording.
fn sandboxed(name: &str, recording: &Path, args: &[&str]) -> Server {
    let guest = guest(name);
    let all = ["run", text(&guest), "--listen", "127.0.0.1:0", "--record", text(recording)];
    Server::announced(sinbin_wasi(&[&all, args].concat()))
}

fn replay(recording: &Path, args: &[&str]) -> Ended {
    Running::start(sinbin(&[&["replay", text(recording)], args].concat())).wait()
}

fn replay_in_sandbox(recording: &Path, name: &str, args: &[&str]) -> Ended {
    let guest = guest(name);
    Running::start(sinbin_wasi(&[&["replay", text(recording), text(&guest)], args].concat())).wait()
}

/// Replays a recording on both hosts, asserts that the traces are equal, and returns the trace.
fn same_story(recording: &Path, name: &str) -> String {
    same_story_to(0, recording, name)
}

/// Replays a recording as [`same_story`] does, with the expected exit code.
fn same_story_to(code: i32, recording: &Path, name: &str) -> String {
    let here = replay(recording, &["--trace"]);
    assert_eq!(here.code, Some(code), "{}", here.stderr);
    let there = replay_in_sandbox(recording, name, &["--trace"]);
    assert_eq!(there.code, Some(code), "{}", there.stderr);
    assert!(here.stdout == there.stdout, "the two traces differ");
    assert!(here.stderr.contains("all answers match"), "{}", here.stderr);
    here.stdout
}

/// Uses the server with many kinds of clients, and checks the answers, which are those of any server.
fn use_fib(server: &Server) {
    assert_eq!(server.ask("10\n20\n"), replies([10, 20]));
    let mut clients: Vec<_> = (0..20).map(|_| server.client()).collect();
    for round in 0..5 {
        for (index, client) in clients.iter_mut().enumerate() {
            client.send(format!("{}\n", (index + round) % 25));
        }
        for (index, client) in clients.iter_mut().enumerate() {
            assert_eq!(
                format!("{}\n", client.line()),
                replies([u32::try_from((index + round) % 25).unwrap()])
            );
        }
    }
    let mut half = server.client();
    // After a line in one piece, the rest may come in pieces. Half a first line would be a request by itself, if it is
    // received alone.
    half.ask(2);
    half.send("1");
    half.send("5\nnonsense\n");
    assert_eq!(format!("{}\n", half.line()), replies([15]));
    assert!(half.line().starts_with("error"));
    let many: String = (0..3000).map(|n| format!("{}\n", n % 30)).collect();
    assert_eq!(server.ask(&many), replies((0..3000).map(|n| n % 30)));
    // A client that disconnects before its answer is ready.
    let mut gone = server.client();
    gone.send("38\n");
    drop(gone);
    drop(clients);
    assert_eq!(server.ask("1\n"), "1\n");
}

fn stop(server: Server) {
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("the recording is whole"), "{}", ended.stderr);
}

#[test]
fn what_is_recorded_natively_runs_the_same_in_the_sandbox() {
    for workers in ["0", "2"] {
        let recording = path(&format!("native-{workers}"));
        let server = native("fib", &recording, &["--workers", workers]);
        use_fib(&server);
        stop(server);
        let story = same_story(&recording, "fib.wasm");
        assert!(story.contains(": 3 bytes \"15\\n\"") || story.contains(": 2 bytes \"5\\n"), "{story:.3000}");
        assert!(story.contains("error"), "the trace contains what was sent");
        assert_eq!(story.contains("-> submit job"), workers != "0");
    }
}

#[test]
fn what_is_recorded_in_the_sandbox_runs_the_same_natively() {
    for workers in ["0", "2"] {
        let recording = path(&format!("sandbox-{workers}"));
        // The arguments of the service are written in different ways.
        let args = ["--workers", workers, "--", "--max-n", "40", "--max-n=42", "--idle-timeout=1h"];
        let server = sandboxed("fib.wasm", &recording, &args);
        use_fib(&server);
        stop(server);
        same_story(&recording, "fib.wasm");
    }
}

#[test]
fn the_other_services_too() {
    for service in ["echo", "upper"] {
        let recording = path(service);
        let server = native(service, &recording, &[]);
        let much = "what is said and said ".repeat(20_000);
        let mut slow = server.client();
        slow.send("somebody who closes last");
        let answer = server.ask(&much);
        assert!(answer.len() >= much.len());
        drop(slow);
        stop(server);
        same_story(&recording, &format!("{service}.wasm"));
    }
}

#[test]
fn a_guest_that_failed_fails_again_and_its_successor_goes_on() {
    let recording = path("unruly");
    let server = sandboxed("unruly.wasm", &recording, &[]);
    for word in ["trap", "stall"] {
        let mut client = server.client();
        client.send(word);
        let _ = client.rest();
    }
    let mut client = server.client();
    client.send("hello");
    assert_eq!(client.bytes(5), b"hello");
    drop(client);
    stop(server);
    let played = replay_in_sandbox(&recording, "unruly.wasm", &["--trace"]);
    assert_eq!(played.code, Some(0), "{}", played.stderr);
    assert!(played.stdout.contains("-> the guest fails\n"));
    assert_eq!(played.stdout.matches("a fresh guest takes over\n").count(), 2);
    // The native command does not have this service.
    let elsewhere = replay(&recording, &[]);
    assert_eq!(elsewhere.code, Some(1));
    assert!(elsewhere.stderr.contains("\"unruly\""), "{}", elsewhere.stderr);
    assert!(elsewhere.stderr.contains("run `sinbin-wasi replay "), "{}", elsewhere.stderr);
}

#[test]
fn a_part_of_the_story_is_the_same_as_in_the_whole() {
    let recording = path("part");
    let server = native("fib", &recording, &["--workers", "0"]);
    let mut client = server.client();
    for n in 0..10 {
        client.send(format!("{n}\n"));
        assert_eq!(format!("{}\n", client.line()), replies([n]));
    }
    drop(client);
    stop(server);
    let whole = replay(&recording, &["--trace"]);
    let part = replay(&recording, &["--trace", "--from", "3", "--turns", "2"]);
    assert_eq!(part.code, Some(0), "{}", part.stderr);
    assert!(part.stdout.starts_with("turn 3 at "), "{}", part.stdout);
    assert!(part.stdout.contains("\nturn 4 at ") && !part.stdout.contains("\nturn 5 at "), "{}", part.stdout);
    assert!(whole.stdout.contains(&part.stdout));
    let behind = replay(&recording, &["--trace", "--from", "99999999"]);
    assert_eq!((behind.code, behind.stdout.as_str()), (Some(1), ""));
    let turns = whole.stdout.lines().filter(|line| line.starts_with("turn ")).count();
    let there = format!(
        "--from 99999999 is beyond the end of the recording: {} has {turns} turns",
        recording.display()
    );
    assert!(behind.stderr.contains(&there), "{}", behind.stderr);
    // A reader that closes the pipe early is no failure.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ended = Running::start_into(sinbin(&["replay", text(&recording), "--trace"]), writer).wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_async_fn_is_recorded_in_the_sandbox_alone() {
    let recording = path("async");
    let server = sandboxed("echo-async.wasm", &recording, &[]);
    assert_eq!(server.ask("hello"), "hello");
    stop(server);
    let played = replay_in_sandbox(&recording, "echo-async.wasm", &[]);
    assert_eq!(played.code, Some(0), "{}", played.stderr);
}

/// The jobs of an async fn whose type the guest has named are computed by other instances, and their results are recorded.
#[test]
fn jobs_of_an_async_fn_are_submitted_and_replayed() {
    let recording = path("async-jobs");
    let server = sandboxed("fib-async.wasm", &recording, &["--workers", "1"]);
    assert_eq!(server.ask("30\nx\n10"), "832040\nerror: expected a number from 0 to 50\n55\n");
    let ended = server.stop();
    assert!(ended.stdout.contains("served 1 connections, 2 jobs; "), "{}", ended.stdout);
    let guest = guest("fib-async.wasm");
    let trace = ["replay", text(&recording), text(&guest), "--trace"];
    let played = Running::start(sinbin_wasi(&trace)).wait();
    assert_eq!(played.code, Some(0), "{}", played.stderr);
    assert_eq!(played.stdout.matches("-> submit job").count(), 2, "{}", played.stdout);
    assert_eq!(played.stdout.matches("computed job").count(), 2, "{}", played.stdout);
}

/// A loop that polls busily and records meets its deadlines, and ends when it is asked to.
#[test]
fn busy_polling_outlasts_no_deadline_of_a_loop_that_records() {
    let busy = ["--busy-poll", "1000000"];
    let idle = ["--idle-timeout", "300ms"];
    let (here, there) = (path("busy"), path("busy-sandboxed"));
    for server in [
        native("echo", &here, &[busy, idle].concat()),
        sandboxed("echo.wasm", &there, &[&busy[..], &["--"], &idle].concat()),
    ] {
        assert_eq!(server.client().rest(), "", "closed after the idle timeout");
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}
