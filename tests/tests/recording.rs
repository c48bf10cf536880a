//! The same run everywhere: what one host has recorded, every other one answers alike, to the byte.

#![cfg(unix)]

use std::fs::{self, File};
use std::net::TcpListener;
use std::ops::Range;
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
    same_story_to(0, recording, name)
}

/// The same, with an exit code.
fn same_story_to(code: i32, recording: &Path, name: &str) -> String {
    let here = replay(recording, &["--trace"]);
    assert_eq!(here.code, Some(code), "{}", here.stderr);
    let there = replay_in_sandbox(recording, name, &["--trace"]);
    assert_eq!(there.code, Some(code), "{}", there.stderr);
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
    assert_eq!(played.code, Some(4), "{}", played.stderr);
    assert!(
        played.stdout.contains("where the recording is cut short (the server still runs, or was killed)")
    );
    // And where it ends in the middle of something.
    let bytes = fs::read(&recording).expect("a recording");
    fs::write(&recording, &bytes[..bytes.len() - 1]).expect("it can be cut");
    same_story_to(4, &recording, "fib.wasm");
    // And where nothing but the header is left, or not even that.
    let header = frames(&bytes)[0].end;
    fs::write(&recording, &bytes[..header]).expect("it can be cut");
    let played = replay(&recording, &[]);
    assert_eq!(played.code, Some(4), "{}", played.stderr);
    assert!(
        played.stdout.contains("; nothing is compared, as the recording is cut short"),
        "{}",
        played.stdout
    );
    for (len, what) in [(header - 1, "it ends within its header"), (0, "it is empty")] {
        fs::write(&recording, &bytes[..len]).expect("it can be cut");
        let played = replay(&recording, &[]);
        assert_eq!(played.code, Some(1));
        assert!(played.stderr.trim_end().ends_with(what), "{}", played.stderr);
    }
}

/// Where the frames of a recording are.
fn frames(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    let mut begin = 11;
    while let Some(head) = bytes.get(begin..begin + 8) {
        let end = begin + 8 + u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
        all.push(begin..end);
        begin = end;
    }
    all
}

#[test]
fn a_recording_that_is_damaged_is_told_where_and_is_no_other_answer() {
    let recording = path("whole");
    let server = native("fib", &recording, &["--workers", "0"]);
    use_fib(&server);
    stop(server);
    let bytes = fs::read(&recording).expect("a recording");
    let frames = frames(&bytes);
    let bent = path("damaged");
    let mut damaged = |bytes: &[u8], at: usize| {
        fs::write(&bent, bytes).expect("a file can be written");
        let ended = replay(&bent, &[]);
        assert_eq!(ended.code, Some(1), "damaged at {at}: {}", ended.stdout);
        assert_eq!(ended.stdout, "", "damaged at {at}");
        let what = format!("it is damaged at byte {at}: ");
        assert!(ended.stderr.contains(&what), "{what:?}: {}", ended.stderr);
    };
    // Some of the turns are missing, and the end is there.
    let (from, to) = (frames[frames.len() / 2].start, frames.last().expect("an end").start);
    damaged(&[&bytes[..from], &bytes[to..]].concat(), from);
    // A bit of any kind of thing is flipped: of lengths, checksums, times, input, and answers.
    for frame in [&frames[0], &frames[1], &frames[frames.len() / 2], frames.last().expect("an end")] {
        for (offset, bit) in (0..frame.len()).step_by(frame.len().div_ceil(16)).zip((0..8).cycle()) {
            let mut bytes = bytes.clone();
            bytes[frame.start + offset] ^= 1 << bit;
            damaged(&bytes, frame.start);
        }
    }
}

#[test]
fn a_server_that_is_none_leaves_no_file() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it has an address").to_string();
    let recording = path("no-server");
    let fib = guest("fib.wasm");
    let record = ["--listen", &address, "--record", text(&recording)];
    for command in [
        sinbin(&[&["serve", "fib"], &record[..]].concat()),
        sinbin_wasi(&[&["run", text(&fib)], &record[..]].concat()),
    ] {
        let ended = Running::start(command).wait();
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains(&address), "{}", ended.stderr);
        assert!(!recording.exists());
    }
}

#[test]
fn what_cannot_be_recorded_is_a_wrong_argument() {
    let recording = path("wrong");
    let portable = guest("fib-portable.wasm");
    let file = ["--record", text(&recording)];
    for (command, what) in [
        (
            sinbin(&[&["serve", "echo", "--written-as", "async-fn"], &file[..]].concat()),
            "written as a state machine",
        ),
        (
            sinbin(&[&["serve", "echo", "--max-buffered", "4096"], &file[..]].concat()),
            "--max-buffered of 4095 at the most",
        ),
        (sinbin_wasi(&[&["run", text(&portable)], &file[..]].concat()), "a command of WASI drives itself"),
    ] {
        let ended = Running::start(command).wait();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(what), "{}", ended.stderr);
        assert!(ended.stderr.contains("For more information, try '--help'."), "{}", ended.stderr);
        assert!(!recording.exists());
    }
}

/// To open a pipe would wait for whoever reads it.
#[test]
fn what_is_no_file_is_not_recorded_in() {
    let fifo = path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("there is mkfifo");
    assert!(made.success());
    for path in [&fifo, guests()] {
        let ended =
            Running::start(sinbin(&["serve", "echo", "--listen", "127.0.0.1:0", "--record", text(path)]))
                .wait();
        assert_eq!(ended.code, Some(1));
        assert_eq!(ended.stdout, "");
        let what = format!("sinbin: cannot record in {}: it is no regular file", path.display());
        assert!(ended.stderr.starts_with(&what), "{}", ended.stderr);
    }
    fs::remove_file(&fifo).ok();
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
    // One of an older version.
    bytes[10] = 1;
    fs::write(&bent, &bytes).expect("it can be bent");
    let ended = replay(&bent, &[]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("it is a recording of version 1, and version 2 is known"),
        "{}",
        ended.stderr
    );
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
    // The story has it, and then it is not told twice.
    let traced = replay_in_sandbox(&recording, "upper.wasm", &["--trace"]);
    assert_eq!(traced.code, Some(1));
    assert!(traced.stdout.contains("HELLO_SB"), "{}", traced.stdout);
    assert!(traced.stderr.contains("is answered otherwise than was recorded"), "{}", traced.stderr);
    assert!(!traced.stderr.contains("HELLO_SB"), "{}", traced.stderr);
    // One that does not even know the arguments.
    let ended = replay_in_sandbox(&recording, "echo-async.wasm", &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("refuses its arguments"), "{}", ended.stderr);
}

#[test]
fn what_is_answered_to_much_is_told_and_short() {
    let recording = path("much");
    let server = native("echo", &recording, &[]);
    let much = "what is said and said ".repeat(20_000);
    assert_eq!(server.ask(&much), much);
    stop(server);
    let ended = replay_in_sandbox(&recording, "upper.wasm", &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(" bytes \"what is said and said "), "{}", ended.stderr);
    assert!(ended.stderr.contains(" bytes \"WHAT IS SAID AND SAID "), "{}", ended.stderr);
    assert!(ended.stderr.contains("  the whole of it: --trace --from "), "{}", ended.stderr);
    assert!(ended.stderr.len() < 4096, "{}", ended.stderr);
}

#[test]
#[cfg(target_os = "linux")]
fn a_difference_is_told_also_where_stdout_takes_nothing() {
    let recording = path("stdout");
    let server = native("echo", &recording, &[]);
    assert_eq!(server.ask("hello"), "hello");
    stop(server);
    let full = || File::options().write(true).open("/dev/full").expect("Linux has it");
    for trace in [&[][..], &["--trace"]] {
        let command = sinbin(&[&["replay", text(&recording)], trace].concat());
        let ended = Running::start_into(command, full()).wait();
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.starts_with("sinbin: cannot write to stdout: "), "{}", ended.stderr);
        let upper = guest("upper.wasm");
        let command = sinbin_wasi(&[&["replay", text(&recording), text(&upper)], trace].concat());
        let ended = Running::start_into(command, full()).wait();
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("is answered otherwise than was recorded"), "{}", ended.stderr);
        assert!(ended.stderr.contains("HELLO_SB"), "{}", ended.stderr);
    }
    let command = sinbin(&["serve", "echo", "--listen", "127.0.0.1:0"]);
    let ended = Running::start_into(command, full()).wait();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("sinbin: cannot write to stdout: "), "{}", ended.stderr);
}

#[test]
fn what_the_sandbox_lacks_for_a_replay_is_told() {
    let recording = path("advice");
    stop(native("fib", &recording, &[]));
    let ended = replay_in_sandbox(&recording, "fib.wasm", &["--max-memory", "1"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("--max-memory is 1 MiB, and it needs more"), "{}", ended.stderr);
    let fib = guest("fib.wasm");
    let swapped = Running::start(sinbin_wasi(&["replay", text(&fib), text(&recording)])).wait();
    assert_eq!(swapped.code, Some(1));
    let advice = format!("`sinbin-wasi replay {} {}`", recording.display(), fib.display());
    assert!(swapped.stderr.contains(&advice), "{}", swapped.stderr);
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
    let args = ["serve", "echo", "--listen", "127.0.0.1:0", "--record", "/dev/full"];
    let ended = Running::start(sinbin(&args)).wait();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("sinbin: cannot record in /dev/full: "), "{}", ended.stderr);
    assert_eq!(ended.stdout, "", "it told nobody that it listens");
}

/// A limit of the process on its files is as good as a disk that is full, and has a signal of its own.
#[test]
fn a_recording_that_cannot_be_written_any_more_ends_and_the_server_goes_on() {
    let recording = path("limited");
    let served = sinbin(&["serve", "echo", "--listen", "127.0.0.1:0", "--record", text(&recording)]);
    let mut limited = Command::new("sh");
    // 8 blocks of 512 bytes, or of 1024.
    limited.args(["-c", "ulimit -f 8; exec \"$0\" \"$@\""]).arg(served.get_program()).args(served.get_args());
    let server = Server::announced(limited);
    let much = "much ".repeat(4000);
    assert_eq!(server.ask(&much), much);
    server.logs("the recording cannot be written and ends here; what is in the file can be replayed");
    assert_eq!(server.ask("and goes on"), "and goes on");
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stderr.matches("the recording cannot").count(), 1, "told once: {}", ended.stderr);
    assert!(ended.stderr.contains(text(&recording)), "{}", ended.stderr);
    let len = fs::metadata(&recording).expect("a recording").len();
    assert!(ended.stderr.contains(&format!("bytes={len}")), "{len} in {}", ended.stderr);
    let played = replay(&recording, &[]);
    assert_eq!(played.code, Some(4), "{}", played.stderr);
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
    let there = format!("there is no turn 99999999: {} has {turns} turns", recording.display());
    assert!(behind.stderr.contains(&there), "{}", behind.stderr);
    // A reader that has enough is no failure.
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
