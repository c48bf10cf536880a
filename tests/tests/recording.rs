//! The same run everywhere: what one host has recorded, every other one answers alike, to the byte.

#![cfg(unix)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use sinbin_tests::{Ended, Running, Server, eventually, guest, guests, replies, sinbin, sinbin_wasi};

/// A path for a recording of this name.
fn path(name: &str) -> PathBuf {
    let path = guests().join(format!("test-recording-{name}"));
    fs::remove_file(&path).ok();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

/// `sinbin serve`, recording.
fn native(service: &str, recording: &Path, args: &[&str]) -> Server {
    let all = ["serve", service, "--listen", "127.0.0.1:0", "--record", text(recording)];
    Server::announced(sinbin(&[&all, args].concat()))
}

/// `sinbin-wasi run`, recording.
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

/// Both hosts play it back, and tell the same story. Returns that.
fn same_story(recording: &Path, name: &str) -> String {
    let here = replay(recording, &["--trace"]);
    assert_eq!(here.code, Some(0), "{}", here.stderr);
    let there = replay_in_sandbox(recording, name, &["--trace"]);
    assert_eq!(there.code, Some(0), "{}", there.stderr);
    assert!(here.stdout == there.stdout, "the two traces differ");
    assert!(here.stderr.contains("every answer the same"), "{}", here.stderr);
    here.stdout
}

/// Clients of all kinds: what they get is what they would from any server.
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
    half.send("1");
    half.send("5\nnonsense\n");
    assert_eq!(format!("{}\n", half.line()), replies([15]));
    assert!(half.line().starts_with("error"));
    let many: String = (0..3000).map(|n| format!("{}\n", n % 30)).collect();
    assert_eq!(server.ask(&many), replies((0..3000).map(|n| n % 30)));
    // Somebody who is gone before his answer is there.
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
        assert!(story.contains("error"), "what was sent is in it");
        assert_eq!(story.contains("-> submit job"), workers != "0");
    }
}

#[test]
fn what_is_recorded_in_the_sandbox_runs_the_same_natively() {
    for workers in ["0", "2"] {
        let recording = path(&format!("sandbox-{workers}"));
        // In the words of whoever started it.
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
    // It is none of those that the native command has.
    let elsewhere = replay(&recording, &[]);
    assert_eq!(elsewhere.code, Some(1));
    assert!(elsewhere.stderr.contains("\"unruly\""), "{}", elsewhere.stderr);
    assert!(elsewhere.stderr.contains("run `sinbin-wasi replay "), "{}", elsewhere.stderr);
}

#[test]
fn a_server_that_is_killed_leaves_a_recording_that_runs() {
    let recording = path("killed");
    let server = native("fib", &recording, &[]);
    let mut client = server.client();
    client.send("25\n");
    assert_eq!(format!("{}\n", client.line()), replies([25]));
    // The server is idle now, and writes what it has.
    let has = |what: &str| {
        fs::read(&recording).is_ok_and(|bytes| bytes.windows(what.len()).any(|at| at == what.as_bytes()))
    };
    eventually("the request is in the file", || has("25\n"));
    server.signal(Signal::KILL);
    assert_eq!(server.wait().code, None);
    let played = replay(&recording, &[]);
    assert_eq!(played.code, Some(0), "{}", played.stderr);
    assert!(played.stdout.contains("where the recording is cut short"), "{}", played.stdout);
    // And where it ends in the middle of something.
    let bytes = fs::read(&recording).expect("a recording");
    fs::write(&recording, &bytes[..bytes.len() - 1]).expect("it can be cut");
    same_story(&recording, "fib.wasm");
}

#[test]
fn what_is_no_recording_is_refused_by_name() {
    let junk = path("junk");
    fs::write(&junk, "#!/bin/sh\necho hello\n").expect("a file can be written");
    for ended in [replay(&junk, &[]), replay_in_sandbox(&junk, "fib.wasm", &[])] {
        assert_eq!(ended.code, Some(1));
        assert_eq!(ended.stdout, "");
        assert!(ended.stderr.contains("it is no recording"), "{}", ended.stderr);
    }
    let missing = replay(Path::new("no/such/file"), &[]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.starts_with("sinbin: cannot read no/such/file: "), "{}", missing.stderr);

    let bent = path("bent");
    stop(native("echo", &bent, &[]));
    let mut bytes = fs::read(&bent).expect("a recording");
    let end = bytes.len();
    bytes.push(b'!');
    fs::write(&bent, &bytes).expect("something can be put behind it");
    let ended = replay(&bent, &[]);
    assert_eq!(ended.code, Some(1));
    let place = format!("it is damaged at byte {end}: something behind the end");
    assert!(ended.stderr.contains(&place), "{}", ended.stderr);
    bytes.pop();
    // The end's frame is a length, its kind and three numbers.
    bytes[end - 4] = 9;
    fs::write(&bent, &bytes).expect("it can be bent");
    let ended = replay(&bent, &[]);
    assert_eq!(ended.code, Some(1));
    let place = format!("it is damaged at byte {}: a frame of no known kind", end - 4);
    assert!(ended.stderr.contains(&place), "{}", ended.stderr);
}

#[test]
fn another_service_is_told_by_the_first_turn_that_differs() {
    let recording = path("other");
    let server = native("echo", &recording, &[]);
    assert_eq!(server.ask("hello"), "hello");
    stop(server);
    let ended = replay_in_sandbox(&recording, "upper.wasm", &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("is answered otherwise than was recorded"), "{}", ended.stderr);
    assert!(ended.stderr.contains("HELLO_SB"), "what it answers instead: {}", ended.stderr);
    // One that does not even know the arguments.
    let ended = replay_in_sandbox(&recording, "echo-async.wasm", &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("refuses its arguments"), "{}", ended.stderr);
}

#[test]
fn a_recording_that_is_full_ends_and_the_server_goes_on() {
    let recording = path("full");
    let server = native("echo", &recording, &["--record-limit", "1"]);
    let much = "much ".repeat(500_000);
    assert_eq!(server.ask(&much), much);
    server.logs("the recording has reached its limit");
    assert_eq!(server.ask("and goes on"), "and goes on");
    assert_eq!(server.stop().code, Some(0));
    assert!(fs::metadata(&recording).expect("a recording").len() <= (1 << 20) + 64);
    let played = replay(&recording, &[]);
    assert_eq!(played.code, Some(0), "{}", played.stderr);
    assert!(played.stdout.contains("up to the recording's limit"), "{}", played.stdout);
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_is_full_at_once_is_an_error() {
    let ended = Running::start(sinbin(&["serve", "echo", "--record", "/dev/full"])).wait();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("sinbin: cannot record in /dev/full: "), "{}", ended.stderr);
    assert_eq!(ended.stdout, "", "it never listened");
}

/// A pipe that nobody reads any more takes as little as a disk that is full, and when the test says so.
#[test]
#[cfg(target_os = "linux")]
fn a_recording_that_cannot_be_written_any_more_ends_and_the_server_goes_on() {
    let fifo = path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("there is mkfifo");
    assert!(made.success());
    // Opened for both, it waits for nobody.
    let reader = File::options().read(true).write(true).open(&fifo).expect("it was made");
    let server = native("echo", &fifo, &[]);
    drop(reader);
    assert_eq!(server.ask("hello"), "hello");
    server.logs("the recording cannot be written and ends here; serving goes on");
    assert_eq!(server.ask("and goes on"), "and goes on");
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stderr.matches("the recording").count(), 1, "told once: {}", ended.stderr);
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
    // A reader that has enough is no failure.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ended = Running::start_into(sinbin(&["replay", text(&recording), "--trace"]), writer).wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_async_fn_is_recorded_in_the_sandbox_alone() {
    let recording = path("async");
    let args = ["serve", "echo", "--written-as", "async-fn", "--record", text(&recording)];
    let ended = Running::start(sinbin(&args)).wait();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("written as a state machine"), "{}", ended.stderr);
    let server = sandboxed("echo-async.wasm", &recording, &[]);
    assert_eq!(server.ask("hello"), "hello");
    stop(server);
    let played = replay_in_sandbox(&recording, "echo-async.wasm", &[]);
    assert_eq!(played.code, Some(0), "{}", played.stderr);
}

/// It may be what a server said before it crashed, or what another one is saying.
#[test]
fn a_file_with_something_in_it_is_left_alone() {
    let recording = path("there-already");
    let server = native("echo", &recording, &[]);
    assert_eq!(server.ask("hello"), "hello");
    let args = ["serve", "echo", "--listen", "127.0.0.1:0", "--record", text(&recording)];
    let ended = Running::start(sinbin(&args)).wait();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("name another file, or remove it"), "{}", ended.stderr);
    stop(server);
    let played = replay(&recording, &[]);
    assert_eq!(played.code, Some(0), "{}", played.stderr);
}
