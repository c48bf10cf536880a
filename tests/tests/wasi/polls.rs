//! The commands that look at running loops, on WASI commands: what they wait for, and that they compute.

use std::net::UdpSocket;
use std::process::Stdio;

use serde_json::Value;
use sinbin_tests::{Running, Server, eventually, run};

use crate::looking::{address, json, output, pid};
use crate::{listening, wasi};

/// Returns the pollables of the present wait, once the host has listed it.
fn pollables(pid: &str) -> Vec<Value> {
    let poll = json("ps", pid)["poll"].clone();
    match poll["is_present"].as_bool() {
        Some(true) => poll["pollables"].as_array().expect("a list").clone(),
        _ => Vec::new(),
    }
}

fn kinds(pid: &str) -> Vec<String> {
    let kind = |pollable: &Value| pollable["kind"].as_str().expect("a kind").to_owned();
    pollables(pid).iter().map(kind).collect()
}

fn echo(options: &[&str]) -> Server {
    let options = [&["--listen", "127.0.0.1:0"], options].concat();
    Server::announced(wasi("poll-loop", &options, &["echo", "127.0.0.1:0"]))
}

#[test]
fn a_command_shows_the_sockets_of_its_poll() {
    let server = echo(&[]);
    let pid = pid(&server);
    let mut clients = [server.client(), server.client(), server.client()];
    for client in &mut clients {
        client.send("hello\n");
        assert_eq!(client.line(), "hello");
    }
    let sorted = || {
        let mut kinds = kinds(&pid);
        kinds.sort();
        kinds
    };
    eventually("the wait is listed", || sorted() == ["accept", "recv", "recv", "recv"]);
    let listed = pollables(&pid);
    let peers: Vec<_> =
        listed.iter().filter(|one| one["kind"] == "recv").map(|one| &one["address"]).collect();
    for client in &clients {
        assert!(peers.contains(&&address(client).into()), "{listed:?}");
    }
    let accept = listed.iter().find(|one| one["kind"] == "accept").expect("a listener");
    assert_eq!(accept["address"], server.address().to_string());
    let seen = json("ps", &pid);
    assert_eq!((&seen["phase"], &seen["is_command"]), (&"waiting".into(), &true.into()));
    assert_eq!((&seen["poll"]["waits"], &seen["poll"]["count"]), (&true.into(), &4.into()));
    assert_eq!((&seen["open_connections"], &seen["service"]), (&3.into(), &"poll-loop".into()));
    for command in ["ps", "tree", "where"] {
        let text = output(&[command, &pid]);
        assert!(text.contains("command") && text.contains(" in a poll of 4 pollables: "), "{text}");
        assert!(text.contains(&address(&clients[0])) && text.contains("accept"), "{text}");
    }
    assert_eq!(json("where", &pid)["poll"]["count"], 4);
    drop(clients);
    eventually("the connections are gone", || kinds(&pid) == ["accept"]);
}

/// The tasks of a WASI 0.3 command wait without a list.
#[test]
fn the_sockets_that_tasks_wait_for_are_shown() {
    let server = Server::announced(wasi("wasip3-echo", &["--listen", "127.0.0.1:0"], &["127.0.0.1:0"]));
    let pid = pid(&server);
    let mut clients = [server.client(), server.client()];
    for client in &mut clients {
        client.send("hello\n");
        assert_eq!(client.line(), "hello");
    }
    let sorted = || {
        let mut kinds = kinds(&pid);
        kinds.sort();
        kinds
    };
    eventually("the wait is listed", || sorted() == ["accept", "recv", "recv"]);
    let listed = pollables(&pid);
    for client in &clients {
        assert!(listed.iter().any(|one| one["address"] == address(client)), "{listed:?}");
    }
    drop(clients);
    eventually("the connections are gone", || kinds(&pid) == ["accept"]);
}

/// A connection is quiet since its last event, however often the command has polled since then.
#[test]
fn the_time_of_a_quiet_connection_goes_on_while_another_one_is_served() {
    let server = echo(&[]);
    let pid = pid(&server);
    let (mut quiet, mut busy) = (server.client(), server.client());
    for client in [&mut quiet, &mut busy] {
        client.send("hello\n");
        assert_eq!(client.line(), "hello");
    }
    let since = |peer: &str| {
        let pollable = pollables(&pid).into_iter().find(|one| one["address"] == peer)?;
        pollable["since_ns"].as_u64()
    };
    let (quiet_one, busy_one) = (address(&quiet), address(&busy));
    eventually("both are listed", || since(&quiet_one).is_some() && since(&busy_one).is_some());
    let before = since(&quiet_one).expect("it is listed");
    eventually("the busy one is the younger", || {
        busy.send("x\n");
        assert_eq!(busy.line(), "x");
        // The host may not have listed the present wait yet.
        since(&quiet_one).zip(since(&busy_one)).is_some_and(|(quiet, busy)| quiet > before && busy < quiet)
    });
}

#[test]
fn timers_standard_streams_and_datagrams_are_listed_too() {
    let hangs = Running::start(wasi("poll-loop", &[], &["hang"]));
    let pid_of_hangs = pid(&hangs);
    eventually("it sleeps", || {
        run(&["ps", &pid_of_hangs]).code == Some(0) && kinds(&pid_of_hangs) == ["time"]
    });
    let timer = &pollables(&pid_of_hangs)[0];
    assert!(timer["deadline_ns"].as_u64().is_some_and(|left| left > 1 << 60), "{timer}");
    assert!(output(&["ps", &pid_of_hangs]).contains("in 49710 d "));

    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let mut cat = wasi("misuse", &[], &["cat"]);
    let mut cat = cat.stdin(reader).stdout(Stdio::null()).spawn().expect("a process");
    let pid_of_cat = cat.id().to_string();
    eventually("it reads", || run(&["ps", &pid_of_cat]).code == Some(0) && kinds(&pid_of_cat) == ["stdin"]);
    cat.kill().expect("a child");
    cat.wait().expect("its end");

    let server = listening(&["--allow-udp"], "udp-echo");
    let pid = pid(&server);
    eventually("it receives", || kinds(&pid) == ["recv-datagram"]);
    assert_eq!(pollables(&pid)[0]["address"], server.address().to_string());
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.send_to(b"x", server.address()).expect("it is sent");
    client.recv(&mut [0; 8]).expect("an echo");
    let place = format!("recv datagram on {}", server.address());
    eventually("it receives again", || output(&["where", &pid]).contains(&place));
}

#[test]
fn a_command_that_computes_is_told_with_its_stack() {
    let spins = Running::start(wasi("poll-loop", &[], &["spin"]));
    let pid = pid(&spins);
    eventually("it is kept", || run(&["ps", &pid]).code == Some(0) && json("where", &pid)["is_kept"] == true);
    eventually("the stack is noted", || json("where", &pid)["guest_stack"].is_array());
    let seen = json("ps", &pid);
    assert_eq!((&seen["phase"], &seen["poll"]["waits"]), (&"running".into(), &false.into()));
    assert_eq!((&seen["poll"]["since_ns"], &seen["waits"]), (&Value::Null, &0.into()));
    let text = output(&["where", &pid]);
    assert!(
        text.contains("the WASI command has computed for ") && text.contains("stack of the guest"),
        "{text}"
    );
}

#[test]
fn a_command_is_drained_by_its_name_and_has_no_tasks_to_kill() {
    let server = echo(&["--drain-timeout", "1h"]);
    let pid = pid(&server);
    let ended = run(&["kill", &pid, "0.1"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("its host cannot cancel them"), "{}", ended.stderr);
    assert!(output(&["drain", &pid]).contains("has drained and ended after "));
    assert_eq!(server.wait().code, Some(0));
}

#[test]
fn a_command_is_not_published_on_request() {
    let server = echo(&["--no-observe"]);
    assert_eq!(run(&["ps", &pid(&server)]).code, Some(5));
}
