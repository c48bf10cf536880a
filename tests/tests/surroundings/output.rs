//! Stdout and stderr that are closed, full, without a reader, or not read.

use std::fs;
use std::io::{Read, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;
use sinbin_tests::{
    Client, Ended, Mute, ReservedPort, Running, Server, by_shell, eventually, guest, sinbin, sinbin_wasi,
    with_longer_spans,
};

use crate::{WAYS, catches, drain, in_sandbox, is_served, listens, scratch};

#[test]
fn a_server_serves_and_drains_whatever_becomes_of_its_output() {
    for way in &WAYS {
        for mute in Mute::ALL {
            let port = ReservedPort::new();
            let address = port.address();
            let command = (way.command)(&["--log", "debug", "--listen", &address.to_string()]);
            let mut running = Running::start_mute(command, Some(mute), Some(mute));
            listens(&mut running, address);
            for _ in 0..10 {
                is_served(address);
            }
            assert_eq!(drain(running).0, Some(0), "{}, {mute:?}", way.name);
        }
    }
}

#[test]
fn a_pipe_that_nobody_reads_holds_up_no_client_and_no_drain() {
    for way in &WAYS {
        let port = ReservedPort::new();
        let address = port.address();
        let command = (way.command)(&["--log", "debug", "--listen", &address.to_string()]);
        let (reader, writer) = pipe().expect("a pipe");
        let mut running = Running::start_into(merged(&command), writer);
        listens(&mut running, address);
        // More than the capacity of a pipe.
        for _ in 0..700 {
            is_served(address);
        }
        assert_eq!(drain(running).0, Some(0), "{}", way.name);
        drop(reader);
    }
}

/// Returns the command with its stderr redirected to its stdout.
fn merged(command: &Command) -> Command {
    by_shell("exec 2>&1", command)
}

#[test]
fn what_is_lost_of_the_log_is_counted() {
    for way in &WAYS {
        let port = ReservedPort::new();
        let address = port.address();
        let command = (way.command)(&["--log", "debug", "--listen", &address.to_string()]);
        let mut running = Running::start_mute(command, None, Some(Mute::Full));
        listens(&mut running, address);
        is_served(address);
        let (code, stdout) = drain(running);
        assert_eq!(code, Some(0), "{}", way.name);
        assert!(stdout.starts_with(&format!("listening on {address}\n")), "{}: {stdout}", way.name);
        // A WASI command prints its own summary, and logs nothing.
        if way.name != "portable" {
            let summary = stdout.lines().last().unwrap_or_default();
            assert!(summary.starts_with("served "), "{}: {stdout}", way.name);
            assert!(summary.ends_with(" log lines lost"), "{}: {stdout}", way.name);
        }
    }
}

#[test]
fn the_log_goes_on_and_says_what_it_lacks_once_somebody_reads_it() {
    let port = ReservedPort::new();
    let address = port.address();
    let command = sinbin(&["serve", "fib", "--log", "debug", "--listen", &address.to_string()]);
    let (mut reader, writer) = pipe().expect("a pipe");
    let ours = writer.try_clone().expect("a descriptor");
    let mut running = Running::start_into(merged(&command), writer);
    listens(&mut running, address);
    for _ in 0..700 {
        is_served(address);
    }
    // The pipe is full now, and would block any other writer.
    let flags = fcntl_getfl(&ours).expect("flags");
    assert!(!flags.contains(OFlags::NONBLOCK), "the pipe stays blocking for other writers");
    drop(ours);
    let reads = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        text
    });
    // Lines are lost until the reader has emptied the pipe; each client causes more lines.
    eventually("a line that fits", || {
        is_served(address);
        reads_again(&running)
    });
    for _ in 0..3 {
        is_served(address);
    }
    assert_eq!(drain(running).0, Some(0));
    let text = reads.join().expect("the reader");
    let told = text.lines().find(|line| line.contains("lines could not be written here and were lost"));
    let told = told.unwrap_or_else(|| panic!("no count of lost lines in {text}"));
    let count = told.trim_start_matches('(').split(' ').next().and_then(|count| count.parse::<u32>().ok());
    assert!(count.is_some_and(|count| count > 0), "{told}");
    let behind = text.split(told).nth(1).unwrap_or_default();
    assert!(behind.contains("DEBUG connected"), "{behind}");
    assert!(text.lines().last().is_some_and(|line| line.ends_with(" log lines lost")), "{text}");
}

/// Returns true if the pipe is empty, because the reader has read everything.
fn reads_again(running: &Running) -> bool {
    let path = format!("/proc/{}/fd/1", running.pid().as_raw_pid());
    let Ok(end) = fs::File::options().read(true).open(path) else { return true };
    rustix::io::ioctl_fionread(&end).is_ok_and(|count| count == 0)
}

#[test]
fn a_process_that_starts_without_standard_streams_logs_into_no_socket_and_no_file() {
    for way in &WAYS {
        let port = ReservedPort::new();
        let address = port.address();
        let command = (way.command)(&["--log", "trace", "--listen", &address.to_string()]);
        let command = by_shell("exec <&-", &command);
        let mut running = Running::start_mute(command, Some(Mute::Closed), Some(Mute::Closed));
        listens(&mut running, address);
        is_served(address);
        for number in 0..3 {
            let leads = fs::read_link(format!("/proc/{}/fd/{number}", running.pid().as_raw_pid()));
            assert_eq!(leads.expect("an open descriptor").to_str(), Some("/dev/null"), "{}", way.name);
        }
        assert_eq!(drain(running).0, Some(0), "{}", way.name);
    }
}

#[test]
fn nobody_else_writes_the_log() {
    for way in &WAYS {
        let port = ReservedPort::new();
        let address = port.address();
        let command = (way.command)(&["--log", "debug", "--listen", &address.to_string()]);
        let mut running = Running::start_mute(command, None, Some(Mute::Unread));
        listens(&mut running, address);
        // Not a job, because jobs have their own threads.
        Client::connect(address).ask(1);
        let threads = || fs::read_dir(format!("/proc/{}/task", running.pid().as_raw_pid()));
        // The threads that compile a guest end after the compilation.
        eventually("a single thread", || threads().expect("a child").count() == 1);
        assert_eq!(drain(running).0, Some(0), "{}", way.name);
    }
}

/// Runs a command whose purpose is its output, to its end.
fn prints(command: Command, stdout: Mute) -> Ended {
    Running::start_mute(command, Some(stdout), None).wait()
}

#[test]
fn help_that_cannot_be_written_is_a_failure_and_one_that_nobody_wants_is_none() {
    for args in [&["--help"][..], &["--version"], &["help"]] {
        for command in [sinbin, sinbin_wasi] {
            let full = prints(command(args), Mute::Full);
            assert_eq!(full.code, Some(1), "{args:?}: {}", full.stderr);
            assert!(full.stderr.contains("cannot write to stdout: No space left"), "{}", full.stderr);
            for mute in [Mute::Closed, Mute::Gone] {
                let ended = prints(command(args), mute);
                assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}, {mute:?}");
            }
        }
    }
}

#[test]
fn programs_that_print_say_that_they_cannot() {
    let recording = scratch("printed");
    let recording = recording.to_str().expect("a UTF-8 path");
    let recorded =
        Server::announced(sinbin(&["serve", "fib", "--listen", "127.0.0.1:0", "--record", recording]));
    recorded.client().ask(20);
    assert_eq!(recorded.stop().code, Some(0));
    let guest = guest("fib.wasm");
    let guest = guest.to_str().expect("a UTF-8 path");
    let native = sinbin as fn(&[&str]) -> Command;
    for (command, args) in [
        (native, &["replay", recording][..]),
        (native, &["replay", recording, "--trace"]),
        (sinbin_wasi, &["inspect", guest]),
        (sinbin_wasi, &["replay", recording, guest, "--trace"]),
    ] {
        fails_if_full(&prints(command(args), Mute::Full));
        ends_if_gone(&prints(command(args), Mute::Gone));
    }
    let server = Server::fib(&[]);
    let address = server.address().to_string();
    for (mute, check) in [(Mute::Full, fails_if_full as fn(&Ended)), (Mute::Gone, ends_if_gone)] {
        with_longer_spans(Duration::from_secs(1), |span| {
            let (seconds, slow) = (span.as_secs().to_string(), ["--slow-n", "5", "--connect", &address]);
            let args = [&["perf", "mixed", "--attempts", "1", "--seconds", &seconds], &slow[..]].concat();
            let ended = prints(sinbin(&args), mute);
            if ended.stderr.contains("no request was answered in") {
                return Err(ended.stderr);
            }
            check(&ended);
            Ok(())
        });
    }
}

#[track_caller]
fn fails_if_full(ended: &Ended) {
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot write to stdout: No space left"), "{}", ended.stderr);
}

#[track_caller]
fn ends_if_gone(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// A program that prints waits for its reader, but can be stopped meanwhile.
#[test]
fn a_measurement_that_nobody_reads_can_be_stopped() {
    let server = Server::fib(&[]);
    let address = server.address().to_string();
    let args = ["perf", "latency", "--n", "1", "--seconds", "86400", "--connect", &address];
    let running = Running::start_mute(sinbin(&args), Some(Mute::Unread), None);
    eventually("a handler", || catches(&running, Signal::TERM));
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert!(matches!(ended.code, Some(0 | 1)), "{:?}: {}", ended.code, ended.stderr);
}

#[test]
fn errors_have_their_code_whether_anybody_hears_them_or_not() {
    for mute in Mute::ALL {
        for command in [sinbin, sinbin_wasi] {
            let wrong = Running::start_mute(command(&["nonsense"]), None, Some(mute)).wait();
            assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""), "{mute:?}");
            let missing =
                Running::start_mute(command(&["replay", "nothing", "nowhere"]), None, Some(mute)).wait();
            assert!(matches!(missing.code, Some(1 | 2)), "{mute:?}: {:?}", missing.code);
        }
    }
}

#[test]
fn a_log_file_that_may_not_grow_ends_nothing() {
    let log = scratch("log");
    let port = ReservedPort::new();
    let address = port.address();
    let command = sinbin(&["serve", "fib", "--log", "debug", "--listen", &address.to_string()]);
    let limited = format!("ulimit -f 8; exec 2>{}", log.display());
    let mut running = Running::start_mute(by_shell(&limited, &command), None, None);
    listens(&mut running, address);
    for _ in 0..200 {
        is_served(address);
    }
    let (code, stdout) = drain(running);
    assert_eq!(code, Some(0));
    assert!(stdout.contains(" log lines lost"), "{stdout}");
}

#[test]
fn a_stdout_that_is_stuck_does_not_keep_a_guest_from_serving() {
    let port = ReservedPort::new();
    let address = port.address();
    let command = in_sandbox("fib-portable.wasm", &["--listen", &address.to_string()]);
    let mut running = Running::start_mute(command, Some(Mute::Unread), Some(Mute::Unread));
    listens(&mut running, address);
    is_served(address);
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn a_socket_as_stderr_is_waited_for_no_more_than_a_pipe() {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    let port = ReservedPort::new();
    let address = port.address();
    let command = sinbin(&["serve", "fib", "--log", "debug", "--listen", &address.to_string()]);
    let theirs = OwnedFd::from(theirs);
    let flags = fcntl_getfl(&theirs).expect("flags");
    fcntl_setfl(&theirs, flags - OFlags::NONBLOCK).expect("flags");
    let mut running = Running::start_into(merged(&command), theirs);
    listens(&mut running, address);
    for _ in 0..1500 {
        is_served(address);
    }
    assert_eq!(drain(running).0, Some(0));
    drop(ours);
}
