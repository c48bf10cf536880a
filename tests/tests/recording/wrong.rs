//! Recordings that are damaged, cut short, of another format, or of another service.

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;

use rustix::process::Signal;
use sinbin_tests::{Running, eventually, guest, replies, sinbin, sinbin_wasi};

use crate::{native, path, replay, replay_in_sandbox, same_story_to, stop, text, use_fib};

#[test]
fn a_server_that_is_killed_leaves_a_recording_that_runs() {
    let recording = path("killed");
    let server = native("fib", &recording, &[]);
    let mut client = server.client();
    client.send("25\n");
    assert_eq!(format!("{}\n", client.line()), replies([25]));
    // The server is idle now, and writes its buffered records.
    let has = |what: &str| {
        fs::read(&recording).is_ok_and(|bytes| bytes.windows(what.len()).any(|at| at == what.as_bytes()))
    };
    eventually("the request is in the file", || has("25\n"));
    server.signal(Signal::KILL);
    assert_eq!(server.wait().code, None);
    let played = replay(&recording, &[]);
    assert_eq!(played.code, Some(4), "{}", played.stderr);
    assert!(
        played
            .stdout
            .contains("where the incomplete recording ends (the server is still running, or was killed)")
    );
    // A recording that ends within a record.
    let bytes = fs::read(&recording).expect("a recording");
    fs::write(&recording, &bytes[..bytes.len() - 1]).expect("it can be cut");
    same_story_to(4, &recording, "fib.wasm");
    // A recording that has only a header, or a part of it.
    let header = frames(&bytes)[0].end;
    fs::write(&recording, &bytes[..header]).expect("it can be cut");
    let played = replay(&recording, &[]);
    assert_eq!(played.code, Some(4), "{}", played.stderr);
    assert!(
        played.stdout.contains("; nothing was compared: the recording is incomplete"),
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

/// Returns the ranges of a recording's frames.
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
    let server = native("fib", &recording, &["--workers", "2"]);
    use_fib(&server);
    stop(server);
    let bytes = fs::read(&recording).expect("a recording");
    let frames = frames(&bytes);
    let bent = path("damaged");
    let damaged = |bytes: &[u8], at: usize| {
        fs::write(&bent, bytes).expect("a file can be written");
        let ended = replay(&bent, &[]);
        assert_eq!(ended.code, Some(1), "damaged at {at}: {}", ended.stdout);
        assert_eq!(ended.stdout, "", "damaged at {at}");
        let what = format!("it is damaged at byte {at}: ");
        assert!(ended.stderr.contains(&what), "{what:?}: {}", ended.stderr);
    };
    // Some of the turns are missing, but the end exists.
    let (from, to) = (frames[frames.len() / 2].start, frames.last().expect("an end").start);
    damaged(&[&bytes[..from], &bytes[to..]].concat(), from);
    // Flip bits in all kinds of fields: lengths, checksums, times, input, and answers.
    for frame in [&frames[0], &frames[1], &frames[frames.len() / 2], frames.last().expect("an end")] {
        for (offset, bit) in (0..frame.len()).step_by(frame.len().div_ceil(16)).zip((0..8).cycle()) {
            let mut bytes = bytes.clone();
            bytes[frame.start + offset] ^= 1 << bit;
            damaged(&bytes, frame.start);
        }
    }
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
    // A recording of an older version.
    bytes[10] = 1;
    fs::write(&bent, &bytes).expect("it can be bent");
    let ended = replay(&bent, &[]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("it is a recording of version 1, and versions 3 to 4 are known"),
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
    assert!(ended.stderr.contains("differs from the recording"), "{}", ended.stderr);
    assert!(ended.stderr.contains("HELLO_SB"), "what it answers instead: {}", ended.stderr);
    // The trace contains the difference, so the error message does not repeat it.
    let traced = replay_in_sandbox(&recording, "upper.wasm", &["--trace"]);
    assert_eq!(traced.code, Some(1));
    assert!(traced.stdout.contains("HELLO_SB"), "{}", traced.stdout);
    assert!(traced.stderr.contains("differs from the recording"), "{}", traced.stderr);
    assert!(!traced.stderr.contains("HELLO_SB"), "{}", traced.stderr);
    // A guest that does not even accept the arguments.
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
        assert!(ended.stderr.contains("differs from the recording"), "{}", ended.stderr);
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
    let advice = "the guest needs more than --max-memory, which is 1MiB";
    assert!(ended.stderr.contains(advice), "{}", ended.stderr);
    let fib = guest("fib.wasm");
    let swapped = Running::start(sinbin_wasi(&["replay", text(&fib), text(&recording)])).wait();
    assert_eq!(swapped.code, Some(1));
    let advice = format!("`sinbin-wasi replay {} {}`", recording.display(), fib.display());
    assert!(swapped.stderr.contains(&advice), "{}", swapped.stderr);
}
