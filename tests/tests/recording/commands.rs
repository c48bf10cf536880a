//! Recordings of WASI commands: each is replayed call by call, without what answered the calls.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use sinbin_tests::{Ended, Running, Server, eventually, guest, noise, replies, sinbin_wasi};

use crate::{path, replay_in_sandbox, text};

/// Returns the command that runs a guest with a recording, with options of the host and the guest's own arguments only.
fn recorded(name: &str, recording: &Path, options: &[&str], arguments: &[&str]) -> Command {
    let guest = guest(&format!("{name}.wasm"));
    let all = ["run", text(&guest), "--raw-arguments", "--record", text(recording)];
    sinbin_wasi(&[&all, options, &["--"], arguments].concat())
}

/// Starts a server with a recording, on a free port.
fn serving(name: &str, recording: &Path, arguments: &[&str]) -> Server {
    let options = ["--listen", "127.0.0.1:0"];
    Server::announced(recorded(name, recording, &options, &[arguments, &["127.0.0.1:0"]].concat()))
}

/// Replays a whole recording, and asserts that all calls match. Returns the result.
fn matches(recording: &Path, name: &str) -> Ended {
    let played = replay_in_sandbox(recording, &format!("{name}.wasm"), &[]);
    assert_eq!(played.code, Some(0), "{name}: {}{}", played.stdout, played.stderr);
    assert!(played.stdout.ends_with("; all calls match\n"), "{name}: {}", played.stdout);
    played
}

/// Returns true if the recording contains these bytes.
fn has(recording: &Path, what: &[u8]) -> bool {
    fs::read(recording).is_ok_and(|bytes| bytes.windows(what.len()).any(|at| at == what))
}

/// Uses an echo server with clients of many kinds.
fn use_echo(server: &Server) {
    let mut clients: Vec<_> = (0..10).map(|_| server.client()).collect();
    for round in 0..5 {
        for (index, client) in clients.iter_mut().enumerate() {
            client.send(format!("{round} of {index}\n"));
        }
        for (index, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.line(), format!("{round} of {index}"));
        }
    }
    // A client that resets its connection, and one that ends its direction first.
    clients.remove(3).reset();
    let mut half = clients.remove(5);
    half.send("the last\n");
    half.end();
    assert_eq!(half.rest(), "the last\n");
    let much: String = noise(200_000).iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    assert_eq!(server.ask(&much), much);
}

#[test]
fn servers_of_any_kind_are_replayed() {
    for (name, arguments) in [("poll-loop", &["echo"][..]), ("wstd-echo", &[]), ("misuse", &["udp-echo"])] {
        let recording = path(&format!("calls-{name}-{}", arguments.concat()));
        if name == "misuse" {
            let options = ["--listen", "127.0.0.1:0", "--allow-udp"];
            let server =
                Server::announced(recorded(name, &recording, &options, &["udp-echo", "127.0.0.1:0"]));
            let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
            for number in 0..3_u8 {
                client.send_to(&[number; 100], server.address()).expect("it is sent");
                let mut answer = [0; 200];
                let (count, from) = client.recv_from(&mut answer).expect("an answer");
                assert_eq!((&answer[..count], from), (&[number; 100][..], server.address()));
            }
            assert_eq!(server.wait().code, Some(0));
        } else {
            let server = serving(name, &recording, arguments);
            use_echo(&server);
            let ended = server.stop();
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            assert!(ended.stderr.contains("the recording is whole"), "{}", ended.stderr);
        }
        matches(&recording, name);
    }
}

#[test]
fn a_portable_service_is_replayed_with_its_trace() {
    let recording = path("calls-fib-portable");
    let guest = guest("fib-portable.wasm");
    let all = ["run", text(&guest), "--listen", "127.0.0.1:0", "--record", text(&recording)];
    let server = Server::announced(sinbin_wasi(&all));
    let mut clients: Vec<_> = (0..5).map(|_| server.client()).collect();
    for n in 1..10 {
        clients.iter_mut().for_each(|client| client.send(format!("{n}\n")));
        clients.iter_mut().for_each(|client| assert_eq!(format!("{}\n", client.line()), replies([n])));
    }
    clients.remove(0).reset();
    drop(clients);
    assert_eq!(server.ask("15\nnonsense\n").lines().next(), Some("610"));
    assert_eq!(server.stop().code, Some(0));
    matches(&recording, "fib-portable");
    let traced =
        replay_in_sandbox(&recording, "fib-portable.wasm", &["--trace", "--from", "10", "--turns", "40"]);
    assert_eq!(traced.code, Some(0), "{}", traced.stderr);
    assert_eq!(traced.stdout.lines().count(), 40, "{}", traced.stdout);
    assert!(traced.stdout.starts_with("10 at "), "{}", traced.stdout);
    assert!(traced.stdout.contains("tcp-socket.accept(#1) -> "), "{}", traced.stdout);
    assert!(
        traced.stderr.contains("50 calls; ") || traced.stderr.contains("49 calls; "),
        "{}",
        traced.stderr
    );
}

/// Names, files, stdin, the environment, an exit code, traps: what a command that is no server asks for.
#[test]
fn all_that_a_command_is_told_is_in_the_recording() {
    let directory = path("calls-directory");
    fs::create_dir_all(&directory).expect("a directory");
    let directory = format!("{}::/", text(&directory));
    for (what, options, code) in [
        ("lookup", &["--allow-connect", "localhost:*"][..], 0),
        ("files", &["--dir", &directory], 0),
        ("environment", &["--env", "GREETING=hi"], 0),
        ("udp", &["--listen", "127.0.0.1:0", "--allow-udp"], 1),
        ("cat", &[], 0),
        ("no-such-way", &[], 1),
        ("poll-none", &[], 1),
        ("write-large", &[], 1),
    ] {
        let recording = path(&format!("calls-{what}"));
        let mut command = recorded("misuse", &recording, options, &[what]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command");
        // Not each of them reads it.
        child.stdin.take().expect("stdin").write_all(b"what is said\n").ok();
        let ended = child.wait_with_output().expect("its end");
        let log = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{what}: {log}");
        assert!(log.contains("the recording is whole"), "{what}: {log}");
        fs::remove_dir_all(directory.trim_end_matches("::/")).ok();
        matches(&recording, "misuse");
        fs::create_dir_all(directory.trim_end_matches("::/")).expect("a directory");
    }
}

#[test]
fn a_command_that_computes_is_cut_in_the_replay_too() {
    let recording = path("calls-spin");
    let command = recorded("poll-loop", &recording, &["--drain-timeout", "10ms"], &["spin"]);
    let running = Running::start(command);
    eventually("its first calls are in the file", || has(&recording, b"spin"));
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    matches(&recording, "poll-loop");
}

#[test]
fn another_program_is_refused_or_told_the_first_difference() {
    let recording = path("calls-other");
    let server = serving("poll-loop", &recording, &["echo"]);
    assert_eq!(server.ask("x\n"), "x\n");
    assert_eq!(server.stop().code, Some(0));
    let refused = replay_in_sandbox(&recording, "wstd-echo.wasm", &[]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("a recording of another component, \"poll-loop\""), "{}", refused.stderr);
    let compared = replay_in_sandbox(&recording, "wstd-echo.wasm", &["--any-component"]);
    assert_eq!(compared.code, Some(1));
    for part in ["the program differs from the recorded one", "\n  recorded: ", "\n  now:      "] {
        assert!(compared.stderr.contains(part), "{}", compared.stderr);
    }
    let service = replay_in_sandbox(&recording, "echo.wasm", &["--any-component"]);
    assert_eq!(service.code, Some(1));
    assert!(service.stderr.contains("echo.wasm is a service"), "{}", service.stderr);
}

#[test]
fn a_recording_that_is_incomplete_or_damaged_is_told_from_a_whole_one() {
    let recording = path("calls-killed");
    let server = serving("poll-loop", &recording, &["echo"]);
    let mut client = server.client();
    client.send("a request\n");
    assert_eq!(client.line(), "a request");
    // The server is idle now, and its buffered records are written.
    eventually("the request is in the file", || has(&recording, b"a request\n"));
    server.signal(Signal::KILL);
    assert_eq!(server.wait().code, None);
    let bytes = fs::read(&recording).expect("a recording");
    for length in [bytes.len(), bytes.len() - 1, bytes.len() / 2] {
        fs::write(&recording, &bytes[..length]).expect("it can be cut");
        let played = replay_in_sandbox(&recording, "poll-loop.wasm", &[]);
        let is_header = played.stderr.contains("it is cut short behind byte");
        assert!(played.code == Some(4) || (is_header && length < 200), "{length}: {}", played.stderr);
    }
    let mut damaged = bytes.clone();
    *damaged.last_mut().expect("bytes") ^= 1;
    fs::write(&recording, damaged).expect("it can be changed");
    let played = replay_in_sandbox(&recording, "poll-loop.wasm", &[]);
    assert_eq!(played.code, Some(1));
    assert!(played.stderr.contains("its checksum is wrong"), "{}", played.stderr);
}

#[test]
fn a_recording_ends_at_its_limit_and_the_program_goes_on() {
    let recording = path("calls-limit");
    let options = ["--listen", "127.0.0.1:0", "--record-limit", "1MiB"];
    let server = Server::announced(recorded("poll-loop", &recording, &options, &["echo", "127.0.0.1:0"]));
    let much = "x".repeat(3_000_000);
    assert!(server.ask(&much) == much, "the answer differs");
    assert_eq!(server.ask("still\n"), "still\n");
    assert_eq!(server.stop().code, Some(0));
    assert!(fs::metadata(&recording).expect("a recording").len() <= 1 << 20);
    let played = replay_in_sandbox(&recording, "poll-loop.wasm", &[]);
    assert_eq!(played.code, Some(0), "{}", played.stderr);
    assert!(played.stdout.contains("all calls match, up to the recording's limit"), "{}", played.stdout);
}

#[test]
fn the_calls_of_a_running_command_are_printed() {
    let guest = guest("misuse.wasm");
    let run = ["run", text(&guest), "--raw-arguments", "--trace", "--", "environment"];
    let ended = Running::start(sinbin_wasi(&run)).wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for call in
        ["environment.get-arguments() -> [\"misuse\", \"environment\"]", "contents: 3 bytes \"[]\\n\""]
    {
        assert!(ended.stderr.contains(call), "{}", ended.stderr);
    }
    assert_eq!(ended.stdout, "[]\n");
}
