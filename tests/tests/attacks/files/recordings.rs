//! Forged recordings: with false claims, excessive requests, or no end.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crc32fast::Hasher;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use sinbin_tests::{Ended, Running, by_shell, guest, sinbin, sinbin_wasi};

use super::{scratch, text};

/// The approximate size of a hostile recording in bytes.
const SIZE: usize = 16 << 20;

/// The limit of writable memory in KiB for a process that replays such a recording.
const MEMORY: u32 = 64 << 10;

/// A writer of recordings frame by frame, with valid checksums.
struct Forger {
    file: BufWriter<File>,
    sum: u32,
    written: usize,
}

impl Forger {
    /// Begins a recording with this header.
    fn new(path: &Path, header: &[u8]) -> Self {
        let mut file = BufWriter::new(File::create(path).expect("a file"));
        file.write_all(b"sinbin-rec\x03").expect("it can be written");
        let mut forger = Self { file, sum: 0, written: 0 };
        forger.frame(header);
        forger
    }

    /// Begins a recording of `echo` for this number of connections.
    fn of_echo(path: &Path, connections: u64) -> Self {
        let mut header = vec![4];
        header.extend_from_slice(b"echo");
        header.push(0);
        for number in [connections, 64 << 20, 0, 50_000] {
            put(number, &mut header);
        }
        Self::new(path, &header)
    }

    fn frame(&mut self, body: &[u8]) {
        let [a, b, c, _, ..] = body.len().to_le_bytes();
        let length = [a, b, c, !(a ^ b ^ c)];
        let mut hasher = Hasher::new_with_initial(self.sum);
        hasher.update(&length);
        hasher.update(body);
        self.sum = hasher.finalize();
        for bytes in [&length[..], &self.sum.to_le_bytes(), body] {
            self.file.write_all(bytes).expect("it can be written");
            self.written += bytes.len();
        }
    }

    fn end(mut self) {
        self.file.flush().expect("it can be written");
    }
}

/// Appends a number as LEB128.
fn put(mut number: u64, bytes: &mut Vec<u8>) {
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
}

/// Returns a turn with `count` events, whose bytes are given, and this input. The checksum of the answer is invalid.
fn turn(count: u64, events: &[u8], input: &[u8]) -> Vec<u8> {
    let mut body = vec![1, 0];
    put(65536, &mut body);
    put(count, &mut body);
    body.extend_from_slice(events);
    put(input.len() as u64, &mut body);
    body.extend_from_slice(input);
    body.extend_from_slice(&[0; 4]);
    body
}

/// Replays a recording natively and in the sandbox, both with little memory.
fn replay(path: &Path) -> [Ended; 2] {
    let echo = guest("echo.wasm");
    // Compiling the guest needs memory as well, so fill the cache first.
    let warm = sinbin_wasi(&["run", text(&echo), "--listen", "127.0.0.1:0"]);
    drop(sinbin_tests::Server::announced(warm));
    let limited = format!("ulimit -d {MEMORY}");
    let native = sinbin(&["replay", text(path)]);
    let sandboxed = sinbin_wasi(&["replay", text(path), text(&echo)]);
    [native, sandboxed].map(|command| Running::start(by_shell(&limited, &command)).wait())
}

/// Asserts that both refuse a recording, with code 1 and one of these texts.
fn refused(path: &Path, words: &[&str]) {
    for ended in replay(path) {
        assert_eq!(ended.code, Some(1), "{}: {} {}", path.display(), ended.stdout, ended.stderr);
        assert!(words.iter().any(|what| ended.stderr.contains(what)), "{words:?} in {}", ended.stderr);
        assert!(!ended.stderr.contains("memory allocation"), "{}", ended.stderr);
        assert!(ended.stderr.len() < 16384, "{} bytes of messages", ended.stderr.len());
    }
}

fn file(name: &str) -> PathBuf {
    scratch().join(name)
}

#[test]
fn a_frame_that_is_larger_than_any_turn_is_refused_by_its_head() {
    let path = file("events.sinbin");
    let mut forger = Forger::of_echo(&path, 100);
    let count = (1 << 24) - 64;
    forger.frame(&turn(count, &vec![13; usize::try_from(count).expect("small")], b""));
    forger.end();
    refused(&path, &["a frame that is larger than any turn"]);
}

#[test]
fn a_turn_of_more_events_or_bytes_than_there_may_be_is_refused() {
    let path = file("counts.sinbin");
    for (body, what) in [
        (turn(1 << 40, &[13; 100], b""), "more of something than there is"),
        (turn(1 << 20, &[13; 1 << 20], b""), "more of something than there may be"),
        (turn(0, &[], &vec![0; (1 << 20) + 1]), "more input than a turn may have"),
    ] {
        let mut forger = Forger::of_echo(&path, 100);
        forger.frame(&body);
        forger.end();
        refused(&path, &[what]);
    }
}

#[test]
fn a_header_of_more_arguments_than_there_may_be_is_refused() {
    let path = file("arguments.sinbin");
    for count in [1 << 21, 1 << 40] {
        let mut header = vec![4];
        header.extend_from_slice(b"echo");
        put(count, &mut header);
        header.resize(1 << 22, 0);
        Forger::new(&path, &header).end();
        refused(&path, &["more of something than there"]);
    }
}

#[test]
fn turns_that_are_as_large_as_they_may_be_take_little_memory() {
    let path = file("large.sinbin");
    let mut forger = Forger::of_echo(&path, 10_000);
    while forger.written < SIZE {
        forger.frame(&turn(1 << 18, &vec![13; 1 << 18], &vec![b'x'; 1 << 20]));
    }
    forger.end();
    refused(&path, &["differs from the recording"]);
}

#[test]
fn a_recording_that_asks_for_a_fresh_guest_again_and_again_gets_one() {
    let path = file("fresh.sinbin");
    let mut forger = Forger::of_echo(&path, 10_000);
    while forger.written < SIZE {
        forger.frame(&[3]);
    }
    forger.end();
    for ended in replay(&path) {
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    }
}

#[test]
fn connections_that_a_recording_makes_up_take_little_memory() {
    let path = file("connections.sinbin");
    let count = 1 << 18;
    let mut events = vec![0, 0, 1];
    for place in 1..count {
        events.extend_from_slice(&[1, 0, 1]);
        put(place, &mut events);
        events.extend_from_slice(&[1, 0]);
    }
    for (connections, what) in [
        (10_000, "differs from the recording"),
        (u64::from(u32::MAX), "--max-connections 4294967295 allows that"),
    ] {
        let mut forger = Forger::of_echo(&path, connections);
        forger.frame(&turn(count, &events, b""));
        forger.end();
        refused(&path, &[what]);
    }
}

#[test]
fn a_server_that_a_recording_makes_up_is_refused_where_it_is_too_large() {
    let path = file("server.sinbin");
    let mut header = vec![4];
    header.extend_from_slice(b"echo");
    header.push(0);
    for number in [10, u64::from(u32::MAX), 0, 50_000] {
        put(number, &mut header);
    }
    Forger::new(&path, &header).end();
    refused(&path, &["--max-buffered 4096 allows that"]);
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let directory = scratch();
    let fifo = directory.join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
    for path in [fifo, "/dev/zero".into(), directory] {
        refused(&path, &["where a regular file is needed"]);
    }
}

#[test]
fn a_recording_with_bits_that_are_flipped_is_refused_and_nothing_panics() {
    let directory = scratch();
    let whole = super::recording(&directory);
    let bytes = fs::read(&whole).expect("a recording");
    let bent = directory.join("bent.sinbin");
    for at in (0..bytes.len()).step_by(bytes.len().div_ceil(40)) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x80;
        fs::write(&bent, changed).expect("a file");
        let ended = Running::start(sinbin(&["replay", text(&bent)])).wait();
        assert_eq!(ended.code, Some(1), "bent at {at}: {}", ended.stdout);
        assert!(!ended.stderr.contains("panicked"), "bent at {at}: {}", ended.stderr);
    }
    for len in (0..bytes.len()).step_by(bytes.len().div_ceil(40)) {
        fs::write(&bent, &bytes[..len]).expect("a file");
        let ended = Running::start(sinbin(&["replay", text(&bent)])).wait();
        assert!(matches!(ended.code, Some(1 | 4)), "cut to {len}: {}", ended.stdout);
        assert!(!ended.stderr.contains("panicked"), "cut to {len}: {}", ended.stderr);
    }
}
