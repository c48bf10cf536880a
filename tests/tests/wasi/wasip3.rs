//! Commands of WASI 0.3: the errors that are specified, streams that are dropped or cancelled in the middle, limits, the
//! standard streams, and what becomes of a command that computes without end.

use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use sinbin_tests::{Client, Ended, Running, Server};

use crate::wasi;

/// Returns the command that runs one of the guest's ways.
fn command(options: &[&str], arguments: &[&str]) -> Command {
    wasi("wasip3-misuse", options, arguments)
}

/// Runs one of the guest's ways to its end.
fn misuse(options: &[&str], arguments: &[&str]) -> Ended {
    Running::start(command(options, arguments)).wait()
}

/// Starts one of the guest's ways that listen on a free port.
fn listening(options: &[&str], what: &str) -> Server {
    let options = [&["--listen", "127.0.0.1:0"], options].concat();
    Server::announced(command(&options, &[what, "127.0.0.1:0"]))
}

/// Checks that the guest has ended well and has printed these lines.
fn prints(ended: &Ended, lines: &[&str]) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let printed: Vec<_> = ended.stdout.lines().filter(|line| !line.starts_with("listening on")).collect();
    assert_eq!(printed, lines);
}

fn echo(options: &[&str]) -> Server {
    let options = [&["--listen", "127.0.0.1:0"], options].concat();
    Server::announced(wasi("wasip3-echo", &options, &["127.0.0.1:0"]))
}

#[test]
fn calls_in_the_wrong_order_have_the_codes_that_are_specified() {
    let ended = misuse(&["--listen", "127.0.0.1:0"], &["states", "127.0.0.1:0"]);
    prints(
        &ended,
        &[
            "local address: Err(ErrorCode::InvalidState)",
            "remote address: Err(ErrorCode::InvalidState)",
            "receive: None, Err(ErrorCode::InvalidState)",
            "send: Err(ErrorCode::InvalidState)",
            "backlog of 0: Err(ErrorCode::InvalidArgument)",
            "bind: Ok(())",
            "bind again: Err(ErrorCode::InvalidState)",
            "listen: Ok(()), listening: true",
            "listen again: Err(ErrorCode::InvalidState)",
            "connect: Err(ErrorCode::InvalidState)",
        ],
    );
}

#[test]
fn what_was_not_granted_is_denied() {
    let denied = "Err(ErrorCode::AccessDenied)";
    let lines = ["bind", "connect", "listen"].map(|call| format!("{call}: {denied}"));
    let lines: Vec<_> = lines.iter().map(String::as_str).chain(["udp: ErrorCode::AccessDenied"]).collect();
    prints(&misuse(&[], &["denied", "127.0.0.1:7"]), &lines);
    let elsewhere = ["--listen", "127.0.0.2:7", "--allow-connect", "127.0.0.2:7"];
    prints(&misuse(&elsewhere, &["denied", "127.0.0.1:7"]), &lines);
    let udp = misuse(&["--allow-udp", "--allow-connect", "127.0.0.2:7"], &["denied", "127.0.0.1:7"]);
    for call in ["udp bind", "udp connect", "udp send"] {
        assert!(udp.stdout.contains(&format!("{call}: {denied}")), "{}", udp.stdout);
    }
}

#[test]
fn sockets_and_other_resources_are_limited() {
    let ended = misuse(&["--max-connections", "10"], &["sockets"]);
    prints(&ended, &["10 sockets, then ErrorCode::Other(Some(\"new-socket-limit\"))", "Ok(())"]);
    let ended = misuse(&["--max-resources", "500"], &["timers"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("is limited to 500"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--max-resources"), "{}", ended.stderr);
    let ended = misuse(&["--max-memory", "1M"], &["sleeps"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("growing memory"), "{}", ended.stderr);
}

/// Streams are dropped in the middle, in several orders. That frees the sockets, and the next clients are served.
#[test]
fn streams_that_are_dropped_in_the_middle_leave_nothing_behind() {
    let server = listening(&["--max-connections", "4", "--drain-timeout", "1ms"], "drops");
    for number in 1..=100 {
        let client = server.client();
        client.stream().write_all(b"ab").expect("a connection");
        // Bytes that the guest has not read may reset the connection.
        let mut received = Vec::new();
        let read = client.stream().read_to_end(&mut received);
        if number % 5 == 3 {
            assert!(received == b"a" || read.is_err(), "{number}: {received:?}");
        }
    }
}

#[test]
fn a_read_that_is_cancelled_loses_no_byte() {
    let server = listening(&["--drain-timeout", "1ms"], "cancels");
    for text in ["a", "b"] {
        let mut client = server.client();
        client.send(text);
        let mut received = Vec::new();
        client.stream().read_to_end(&mut received).expect("a connection");
        assert_eq!(received, text.as_bytes());
    }
}

#[test]
fn writes_to_a_client_that_has_gone_end_with_an_error() {
    let server = listening(&["--drain-timeout", "1ms"], "writes-after-close");
    drop(server.client());
    server.says("Err(ErrorCode::Connection");
    let client = server.client();
    client.stream().shutdown(Shutdown::Both).expect("a connection");
    drop(client);
    assert!(!server.stop().stderr.contains("panicked"));
}

/// A client that does not read stops its own task only, and the guest holds no more than one piece for it.
#[test]
fn a_client_that_does_not_read_does_not_stop_the_others() {
    let server = echo(&["--drain-timeout", "1ms"]);
    let stuck = server.client();
    stuck.stream().set_nonblocking(true).expect("an option");
    let (mut sent, mut quiet) = (0, 0);
    while quiet < 20 {
        match stuck.stream().write(&[b'x'; 65_536]) {
            Ok(count) => {
                sent += count;
                quiet = 0;
            }
            Err(_) => {
                quiet += 1;
                let mut other = server.client();
                other.send("hello\n");
                assert_eq!(other.line(), "hello");
            }
        }
    }
    // The client receives all of it as soon as it reads.
    stuck.stream().set_nonblocking(false).expect("an option");
    stuck.stream().shutdown(Shutdown::Write).expect("a connection");
    let mut received = 0;
    let mut buffer = vec![0; 65_536];
    loop {
        match stuck.stream().read(&mut buffer).expect("a connection") {
            0 => break,
            count => received += count,
        }
    }
    assert_eq!(received, sent);
}

/// A client that never stops sending is served in turns.
#[test]
fn a_client_that_floods_does_not_stop_the_others() {
    let server = echo(&["--drain-timeout", "1ms"]);
    let flood = server.client();
    let (reader, writer) = (flood.stream().try_clone(), flood.stream().try_clone());
    let (mut reader, mut writer) = (reader.expect("a socket"), writer.expect("a socket"));
    let writes = std::thread::spawn(move || while writer.write_all(&[b'x'; 65_536]).is_ok() {});
    let reads =
        std::thread::spawn(move || while reader.read(&mut [0; 65_536]).is_ok_and(|count| count > 0) {});
    for _ in 0..50 {
        let mut other = server.client();
        other.send("hello\n");
        assert_eq!(other.line(), "hello");
    }
    flood.stream().shutdown(Shutdown::Both).expect("a connection");
    writes.join().expect("the writer");
    reads.join().expect("the reader");
}

#[test]
fn datagrams_are_returned_to_their_senders() {
    let server = listening(&["--allow-udp", "--drain-timeout", "1ms"], "udp-echo");
    server.says("unbound: Err(ErrorCode::InvalidState)");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(sinbin_tests::PATIENCE)).expect("an option");
    for text in ["hello", ""] {
        socket.send_to(text.as_bytes(), server.address()).expect("a datagram");
        let mut answer = [0; 16];
        let (count, sender) = socket.recv_from(&mut answer).expect("an answer");
        assert_eq!((&answer[..count], sender), (text.as_bytes(), server.address()));
    }
}

#[test]
fn timers_and_names_are_waited_for() {
    prints(&misuse(&[], &["sleeps"]), &["10", "20", "30"]);
    let ended = misuse(&["--allow-connect", "localhost:*"], &["lookups"]);
    prints(
        &ended,
        &[
            "127.0.0.1: Ok([IpAddress::Ipv4((127, 0, 0, 1))])",
            "localhost: Ok([IpAddress::Ipv4((127, 0, 0, 1))])",
            "denied.example: Err(ErrorCode::AccessDenied)",
            "not a name: Err(ErrorCode::InvalidArgument)",
        ],
    );
}

#[test]
fn a_task_may_end_after_the_function_has_returned() {
    prints(&misuse(&[], &["returns"]), &["returned", "later"]);
}

#[test]
fn the_standard_streams_are_those_of_the_process() {
    let text = "hi\n".repeat(50_000);
    let mut child =
        command(&[], &["cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
    let mut input = child.stdin.take().expect("a pipe");
    let sent = text.clone();
    let writes = std::thread::spawn(move || input.write_all(sent.as_bytes()));
    let ended = child.wait_with_output().expect("its end");
    writes.join().expect("the writer").expect("a reader");
    assert_eq!(String::from_utf8_lossy(&ended.stdout), format!("{text}\nOk(()), Ok(())\n"));
}

#[test]
fn a_reader_that_needs_no_more_ends_the_output() {
    let mut child = command(&[], &["cat-forever"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut output = child.stdout.take().expect("a pipe");
    output.read_exact(&mut vec![0; 1 << 20]).expect("a megabyte");
    drop(output);
    let ended = child.wait_with_output().expect("its end");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(stderr.contains("Err(ErrorCode::Pipe)"), "{stderr}");
}

/// A command that computes may do so, but it is ended by the drain timeout.
#[test]
fn a_command_that_computes_without_end_is_ended_on_request() {
    let server = listening(&["--drain-timeout", "1ms"], "spins");
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code, Some(3));
}

#[test]
fn its_calls_are_not_recorded() {
    for option in [&["--record", "/nonexistent/recording"][..], &["--trace"]] {
        let ended = misuse(option, &["sleeps"]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("this guest is one of WASI 0.3"), "{}", ended.stderr);
    }
}

/// Many connections at once, each with its own task.
#[test]
fn a_thousand_connections_are_served_at_once() {
    sinbin_tests::machine::raise_descriptor_limit();
    let server = echo(&["--drain-timeout", "1ms"]);
    let mut clients: Vec<Client> = (0..1000).map(|_| server.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("{number}\n"));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.line(), number.to_string());
    }
}

/// The host keeps datagrams of calls that wait, up to a limit.
#[test]
fn datagrams_that_wait_are_limited() {
    let options = ["--allow-udp", "--listen", "127.0.0.1:0", "--allow-connect", "127.0.0.1:*"];
    let many = misuse(&options, &["udp-flood"]);
    assert_eq!(many.stdout, "100 sent, 0 refused\n", "{}", many.stderr);
    let few = misuse(&[&options[..], &["--max-buffered", "1MiB"]].concat(), &["udp-flood"]);
    let refused: usize =
        few.stdout.trim().split([' ', ',']).nth(3).and_then(|it| it.parse().ok()).expect("a number");
    assert!(refused > 0, "{}{}", few.stdout, few.stderr);
}
