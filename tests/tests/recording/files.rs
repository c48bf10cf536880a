//! Files that cannot be recorded in, and recordings that end early.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use sinbin_tests::{Running, Server, guest, guests, sinbin, sinbin_wasi};

use crate::{native, path, replay, stop, text};

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
    let file = ["--record", text(&recording)];
    for (command, what) in [
        (
            sinbin(&[&["serve", "echo", "--written-as", "async-fn"], &file[..]].concat()),
            "written as a state machine",
        ),
        (
            sinbin(&[&["serve", "echo", "--max-buffered", "4096"], &file[..]].concat()),
            "--max-buffered of at most 4095MiB",
        ),
    ] {
        let ended = Running::start(command).wait();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(what), "{}", ended.stderr);
        assert!(ended.stderr.contains("For more information, try '--help'."), "{}", ended.stderr);
        assert!(!recording.exists());
    }
}

/// Opening a pipe would block until another process opens its read end.
#[test]
fn what_is_no_file_is_not_recorded_in() {
    let fifo = path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo exists");
    assert!(made.success());
    for path in [&fifo, guests()] {
        let ended =
            Running::start(sinbin(&["serve", "echo", "--listen", "127.0.0.1:0", "--record", text(path)]))
                .wait();
        assert_eq!(ended.code, Some(1));
        assert_eq!(ended.stdout, "");
        let what = format!("sinbin: cannot record in {}: it is not a regular file", path.display());
        assert!(ended.stderr.starts_with(&what), "{}", ended.stderr);
    }
    fs::remove_file(&fifo).ok();
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
    assert_eq!(ended.stdout, "", "it printed no address");
}

/// A file size limit of the process acts like a full disk, and has a signal of its own.
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
    assert_eq!(ended.stderr.matches("the recording cannot").count(), 1, "reported once: {}", ended.stderr);
    assert!(ended.stderr.contains(text(&recording)), "{}", ended.stderr);
    let len = fs::metadata(&recording).expect("a recording").len();
    assert!(ended.stderr.contains(&format!("bytes={len}")), "{len} in {}", ended.stderr);
    let played = replay(&recording, &[]);
    assert_eq!(played.code, Some(4), "{}", played.stderr);
}

/// The file may be the recording of a server that crashed, or of one that still runs.
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
