//! The command `dialogues`: accepted arguments, the contents of stdout and stderr, and exit codes.

#![cfg(unix)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, pipe};
use std::process::{self, Command};
use std::sync::mpsc::channel;
use std::thread;

use rustix::process::Signal;
use sinbin_tests::{Ended, PATIENCE, Running, Server};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialogues"));
    command.args(args);
    command
}

/// Runs the command to its end.
fn dialogues(args: &[&str]) -> Ended {
    Running::start(command(args)).wait()
}

#[test]
fn a_server_that_runs_already_is_held_to_what_it_can_be() {
    let server = Server::fib(&[]);
    let address = server.address().to_string();
    let ended = dialogues(&["--service", "fib", "--only", "fib/bare", "--address", &address]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(ended.stdout.contains("fib/bare_and_gone       ✓"), "{}", ended.stdout);
    let left_out = "fib/bare_by_option: it runs already, and would have to be started with --framing bare";
    assert!(ended.stdout.contains(left_out), "{}", ended.stdout);
    assert!(
        ended.stdout.ends_with("4 dialogues, 1 hosts: 3 held, 0 failed, 1 left out\n"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_server_that_says_something_else_is_an_exit_code_of_1() {
    let server = Server::start("echo", &[]);
    let address = server.address().to_string();
    let ended = dialogues(&["--service", "fib", "--only", "fib/zero", "--address", &address]);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains("client 1, step 3: expect "), "{}", ended.stdout);
    assert!(ended.stdout.contains("the bytes differ at byte 0: \"0\\n-1\\n"), "{}", ended.stdout);
}

#[test]
fn wrong_arguments_are_an_exit_code_of_2() {
    for (args, message) in [
        (&["--host", "nobody"][..], "dialogues: --host nobody: unknown host; see --list"),
        (&["--only", "no-such"], "dialogues: --only no-such: no dialogue has such a name"),
        (&["--dialogues", "/nowhere"], "dialogues: cannot read /nowhere/fib: "),
        (&["--only", "no-such", "--list"], "dialogues: --only no-such: no dialogue has such a name"),
        (
            &["--only", "fib/", "--service", "echo"],
            " dialogues have such names, and --service echo excludes all of them",
        ),
        (&["--lacks", "linger"], "<--address <ADDR:PORT>|COMMAND>"),
        (&["--address", "127.0.0.1:1"], "--service"),
        (&["--", "command"], "--service"),
    ] {
        let ended = dialogues(args);
        assert_eq!(ended.code, Some(2), "{args:?}");
        assert!(ended.stderr.contains(message), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn a_host_that_is_named_twice_is_asked_once() {
    let args = ["--host", "simulator", "--host", "simulator", "--only", "echo/"];
    let ended = dialogues(&args);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains(" dialogues, 1 hosts: "), "{}", ended.stdout);
}

#[test]
fn the_version_is_told() {
    assert_eq!(dialogues(&["--version"]).stdout, format!("dialogues {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_command_that_does_not_serve_is_told_with_its_status() {
    for (script, message) in [
        ("exit 7", "sh ended before it listened, with exit status: 7, and said nothing"),
        ("echo no port >&2", "sh ended before it listened, with exit status: 0; it said: no port"),
    ] {
        let ended = dialogues(&["--service", "echo", "--only", "echo/", "--", "sh", "-c", script]);
        assert_eq!(ended.code, Some(1), "{script}: {}", ended.stderr);
        assert!(ended.stdout.contains(message), "{script}: {}", ended.stdout);
    }
}

#[test]
fn output_that_nobody_reads_any_more_ends_it_quietly() {
    for args in [&["--list"][..], &["--host", "simulator", "--only", "echo/"]] {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let ended = Running::start_into(command(args), writer).wait();
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked") && !ended.stderr.contains("cannot"), "{}", ended.stderr);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_told_and_an_exit_code_of_1() {
    for args in [&["--list"][..], &["--host", "simulator", "--only", "echo/"]] {
        let full = File::options().write(true).open("/dev/full").expect("a full disk");
        let ended = Running::start_into(command(args), full).wait();
        assert_eq!(ended.code, Some(1), "{args:?}: {}", ended.stderr);
        let message = "dialogues: cannot write to stdout: No space left on device";
        assert!(ended.stderr.contains(message), "{args:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{args:?}: {}", ended.stderr);
    }
}

/// A script that never listens. The script and its child hold the pipe `$0` open.
const NEVER_LISTENS: &str = "exec 3>\"$0\"; echo begun >&3; sleep 100000 & sleep 100000";

#[test]
fn a_signal_ends_the_hosts_that_it_started_and_what_those_started() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let path = format!("{}/held-{}-{code}", env!("CARGO_TARGET_TMPDIR"), process::id());
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo exists").success());
        let (lines, told) = channel();
        let fifo = path.clone();
        thread::spawn(move || {
            let mut pipe = BufReader::new(File::open(fifo).expect("it can be opened"));
            for _ in 0..2 {
                let mut line = String::new();
                pipe.read_line(&mut line).expect("it can be read");
                lines.send(line).ok();
            }
        });
        let own = ["sh", "-c", NEVER_LISTENS, &path];
        let running =
            Running::start(command(&[&["--service", "echo", "--only", "echo/", "--"], &own[..]].concat()));
        assert_eq!(told.recv_timeout(PATIENCE).as_deref(), Ok("begun\n"), "{}", running.stderr());
        running.signal(signal);
        let ended = running.wait();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{}", ended.stderr);
        assert!(ended.stderr.ends_with(" ended it, and the hosts that it had started\n"), "{}", ended.stderr);
        // The end of the pipe means that no process is left that holds it open.
        assert_eq!(told.recv_timeout(PATIENCE).as_deref(), Ok(""), "{}", ended.stderr);
        fs::remove_file(path).expect("the FIFO can be removed");
    }
}
