//! Tests of `sinbin ask`.

#![cfg(unix)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use sinbin_tests::{Ended, ReservedPort, Server, run, with_longer_spans};

/// Runs `sinbin ask` against the server at `address`.
fn ask(address: SocketAddr, args: &[&str]) -> Ended {
    run(&[&["ask", "--connect", &address.to_string()], args].concat())
}

/// Returns the output of a command that succeeded.
fn output(ended: &Ended) -> &str {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    &ended.stdout
}

#[test]
fn each_service_answers_and_the_command_ends() {
    let fib = Server::fib(&[]);
    assert_eq!(output(&ask(fib.address(), &["30"])), "832040\n");
    assert_eq!(output(&ask(fib.address(), &["1", "20", "5"])), "1\n6765\n5\n");
    let echo = Server::start("echo", &[]);
    assert_eq!(output(&ask(echo.address(), &["hello, world", "second"])), "hello, world\nsecond\n");
    let upper = Server::start("upper", &[]);
    assert_eq!(output(&ask(upper.address(), &["hello"])), "HELLO\n_SB");
}

#[test]
fn an_error_line_is_an_answer() {
    let server = Server::fib(&[]);
    let ended = ask(server.address(), &["--", "-5", "thirty"]);
    assert_eq!(output(&ended).lines().count(), 2, "{}", ended.stdout);
    assert_eq!(output(&ask(server.address(), &["-5"])).lines().count(), 1);
}

#[test]
fn answers_larger_than_the_buffers_are_printed() {
    let server = Server::start("echo", &["--max-buffered", "1M"]);
    let line = "0123456789".repeat(10_000);
    let lines = [line.as_str(); 15];
    let ended = ask(server.address(), &lines);
    assert!(output(&ended) == lines.map(|line| format!("{line}\n")).concat());
}

#[test]
fn the_port_alone_is_enough() {
    let server = Server::fib(&[]);
    let port = server.address().port();
    for address in [format!("{port}"), format!(":{port}"), format!("localhost:{port}")] {
        assert_eq!(output(&run(&["ask", "--connect", &address, "10"])), "55\n");
    }
}

#[test]
fn a_refused_connection_is_reported_with_advice() {
    let free = ReservedPort::new();
    let ended = ask(free.address(), &["30"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let message = format!("sinbin: nothing listens on {}; start `sinbin serve fib`", free.address());
    assert!(ended.stderr.starts_with(&message), "{}", ended.stderr);
}

/// Starts a server that accepts one client, reads all that it sends, and answers. The server then closes the connection, unless
/// `stays`.
fn strange_server(answer: &'static [u8], stays: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.read_to_end(&mut Vec::new()).expect("a client that ends its stream");
        stream.write_all(answer).expect("the client receives the answer");
        if stays {
            loop {
                thread::park();
            }
        }
    });
    address
}

#[test]
fn a_server_that_closes_without_an_answer_is_an_error() {
    let address = strange_server(b"", false);
    let ended = ask(address, &["30"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("closed the connection without an answer"), "{}", ended.stderr);
}

#[test]
fn a_server_that_does_not_answer_or_close_times_out() {
    let ended = ask(strange_server(b"", true), &["--timeout", "50ms", "30"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("did not answer within 50ms"), "{}", ended.stderr);
    // The server must answer in time, and then not close.
    with_longer_spans(Duration::from_millis(50), |timeout| {
        let timeout = format!("{}ms", timeout.as_millis());
        let ended = ask(strange_server(b"832040\n", true), &["--timeout", &timeout, "30"]);
        assert_eq!(ended.code, Some(1));
        if ended.stdout.is_empty() {
            return Err(ended.stderr);
        }
        assert_eq!(ended.stdout, "832040\n");
        assert!(ended.stderr.contains("did not close the connection"), "{}", ended.stderr);
        Ok(())
    });
}

#[test]
fn wrong_arguments_end_with_code_2() {
    for args in [&["ask"][..], &["ask", "--connect", "nowhere", "30"], &["ask", "--timeout", "5", "30"]] {
        let ended = run(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}");
    }
}
