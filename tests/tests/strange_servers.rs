//! `sinbin perf` against servers that misbehave: each problem is reported and counted, and the measurement fails.

#![cfg(unix)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sinbin_tests::{Ended, Running, sinbin, with_longer_spans};

/// Serves each connection by `serve`, until the test ends.
fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Calls `answer` with the number of each request. Requests are lines, or reads without a newline.
fn each_request(mut stream: TcpStream, mut answer: impl FnMut(u32, &mut TcpStream) -> bool) {
    let (mut buffer, mut number) = ([0; 4096], 0);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let lines = buffer[..count].iter().filter(|byte| **byte == b'\n').count().max(1);
        for _ in 0..lines {
            number += 1;
            if !answer(number, &mut stream) {
                return;
            }
        }
    }
}

fn say(stream: &mut TcpStream, text: &str) -> bool {
    stream.write_all(text.as_bytes()).is_ok()
}

/// Keeps a connection open, and sends nothing more.
fn hold(stream: &mut TcpStream) -> bool {
    while let Ok(1..) = stream.read(&mut [0; 4096]) {}
    false
}

/// All kinds of clients, asking for a number whose answer is 1. The slow client is as fast as the other.
const MODES: [&str; 5] = [
    "latency --n 1",
    "latency --n 1 --bare --connections 2",
    "throughput",
    "throughput --connections 3 --pipeline 4",
    "mixed --slow-n 2",
];

fn perf(address: SocketAddr, args: &str) -> Ended {
    let address = address.to_string();
    let mut all = vec!["perf"];
    all.extend(args.split_whitespace());
    // The results count however busy the machine is.
    all.extend(["--connect", &address, "--max-others", "off", "--max-spread", "off"]);
    Running::start(sinbin(&all)).wait()
}

/// Returns an error if the machine stalled for the whole of a measurement.
fn has_measured(ended: &Ended) -> Result<(), String> {
    if ended.stderr.contains("no request was answered in") { Err(ended.stderr.clone()) } else { Ok(()) }
}

/// Asserts that the measurement fails in each mode, with these texts in one line.
#[track_caller]
fn expect(address: SocketAddr, more: &str, texts: &[&str]) {
    for mode in MODES {
        let ended = perf(address, &format!("{mode} {more}"));
        assert_eq!(ended.code, Some(1), "{mode}: {}{}", ended.stdout, ended.stderr);
        for text in texts {
            assert!(ended.stderr.contains(text), "{mode}: no {text:?} in: {}", ended.stderr);
        }
        assert_eq!(ended.stderr.lines().count(), 1, "{mode}: {}", ended.stderr);
        assert!(!ended.stdout.contains("keeps"), "{mode}: {}", ended.stdout);
    }
}

#[test]
fn replies_that_nobody_asked_for() {
    let twice = |stream| each_request(stream, |_, stream| say(stream, "1\n1\n"));
    expect(server(twice), "--seconds 60", &["more replies than it was asked for", " too many"]);
}

/// The excess reply comes later, and in a segment of its own. After it the server is one reply ahead.
#[test]
fn a_reply_that_nobody_asked_for_later() {
    let later = |stream| {
        each_request(stream, |number, stream| say(stream, "1\n") && (number != 20 || say(stream, "1\n")));
    };
    let address = server(later);
    for mode in ["latency --n 1", "throughput", "throughput --connections 3 --pipeline 4"] {
        // Within the span, the server must answer 20 requests, and send the last reply soon after the others.
        with_longer_spans(Duration::from_secs(1), |span| {
            let ended = perf(address, &format!("{mode} --seconds {}", span.as_secs()));
            let is_told = ended.stderr.contains("more replies than it was asked for");
            if ended.code == Some(1) && is_told { Ok(()) } else { Err(format!("{mode}: {ended:?}")) }
        });
    }
}

#[test]
fn no_reply_at_all() {
    let never = |mut stream: TcpStream| _ = hold(&mut stream);
    let texts = ["has stopped answering", "not answered", "got no reply at all"];
    expect(server(never), "--seconds 60 --timeout 300ms", &texts);
    expect(server(never), "--seconds 2 --timeout 2500ms", &texts);
}

#[test]
fn a_server_that_answers_once_and_stalls() {
    let once = |stream| each_request(stream, |_, stream| say(stream, "1\n") && hold(stream));
    expect(server(once), "--seconds 60 --timeout 300ms", &["has stopped answering", "not answered"]);
    // The measurement is too short for another reply to reveal this.
    expect(server(once), "--seconds 2", &["has stopped answering", "not answered"]);
}

#[test]
fn a_server_that_answers_a_while_and_stalls() {
    let a_while =
        |stream| each_request(stream, |number, stream| say(stream, "1\n") && (number < 100 || hold(stream)));
    expect(server(a_while), "--seconds 60 --timeout 300ms", &["has stopped answering", "not answered"]);
}

#[test]
fn a_server_that_never_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    expect(address, "--seconds 60 --timeout 300ms", &["has stopped answering", "got no reply at all"]);
}

#[test]
fn a_server_that_closes_in_the_middle() {
    let closes = |stream| each_request(stream, |number, stream| number <= 5 && say(stream, "1\n"));
    expect(server(closes), "--seconds 60", &["the connection ended: ", "not answered"]);
    let at_once = |stream: TcpStream| drop(stream);
    expect(server(at_once), "--seconds 60", &["the connection ended: "]);
    let amid_a_reply = |stream| {
        each_request(stream, |number, stream| number <= 5 && say(stream, "1\n") || !say(stream, "1"));
    };
    expect(server(amid_a_reply), "--seconds 60", &["the connection ended: ", "in the middle of a reply"]);
}

#[test]
fn wrong_numbers_and_errors() {
    let wrong =
        |stream| each_request(stream, |number, stream| say(stream, if number == 10 { "2\n" } else { "1\n" }));
    expect(server(wrong), "--seconds 60", &["the server said \"2\\n\""]);
    // The wrong reply is told alone, whatever arrives with it, and whole, whatever arrived of it before.
    let amid_others = |stream| each_request(stream, |_, stream| say(stream, "1\n2\n1\n"));
    expect(server(amid_others), "--seconds 60", &["the server said \"2\\n\""]);
    let cut = |stream| each_request(stream, |_, stream| say(stream, "1") && say(stream, "2\n"));
    expect(server(cut), "--seconds 60", &["the server said \"12\\n\""]);
    let errors =
        |stream| each_request(stream, |_, stream| say(stream, "error: too many jobs; try again later\n"));
    expect(server(errors), "--seconds 60", &["the server said \"error: too many jobs; try again later"]);
    let longer = |stream| each_request(stream, |_, stream| say(stream, "11\n"));
    expect(server(longer), "--seconds 60", &["the server said \"11"]);
}

#[test]
fn half_a_reply() {
    let half = |stream| {
        each_request(
            stream,
            |number, stream| if number < 10 { say(stream, "1\n") } else { say(stream, "1") && hold(stream) },
        );
    };
    expect(
        server(half),
        "--seconds 60 --timeout 300ms",
        &["has stopped answering, in the middle of a reply", "not answered"],
    );
}

/// Replies that arrive in pieces, or all of them late, are no errors.
#[test]
fn slow_and_cut_replies_are_fine() {
    let pieces = |stream| each_request(stream, |_, stream| say(stream, "1") && say(stream, "\n"));
    let slow = |stream| {
        each_request(stream, |_, stream| {
            thread::sleep(Duration::from_millis(120));
            say(stream, "1\n")
        });
    };
    let servers = [server(pieces), server(slow)];
    for mode in MODES {
        for address in servers {
            with_longer_spans(Duration::from_secs(2), |span| {
                let ended = perf(address, &format!("{mode} --seconds {}", span.as_secs()));
                has_measured(&ended)?;
                assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{mode}: {}", ended.stdout);
                Ok(())
            });
        }
    }
}

#[test]
fn a_limit_of_open_files_is_no_server_that_is_not_running() {
    let fine = server(|stream| each_request(stream, |_, stream| say(stream, "1\n")));
    let address = fine.to_string();
    let limited =
        sinbin(&["perf", "throughput", "--connections", "100", "--seconds", "1", "--connect", &address]);
    // Sets the hard limit, which cannot be raised again.
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "ulimit -n 40; exec \"$0\" \"$@\""])
        .arg(limited.get_program())
        .args(limited.get_args());
    command.env_remove("SINBIN_LOG");
    let ended = Running::start(command).wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("ulimit -n"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("running there"), "{}", ended.stderr);
}

#[test]
fn an_answer_that_comes_too_late_to_be_measured_is_told() {
    let late = |stream| {
        each_request(stream, |_, stream| {
            thread::sleep(Duration::from_millis(1500));
            say(stream, "1\n")
        });
    };
    let ended = perf(server(late), "latency --n 1 --seconds 1");
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("measure for longer"), "{}", ended.stderr);
}

/// The oldest request of a full pipeline is older than the timeout, but replies arrive all the time.
#[test]
fn requests_that_wait_in_the_pipeline_are_no_silence() {
    with_longer_spans(Duration::from_secs(3), |timeout| {
        let slow = move |stream| {
            each_request(stream, move |_, stream| {
                thread::sleep(timeout / 20);
                say(stream, "1\n")
            });
        };
        let args = format!("--seconds 2 --timeout {}s", timeout.as_secs());
        let ended = perf(server(slow), &format!("throughput --pipeline 32 --connections 2 {args}"));
        match (ended.code, &*ended.stderr) {
            (Some(0), "") => Ok(()),
            _ => Err(format!("{ended:?}")),
        }
    });
}

/// The number of further attempts of a measurement that a stall may spoil.
const TRIES: usize = 3;

/// The slow client's first reply arrives after the measurement, so there is no value to compare with.
#[test]
fn a_slow_client_without_a_reply_in_time_is_no_result() {
    let late = |mut stream: TcpStream| {
        let mut request = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut request) {
            let is_slow = request[..count].starts_with(b"2");
            if is_slow {
                thread::sleep(Duration::from_millis(1500));
            }
            say(&mut stream, "1\n");
        }
    };
    let address = server(late);
    for more in ["", "--brief"] {
        let told = || {
            let ended = perf(address, &format!("mixed --slow-n 2 --seconds 2 {more}"));
            assert_eq!(ended.code, Some(1), "{more}: {}", ended.stdout);
            assert!(!ended.stdout.contains("keeps"), "{more}: {}", ended.stdout);
            assert!(!ended.stdout.contains("p99 0 ns"), "{more}: {}", ended.stdout);
            ended.stderr
        };
        let mut said = told();
        // The machine may stall while the fast client is alone.
        for _ in 0..TRIES {
            if said.contains("fast client alone: no request was answered in ") {
                said = told();
            }
        }
        let text = "slow client: no request was answered in 1.0 s; measure for longer";
        assert!(said.contains(text), "{more}: {said}");
    }
}
