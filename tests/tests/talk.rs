//! The six servers of the talk, and the table that compares them.

#![cfg(unix)]

use std::time::Duration;

use rustix::process::Signal;
use sinbin_tests::{Ended, Running, Server, example, sinbin, with_longer_spans};

const SERVERS: [&str; 6] = ["talk_1", "talk_2", "talk_3", "talk_4", "talk_5", "talk_6"];

#[test]
fn each_answers_line_after_line() {
    for name in SERVERS {
        let server = Server::example(name);
        let mut client = server.client();
        client.send("10\n");
        assert_eq!(client.line(), "55", "{name}");
        client.ask(20);
        client.end();
        assert_eq!(client.rest(), "", "{name}");
    }
}

#[test]
fn each_answers_the_talks_own_clients_who_send_no_newline() {
    for name in SERVERS {
        let server = Server::example(name);
        let mut client = server.client();
        for (request, answer) in [("10", "55"), ("1", "1"), ("20", "6765")] {
            client.send(request);
            assert_eq!(client.line(), answer, "{name}");
        }
    }
}

#[test]
fn each_closes_a_connection_that_asks_for_nonsense_and_serves_the_next() {
    for name in SERVERS {
        let server = Server::example(name);
        let mut client = server.client();
        client.send("nonsense\n");
        assert_eq!(client.rest(), "", "{name}");
        server.client().ask(10);
    }
}

#[test]
fn all_but_the_first_serve_clients_side_by_side() {
    for name in &SERVERS[1..] {
        let server = Server::example(name);
        let (mut one, mut two) = (server.client(), server.client());
        for n in [10, 2, 15] {
            one.ask(n);
            two.ask(n + 1);
        }
    }
}

#[test]
fn the_first_serves_a_client_when_the_one_before_has_left() {
    let server = Server::example("talk_1");
    let (mut one, mut two) = (server.client(), server.client());
    two.send("11\n");
    for n in [10, 2, 15] {
        one.ask(n);
    }
    assert!(two.is_silent());
    drop(one);
    assert_eq!(two.line(), "89");
}

/// Returns an error if the machine stalled for the whole of a measurement.
fn has_measured(ended: &Ended) -> Result<(), String> {
    if ended.stderr.contains("no request was answered in") { Err(ended.stderr.clone()) } else { Ok(()) }
}

/// Options for a verdict on any machine, however busy.
const JUDGE_ANYWAY: [&str; 4] = ["--max-others", "off", "--max-spread", "off"];

#[test]
fn mixed_has_a_line_for_programs() {
    let server = Server::fib(&[]);
    let address = server.address().to_string();
    with_longer_spans(Duration::from_secs(1), |span| {
        let (seconds, slow) = (span.as_secs().to_string(), ["--slow-n", "20", "--connect", &address]);
        let args = [&["perf", "mixed", "--brief", "--seconds", &seconds], &slow[..], &JUDGE_ANYWAY].concat();
        let ended = Running::start(sinbin(&args)).wait();
        has_measured(&ended)?;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let line = ended.stdout.strip_suffix('\n').expect("a line");
        let numbers: Vec<f64> = line.split('\t').map(|number| number.parse().expect("a number")).collect();
        assert_eq!(numbers.len(), 5, "{line}");
        if numbers.iter().all(|number| *number > 0.0) { Ok(()) } else { Err(line.to_owned()) }
    });
}

#[test]
fn the_table_has_a_row_for_each() {
    // The example expects this command beside it, so build it first.
    drop(sinbin(&[]));
    let ended = with_longer_spans(Duration::from_secs(1), |span| {
        let mut command = example("talk");
        command.args([&span.as_secs().to_string(), "20"]).args(JUDGE_ANYWAY);
        let ended = Running::start(command).wait();
        has_measured(&ended).map(|()| ended)
    });
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let rows: Vec<_> = ended.stdout.lines().filter(|line| line.starts_with("talk_")).collect();
    assert_eq!(rows.len(), SERVERS.len(), "{}", ended.stdout);
    for (row, name) in rows.iter().zip(SERVERS) {
        assert!(row.starts_with(name), "{row}");
        let verdict = row.split("  ").last().expect("a verdict");
        assert!(verdict == "no" || verdict.starts_with("yes: "), "{row}");
    }
    // The results of the others depend on timing.
    assert!(rows[0].ends_with("  yes: it is not served at all"), "{}", rows[0]);
}

#[test]
fn ctrl_c_ends_the_table() {
    drop(sinbin(&[]));
    let mut command = example("talk");
    command.args(["1", "20"]).args(JUDGE_ANYWAY);
    let talk = Running::start(command);
    talk.says("talk_1");
    talk.signal(Signal::INT);
    assert_eq!(talk.wait().code, Some(130));
}
