//! The standard streams as pipes, files, sockets and devices, by the example `number_lines`.

#![cfg(unix)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Output, Stdio};
use std::thread;

use rustix::fs::{OFlags, fcntl_getfl};
use sinbin_tests::{Directory, example};

/// Starts the example with these streams.
fn start(stdin: impl Into<Stdio>, stdout: impl Into<Stdio>) -> Child {
    let mut command = example("number_lines");
    command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
    command.spawn().expect("it can be started")
}

fn ended(child: Child) -> (Option<i32>, Output, String) {
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), output, stderr)
}

/// Returns some lines, and the same with their numbers.
fn lines(count: usize) -> (String, String) {
    let line = |number: usize| "x".repeat(number % 200);
    let plain = (1..=count).map(|number| line(number) + "\n").collect();
    (plain, (1..=count).map(|number| format!("{number}\t{}\n", line(number))).collect())
}

#[test]
fn pipes_that_are_full_are_waited_for() {
    let (plain, numbered) = lines(20_000);
    let mut child = start(Stdio::piped(), Stdio::piped());
    let mut stdin = child.stdin.take().expect("a pipe");
    // Blocks until the output is read, as soon as both pipes are full.
    let writer = thread::spawn(move || stdin.write_all(plain.as_bytes()).expect("it reads"));
    let (code, output, stderr) = ended(child);
    writer.join().expect("all is written");
    assert_eq!((code, &*stderr), (Some(0), "20000 lines\n"));
    assert!(output.stdout == numbered.as_bytes());
}

#[test]
fn regular_files_are_read_and_written() {
    let directory = Directory::new("standard-streams");
    let (plain, numbered) = lines(3000);
    let [input, output] = ["input", "output"].map(|name| directory.path().join(name));
    fs::write(&input, plain).expect("a file");
    let child = start(File::open(&input).expect("a file"), File::create(&output).expect("a file"));
    let (code, _, stderr) = ended(child);
    assert_eq!((code, &*stderr), (Some(0), "3000 lines\n"));
    assert!(fs::read_to_string(&output).expect("a file") == numbered);
}

#[test]
fn both_can_be_one_socket() {
    let (plain, numbered) = lines(3000);
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let child = start(OwnedFd::from(theirs.try_clone().expect("a socket")), OwnedFd::from(theirs));
    let mut writing = ours.try_clone().expect("a socket");
    let writer = thread::spawn(move || {
        writing.write_all(plain.as_bytes()).expect("it reads");
        writing.shutdown(Shutdown::Write).expect("a socket");
    });
    let mut received = String::new();
    ours.read_to_string(&mut received).expect("its lines");
    writer.join().expect("all is written");
    assert_eq!(ended(child).2, "3000 lines\n");
    assert!(received == numbered);
}

#[test]
fn the_last_line_needs_no_end_and_no_input_is_no_line() {
    let mut child = start(Stdio::piped(), Stdio::piped());
    child.stdin.take().expect("a pipe").write_all(b"one\r\n\ntwo").expect("it reads");
    let (_, output, stderr) = ended(child);
    assert_eq!((&*output.stdout, &*stderr), (&b"1\tone\n2\t\n3\ttwo\n"[..], "3 lines\n"));
    let (code, output, stderr) = ended(start(Stdio::null(), Stdio::piped()));
    assert_eq!((code, output.stdout.len(), &*stderr), (Some(0), 0, "0 lines\n"));
}

/// Another process that shares a stream, such as the shell, would see `WouldBlock` instead of waiting.
#[test]
fn streams_that_others_share_stay_blocking() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let [shared_pipe, shared_socket] = [
        OwnedFd::from(writer.try_clone().expect("a descriptor")),
        OwnedFd::from(theirs.try_clone().expect("a descriptor")),
    ];
    let child = start(OwnedFd::from(theirs), writer);
    ours.write_all(b"one\n").expect("it reads");
    let mut line = [0; 6];
    (&reader).read_exact(&mut line).expect("a line");
    assert_eq!(&line, b"1\tone\n");
    for stream in [&shared_pipe, &shared_socket] {
        assert!(!fcntl_getfl(stream).expect("its flags").contains(OFlags::NONBLOCK), "{stream:?}");
    }
    ours.shutdown(Shutdown::Write).expect("a socket");
    drop(shared_socket);
    assert_eq!(ended(child).2, "1 lines\n");
}

#[test]
fn a_reader_that_is_gone_and_a_full_device_are_errors() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut child = start(Stdio::piped(), writer);
    child.stdin.take().expect("a pipe").write_all(b"one\n").ok();
    let (code, _, stderr) = ended(child);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("reset") || stderr.contains("Broken pipe"), "{stderr}");
    let Ok(full) = File::options().write(true).open("/dev/full") else { return };
    let mut child = start(Stdio::piped(), full);
    child.stdin.take().expect("a pipe").write_all(b"one\n").ok();
    let (code, _, stderr) = ended(child);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("No space left"), "{stderr}");
}
