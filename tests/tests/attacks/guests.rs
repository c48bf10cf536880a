//! Guests that try to use the host's time and memory instead of their own.

use std::process::Command;

use rustix::process::Pid;
use sinbin_tests::{Client, Ended, Running, Server, guest, sinbin_wasi};

fn in_sandbox(name: &str, args: &[&str]) -> Command {
    let guest = guest(name);
    sinbin_wasi(&[&["run", guest.to_str().expect("a UTF-8 path")], args].concat())
}

pub(crate) fn unruly(args: &[&str]) -> Server {
    serve("unruly.wasm", args)
}

pub(crate) fn serve(guest: &str, args: &[&str]) -> Server {
    let listen = ["--listen", "127.0.0.1:0"];
    Server::announced(in_sandbox(guest, &[&listen, args].concat()))
}

pub(crate) fn echo(client: &mut Client, text: &str) {
    client.send(text);
    assert_eq!(client.bytes(text.len()), text.as_bytes());
}

/// Returns the peak memory of the process in MiB, or `None` if the system cannot report it.
fn most_memory(pid: Pid) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<usize>().ok()? / 1024)
}

/// A guest that exceeds the limits of an answer is replaced, with a reason in the log, and other clients are served.
#[test]
fn a_guest_that_says_too_much_in_a_turn_is_replaced() {
    for (word, reason) in [
        ("deluge", "it returned more than 64 MiB in one call"),
        ("gush", "it returned more than 64 MiB in one call"),
        ("flood", "it answers with 1000001 commands in one turn"),
        ("swarm", "it answers with 1000001 commands in one turn"),
        ("haunt", "more than 4096 of its commands in one turn are invalid; see --max-ignored"),
    ] {
        let server = unruly(&["--turn-limit", "60s", "--max-memory", "512"]);
        let (mut other, mut client) = (server.client(), server.client());
        echo(&mut other, "before");
        client.send(word);
        drop(client.rest());
        drop(other.rest());
        server.logs(reason);
        echo(&mut server.client(), "after");
        let memory = most_memory(server.pid());
        println!("{word}: {memory:?} MiB at the most");
        // About 150 MiB of that belong to the guest. The host copies 64 MiB of it, and the decoded answer takes as
        // much again.
        assert!(memory.is_none_or(|memory| memory < 150 + 2 * 64 + 64), "{word}: {memory:?} MiB");
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{word}: {}", ended.stderr);
        assert!(ended.stdout.contains("; 1 restarts of the guest"), "{word}: {}", ended.stdout);
    }
}

#[test]
fn what_it_may_say_is_an_option() {
    let server = unruly(&["--turn-limit", "60s", "--max-commands", "2000000", "--max-ignored", "2000000"]);
    for word in ["flood", "swarm", "haunt"] {
        echo(&mut server.client(), word);
    }
    assert!(server.stop().stdout.contains("; 1005000 commands of the guest ignored"));
    let server = unruly(&["--max-ignored", "0"]);
    let mut client = server.client();
    client.send("strange");
    drop(client.rest());
    server.logs("more than 0 of its commands in one turn are invalid");
    assert_eq!(server.stop().code, Some(0));
}

/// A guest that always asks for another turn, and sends to a closed handle in each, delays neither the answers to other
/// clients nor the drain.
#[test]
fn a_guest_that_never_rests_does_not_postpone_the_drain() {
    let server = unruly(&["--drain-timeout", "100ms"]);
    let mut client = server.client();
    echo(&mut client, "nag");
    for _ in 0..10 {
        echo(&mut server.client(), "meanwhile");
    }
    let ended = server.stop();
    assert!(matches!(ended.code, Some(0 | 3)), "{:?}: {}", ended.code, ended.stderr);
}

/// Runs an ordinary WASI command to its end, which is an error.
fn ended(what: &str, options: &[&str]) -> Ended {
    let args = [&["--raw-arguments"], options, &["--", what]].concat();
    let ended = Running::start(in_sandbox("poll-loop.wasm", &args)).wait();
    assert_eq!(ended.code, Some(1), "{what}: {}", ended.stderr);
    ended
}

#[test]
fn a_command_of_wasi_that_hoards_or_polls_too_much_is_ended_and_the_option_is_named() {
    for what in ["hoard", "crowd"] {
        let default = ended(what, &[]);
        assert!(
            default.stderr.contains("the guest needs more than --max-resources, which is 161024"),
            "{}",
            default.stderr
        );
        let few = ended(what, &["--max-resources", "100"]);
        let advice = "the guest needs more than --max-resources, which is 100;";
        assert!(few.stderr.contains(advice), "{}", few.stderr);
    }
}

/// The host buffers output that does not fit into stdout. A guest that never checks the capacity of stdout would make
/// that buffer grow without limit.
#[test]
fn a_command_of_wasi_that_writes_without_asking_is_ended() {
    let ended = ended("gush", &[]);
    assert!(
        ended.stderr.contains("the guest wrote more to stdout than it was permitted to"),
        "{}",
        ended.stderr
    );
}
