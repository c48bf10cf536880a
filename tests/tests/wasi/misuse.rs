//! Wrong calls: they trap or have the error code that WASI specifies, and the host reports a trap without a panic of its
//! own.

use std::io::{Read, Write};
use std::net::Shutdown;

use sinbin_tests::{Client, Ended};

use crate::{listening, misuse, wasi};

fn traps(ended: &Ended, text: &str) {
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("the guest trapped") && ended.stderr.contains(text), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

fn prints(ended: &Ended, lines: &[&str]) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let printed: Vec<_> = ended.stdout.lines().filter(|line| !line.starts_with("listening on")).collect();
    assert_eq!(printed, lines);
}

#[test]
fn a_list_of_none_traps_and_long_ones_with_repetitions_do_not() {
    traps(&misuse(&[], &["poll-none"]), "polls an empty list");
    prints(&misuse(&[], &["poll-twice"]), &["[0, 2]"]);
    prints(&misuse(&[], &["poll-many"]), &["[99999]", "some of many: true"]);
    let few = misuse(&["--max-resources", "50000"], &["poll-many"]);
    traps(&few, "polls 100000 resources at once");
    assert!(few.stderr.contains("--max-resources"), "{}", few.stderr);
}

#[test]
fn pollables_of_dropped_resources_are_ready() {
    let server = listening(&[], "poll-orphans");
    let client = server.client();
    prints(&server.wait(), &["[true, true, true]", "3"]);
    drop(client);
}

#[test]
fn a_huge_read_is_a_read_of_what_there_is() {
    let server = listening(&[], "read-huge");
    let mut client = server.client();
    client.send(vec![b'x'; 300_000]);
    client.stream().shutdown(Shutdown::Write).expect("a connection");
    prints(
        &server.wait(),
        &["300000 bytes, then StreamError::Closed", "Err(StreamError::Closed) Err(StreamError::Closed)"],
    );
}

#[test]
fn writes_beyond_the_permit_trap() {
    for (what, text) in [
        ("write-unpermitted", "the guest wrote 11 bytes, but was permitted to write 0"),
        ("write-beyond", "bytes, but was permitted to write"),
        ("write-zeros", "more zeros than it was permitted"),
    ] {
        let server = listening(&[], what);
        let client = server.client();
        traps(&server.wait(), text);
        drop(client);
    }
    traps(&misuse(&[], &["write-large"]), "more than 4096 bytes in one blocking call");
}

/// The bytes that a guest has written are sent although the guest has dropped the connection, and then ended.
#[test]
fn a_peer_that_reads_late_receives_everything() {
    let server = listening(&[], "stuck");
    let client = server.client();
    server.says("stuck: true");
    let mut received = Vec::new();
    client.stream().read_to_end(&mut received).expect("all bytes");
    let ended = server.wait();
    assert!(ended.stdout.contains(&format!("written: {}\n", received.len())), "{}", ended.stdout);
}

#[test]
fn a_splice_copies_and_reports_the_end() {
    let server = listening(&[], "splice");
    let mut client = server.client();
    client.send("one\n");
    assert_eq!(client.line(), "one");
    client.send("two\n");
    assert_eq!(client.line(), "two");
    client.stream().shutdown(Shutdown::Write).expect("a connection");
    prints(&server.wait(), &["8 bytes, then StreamError::Closed", "Err(StreamError::Closed)"]);
}

#[test]
fn each_direction_of_a_connection_ends_by_itself() {
    let server = listening(&[], "halves");
    let mut client = server.client();
    assert_eq!(client.line(), "before");
    assert_eq!(client.stream().read(&mut [0]).expect("the end"), 0);
    client.stream().write_all(b"after").expect("a half-open connection");
    let after = format!("Ok({:?})", b"after");
    prints(
        &server.wait(),
        &[
            "Ok(())",
            "Ok(())",
            "Err(StreamError::Closed)",
            &after,
            "Ok(())",
            "Err(StreamError::Closed)",
            "true",
        ],
    );
}

#[test]
fn calls_in_the_wrong_order_have_the_codes_that_are_specified() {
    let options = ["--listen", "127.0.0.1:0", "--allow-connect", "127.0.0.1:*"];
    let expected = [
        "not-in-progress",
        "not-in-progress",
        "invalid-state",
        "invalid-state",
        "invalid-state",
        "invalid-state",
        "invalid-state",
        "invalid-argument",
        "invalid-argument",
        "invalid-argument",
        "ok",
        "concurrency-conflict",
        "ok",
        "invalid-state",
        "invalid-argument",
        "ok",
        "concurrency-conflict",
        "ok",
        "would-block",
    ];
    let ended = misuse(&options, &["states", "127.0.0.1:0"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let codes: Vec<_> = ended.stdout.lines().take(expected.len()).map(code).collect();
    assert_eq!(codes, expected);
    assert_eq!(ended.stdout.lines().last(), Some("true IpAddressFamily::Ipv4"));
}

/// Returns the specification's name of the code in a printed result.
fn code(line: &str) -> String {
    let Some(name) = line.split("name: \"").nth(1) else {
        return line.trim_matches(['(', ')']).replace("Ok((", "ok").to_lowercase();
    };
    name.split('"').next().unwrap_or_default().to_owned()
}

#[test]
fn what_was_not_granted_is_denied() {
    for (options, what, address) in [
        (&["--listen", "127.0.0.1:0"][..], "bind", "127.0.0.1:1"),
        (&["--listen", "127.0.0.1:0"], "bind", "0.0.0.0:0"),
        (&["--listen", "127.0.0.1:0"], "connect", "127.0.0.1:1"),
        (&["--listen", "127.0.0.1:0", "--allow-connect", "127.0.0.1:2"], "connect", "127.0.0.1:1"),
        (&["--listen", "127.0.0.1:0", "--allow-connect", "localhost.example:*"], "connect", "127.0.0.1:1"),
        (&["--listen", "127.0.0.1:0"], "udp", "127.0.0.1:0"),
    ] {
        let ended = misuse(options, &[what, address]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains("access-denied"), "{what} {address}: {}", ended.stdout);
    }
    // The port is free, so the system refuses the connection that the host allows.
    let refused = misuse(&["--allow-connect", "127.0.0.1:1"], &["connect", "127.0.0.1:1"]);
    assert!(refused.stdout.contains("connection-refused"), "{}", refused.stdout);
}

/// A stream of a guest that breaks off leaves nothing behind that harms the next client.
#[test]
fn a_client_that_resets_its_connection_is_an_error_of_that_connection() {
    for guest in ["wstd-echo", "wasip3-echo"] {
        let server =
            sinbin_tests::Server::announced(wasi(guest, &["--listen", "127.0.0.1:0"], &["127.0.0.1:0"]));
        for round in 0..20 {
            let client = server.client();
            socket2::SockRef::from(client.stream())
                .set_linger(Some(std::time::Duration::ZERO))
                .expect("an option");
            drop(client);
            let mut client: Client = server.client();
            client.send(format!("{round}\n"));
            assert_eq!(client.line(), round.to_string());
        }
    }
}
