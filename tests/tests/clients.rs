//! The talk's clients: `sinbin perf` against correct and incorrect servers.

#![cfg(unix)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use sinbin_tests::{Ended, ReservedPort, Running, Server, eventually, sinbin, with_longer_spans};

/// Starts `sinbin perf` with `args` against `address`. The results count however busy the machine is.
fn start(address: SocketAddr, args: &str) -> Running {
    let address = address.to_string();
    let mut all = vec!["perf"];
    all.extend(args.split_whitespace());
    all.extend(["--connect", &address, "--max-others", "off", "--max-spread", "off"]);
    Running::start(sinbin(&all))
}

fn perf(server: &Server, args: &str) -> Ended {
    start(server.address(), args).wait()
}

/// Returns an error if the machine stalled for the whole of a measurement.
fn has_measured(ended: &Ended) -> Result<(), String> {
    if ended.stderr.contains("no request was answered in") { Err(ended.stderr.clone()) } else { Ok(()) }
}

/// Measures for this number of seconds, or for longer if the machine stalls for so long.
fn measured(server: &Server, args: &str, seconds: u64) -> Ended {
    with_longer_spans(Duration::from_secs(seconds), |span| {
        let ended = perf(server, &format!("{args} --seconds {}", span.as_secs()));
        has_measured(&ended).map(|()| ended)
    })
}

/// Returns the number before `unit` in `text`, such as `42 requests`.
fn number_before(text: &str, unit: &str) -> f64 {
    let (before, _) = text.split_once(unit).unwrap_or_else(|| panic!("no {unit:?}: {text}"));
    let word = before.split_whitespace().next_back();
    let number = word.and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no number before {unit:?}: {text}"))
}

/// Returns true if `text` is a time span, such as `18.5 µs`.
fn is_span(text: &str) -> bool {
    let Some((number, unit)) = text.split_once(' ') else {
        return false;
    };
    number.parse::<f64>().is_ok() && ["ns", "µs", "ms", "s"].contains(&unit)
}

/// Checks the two lines at the end of `stdout`, and returns the number of requests that they count.
#[track_caller]
fn check_summary(stdout: &str) -> f64 {
    let lines: Vec<_> = stdout.lines().collect();
    let [.., first, second] = lines[..] else {
        panic!("no summary: {stdout}");
    };
    let count = number_before(first, " requests in ");
    assert!(count > 0.0, "{first}");
    assert!(number_before(first, " requests/s") > 0.0, "{first}");
    let spans = second.strip_prefix("time per request: ").unwrap_or_else(|| panic!("{second}"));
    let names: Vec<_> = spans
        .split(", ")
        .map(|part| {
            let (name, span) = part.split_once(' ').expect("a name and a span");
            assert!(is_span(span), "{second}");
            name
        })
        .collect();
    assert_eq!(names, ["p50", "p90", "p99", "p99.9", "max"]);
    count
}

#[track_caller]
fn check_success(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr, "", "no error message");
}

#[test]
fn latency_tells_the_time_of_each_request_and_a_summary() {
    let server = Server::fib(&[]);
    for args in ["latency --n 16", "latency --n 16 --bare --connections 3"] {
        let ended = measured(&server, args, 1);
        check_success(&ended);
        let count = check_summary(&ended.stdout);
        let times = ended.stdout.lines().filter(|line| is_span(line)).count();
        assert!((count - times as f64).abs() < 0.5, "{args}: {times} times and {count} requests");
    }
}

#[test]
fn throughput_tells_requests_each_second_and_a_summary() {
    let server = Server::fib(&[]);
    with_longer_spans(Duration::from_secs(2), |span| {
        let ended = measured(&server, "throughput", span.as_secs());
        check_success(&ended);
        check_summary(&ended.stdout);
        let (seconds, _) = ended.stdout.split_once(" in ").expect("a summary");
        let rates: Vec<_> = seconds.lines().filter(|line| line.ends_with(" requests/s")).collect();
        // A client that is stopped for all seconds but the last has no line, or one without requests.
        if rates.iter().any(|rate| number_before(rate, " requests/s") > 0.0) {
            return Ok(());
        }
        Err(ended.stdout)
    });
}

#[test]
fn throughput_takes_connections_pipelines_and_bare_requests() {
    let server = Server::fib(&[]);
    let mut connections = 0;
    // Before measurements that ask for fib(1), a connection asks whether the server is an echo server.
    for (args, count) in [
        ("throughput --connections 20 --pipeline 16", 21),
        ("throughput --connections 20 --bare", 21),
        ("throughput --n 15 --pipeline 1000", 1),
        ("throughput --n 0", 1),
    ] {
        with_longer_spans(Duration::from_secs(1), |span| {
            connections += count;
            let ended = perf(&server, &format!("{args} --seconds {}", span.as_secs()));
            has_measured(&ended)?;
            check_success(&ended);
            check_summary(&ended.stdout);
            Ok(())
        });
    }
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains(&format!("served {connections} connections")), "{}", ended.stdout);
}

#[test]
fn mixed_tells_what_the_fast_client_keeps() {
    for (server, args) in [
        (Server::fib(&["--workers", "1"]), "mixed --slow-n 23"),
        (Server::fib(&["--workers", "0"]), "mixed --slow-n 23 --bare"),
    ] {
        let ended = with_longer_spans(Duration::from_secs(2), |span| {
            let ended = measured(&server, args, span.as_secs());
            // The fast client may have no answer beside the slow one, without an error.
            if ended.stdout.contains(" 0 requests/s") { Err(ended.stdout) } else { Ok(ended) }
        });
        check_success(&ended);
        let lines: Vec<_> = ended.stdout.lines().collect();
        let [alone, beside, slow, kept] = lines[..] else {
            panic!("four lines: {lines:?}");
        };
        for (line, begin) in
            [(alone, "fast client alone: "), (beside, "beside fib(23): "), (slow, "slow client: ")]
        {
            assert!(line.starts_with(begin), "{line}");
            assert!(number_before(line, " requests/s, p99 ") > 0.0, "{line}");
        }
        let kept = kept.strip_prefix("the fast client keeps ").expect("the headline");
        assert!(number_before(kept, " % of its rate") > 0.0, "{kept}");
    }
}

#[test]
fn more_connections_than_the_server_takes_at_a_time_are_measured_as_far_as_they_get() {
    let server = Server::fib(&["--max-connections", "2"]);
    let ended = measured(&server, "throughput --connections 5", 1);
    check_success(&ended);
    check_summary(&ended.stdout);
}

#[test]
fn a_server_that_is_not_there_is_told_with_a_hint() {
    let port = ReservedPort::new();
    let address = port.address();
    for args in ["latency --seconds 1", "throughput --seconds 1", "mixed --seconds 2"] {
        let ended = start(address, args).wait();
        assert_eq!(ended.code, Some(1), "{args}");
        let message = &ended.stderr;
        assert!(message.contains(&format!("cannot connect to {address}: ")), "{message}");
        assert!(message.contains("is `sinbin serve fib` running there?"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert_eq!(ended.stdout, "", "{args}: nothing was measured");
    }
}

#[test]
fn a_server_that_says_something_else_is_told() {
    let server = Server::start("echo", &[]);
    for args in [
        "latency --seconds 60 --n 30",
        "throughput --seconds 60 --n 16 --pipeline 3",
        "throughput --seconds 60 --n 16 --bare",
        "mixed --seconds 2 --slow-n 30",
    ] {
        let ended = perf(&server, args);
        assert_eq!(ended.code, Some(1), "{args}");
        assert!(ended.stderr.contains("the server said \""), "{args}: {}", ended.stderr);
    }
    let upper = Server::start("upper", &[]);
    let ended = perf(&upper, "throughput --seconds 60");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("the server said \""), "{}", ended.stderr);
}

/// fib(1) is 1, so an echo server answers the requests of the measurement correctly.
#[test]
fn an_echo_server_is_noticed_although_its_replies_are_right() {
    let server = Server::start("echo", &[]);
    for args in ["throughput --seconds 60", "latency --n 5 --seconds 60 --bare", "mixed --slow-n 1"] {
        let ended = perf(&server, args);
        assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{args}");
        let text =
            "the server said \"10\\n\" to fib(10); it sends back what it receives, so it is no fib server";
        assert!(ended.stderr.contains(text), "{args}: {}", ended.stderr);
    }
}

#[test]
fn programs_get_one_document() {
    let server = Server::fib(&[]);
    for (args, parts) in
        [("latency --n 16 --connections 2", 1), ("throughput --pipeline 4", 1), ("mixed --slow-n 20", 2)]
    {
        let ended = perf(&server, &format!("{args} --seconds 1 --json"));
        check_success(&ended);
        let all: Value = serde_json::from_str(&ended.stdout).expect("one document");
        assert_eq!(all["command"], args.split(' ').next().unwrap());
        assert_eq!((&all["too_noisy"], &all["problem"]), (&Value::Null, &Value::Null));
        assert_eq!((&all["interrupted"], &all["chosen"]), (&false.into(), &0.into()));
        let attempts = all["attempts"].as_array().expect("attempts");
        assert_eq!(attempts.len(), 1, "a limit that is off is never exceeded");
        let measured = attempts[0]["parts"].as_array().expect("parts");
        assert_eq!(measured.len(), parts, "{all}");
        for client in measured.iter().flat_map(|part| part["clients"].as_array().expect("clients")) {
            let windows = client["windows"].as_array().expect("windows");
            let counted: u64 = windows.iter().filter_map(Value::as_u64).sum();
            // The end of the last window is rounded.
            assert!(windows.len() == 10 && Some(counted) <= client["requests"].as_u64(), "{client}");
            assert!(client["times_ns"]["p50"].as_u64() <= client["times_ns"]["max"].as_u64(), "{client}");
        }
        for share in ["others", "stolen"].map(|name| &attempts[0][name]) {
            assert!(
                share.is_null() || share.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)),
                "{all}"
            );
        }
    }
    let ended = perf(&Server::start("echo", &[]), "throughput --n 16 --seconds 60 --json");
    assert_eq!(ended.code, Some(1));
    let all: Value = serde_json::from_str(&ended.stdout).expect("one document");
    assert!(all["problem"].as_str().is_some_and(|problem| problem.contains("the server said")), "{all}");
}

#[test]
fn a_plot_is_written_or_its_file_is_named() {
    let server = Server::fib(&[]);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients-plot.svg");
    fs::remove_file(&path).ok();
    let ended = perf(&server, &format!("mixed --seconds 1 --slow-n 20 --plot {}", path.display()));
    check_success(&ended);
    let plot = fs::read_to_string(&path).expect("the plot");
    assert!(plot.starts_with("<svg") && plot.contains("beside fib(20)"), "{plot:.1000}");
    let ended = perf(&server, "throughput --seconds 1 --plot /dev/full");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("cannot write /dev/full: No space left"), "{}", ended.stderr);
    check_summary(&ended.stdout);
}

#[test]
fn a_request_that_the_server_refuses_is_told_in_its_words() {
    let server = Server::fib(&["--max-n", "20"]);
    let ended = perf(&server, "latency --seconds 60 --n 21");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("n is over the limit of 20"), "{}", ended.stderr);
}

#[test]
fn a_server_that_ends_amid_a_measurement_is_told() {
    let server = Server::fib(&[]);
    let client = start(server.address(), "latency --seconds 600 --n 5");
    client.says("s\n");
    server.signal(Signal::KILL);
    let ended = client.wait();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("the connection ended"), "{}", ended.stderr);
    check_summary(&ended.stdout);
}

#[test]
fn ctrl_c_ends_a_measurement_with_its_summary() {
    let server = Server::fib(&[]);
    for (args, sign) in [
        ("latency --seconds 600 --n 5", "s"),
        // A second without an answer is told as well.
        ("throughput --seconds 600 --connections 5", " requests/s"),
    ] {
        for signal in [Signal::INT, Signal::TERM] {
            let client = start(server.address(), args);
            eventually("an answer", || {
                let said = client.stdout();
                said.lines().any(|line| line.ends_with(sign) && !line.starts_with("0 "))
            });
            client.signal(signal);
            let ended = client.wait();
            check_success(&ended);
            check_summary(&ended.stdout);
            let is_told = ended.stdout.lines().any(|line| line.contains("(interrupted after "));
            assert!(is_told && ended.stdout.contains(" of 600.0 s)"), "{args}: {}", ended.stdout);
        }
    }
}

#[test]
fn ctrl_c_amid_mixed_tells_what_there_is() {
    // The client prints nothing in its first phase, so the test's own server shows when the client is in it.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = start(listener.local_addr().expect("a bound socket"), "mixed --seconds 600");
    let (mut stream, _) = listener.accept().expect("the fast client");
    let mut request = [0; 2];
    for _ in 0..100 {
        stream.read_exact(&mut request).expect("a request");
        assert_eq!(&request, b"1\n");
        stream.write_all(b"1\n").expect("the client accepts the answer");
    }
    client.signal(Signal::INT);
    let ended = client.wait();
    check_success(&ended);
    assert!(ended.stdout.starts_with("fast client alone: "), "{}", ended.stdout);
    assert!(ended.stdout.contains(" (interrupted after "), "{}", ended.stdout);
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
}
