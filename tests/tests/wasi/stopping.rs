//! The end of a WASI command that does not know how to drain.

use std::net::TcpStream;
use std::process::Stdio;

use rustix::process::Signal;
use sinbin_tests::{Server, eventually};

use crate::wasi;

fn servers() -> [Server; 3] {
    let options = ["--listen", "127.0.0.1:0", "--drain-timeout", "1h"];
    [
        ("poll-loop", &["echo", "127.0.0.1:0"][..]),
        ("wstd-echo", &["127.0.0.1:0"]),
        ("wasip3-echo", &["127.0.0.1:0"]),
    ]
    .map(|(guest, arguments)| Server::announced(wasi(guest, &options, arguments)))
}

/// A server that waits for new clients only is ended at once, since none will come.
#[test]
fn an_idle_server_ends_at_once() {
    for server in servers() {
        let mut client = server.client();
        client.send("x\n");
        assert_eq!(client.line(), "x");
        drop(client);
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[test]
fn connections_are_served_to_their_end_and_new_ones_are_refused() {
    for server in servers() {
        let mut client = server.client();
        client.send("before\n");
        assert_eq!(client.line(), "before");
        server.signal(Signal::TERM);
        eventually("a refused connection", || TcpStream::connect(server.address()).is_err());
        client.send("after\n");
        assert_eq!(client.line(), "after");
        drop(client);
        assert_eq!(server.wait().code, Some(0));
    }
}

/// A command that reads its stdin is told by its end.
#[test]
fn stdin_ends_with_the_request_to_stop() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = wasi("misuse", &["--drain-timeout", "1h"], &["cat"]);
    let child = command.stdin(reader).stdout(Stdio::piped()).spawn().expect("a process");
    let pid = rustix::process::Pid::from_child(&child);
    eventually("a handler", || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).unwrap_or_default();
        let mask = |line: &str| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok();
        status.lines().find_map(mask).is_some_and(|mask| mask & (1 << (Signal::TERM.as_raw() - 1)) != 0)
    });
    rustix::process::kill_process(pid, Signal::TERM).expect("a child");
    let ended = child.wait_with_output().expect("its end");
    assert_eq!(ended.status.code(), Some(0));
    drop(writer);
}
