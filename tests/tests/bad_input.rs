//! Invalid input: each case is answered with a clear line, and does not affect other clients.

#![cfg(unix)]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use sinbin_tests::{Server, connect, fib, noise};

const EMPTY: &str = "error: an empty line; send an integer\n";
const NO_INTEGER: &str = "error: not an integer\n";
const TOO_LARGE: &str = "error: n is over the limit of 45\n";
const TOO_LONG: &str = "error: the line is over the limit of 64 bytes; closing\n";

#[test]
fn text_that_is_no_integer_gets_an_error_and_the_next_line_an_answer() {
    let server = Server::fib(&[]);
    for text in ["abc", "3x", "x3", "3 4", "3.5", "1e3", "--3", "+", "-", "0x10", "٣", "3,", "\0"] {
        let expected = format!("{NO_INTEGER}8\n");
        assert_eq!(server.ask(format!("{text}\n6\n")), expected, "{text:?}");
    }
}

#[test]
fn an_empty_line_gets_an_error_and_the_next_line_an_answer() {
    let server = Server::fib(&[]);
    for blank in ["", "\r", " ", " \t \r"] {
        assert_eq!(server.ask(format!("{blank}\n6\n")), format!("{EMPTY}8\n"), "{blank:?}");
    }
}

#[test]
fn n_above_the_bound_gets_an_error_and_the_next_line_an_answer() {
    let server = Server::fib(&[]);
    let longest = "9".repeat(64);
    for n in ["46", "93", "94", "255", "256", "302", "65582", "4294967297", "18446744073709551617", &longest]
    {
        assert_eq!(server.ask(format!("{n}\n6\n")), format!("{TOO_LARGE}8\n"), "{n}");
    }
}

#[test]
fn a_line_as_long_as_the_bound_is_fine() {
    let server = Server::fib(&[]);
    let padded = format!("{:0>64}\n", 6);
    assert_eq!(server.ask(padded.repeat(3)), "8\n8\n8\n");
}

#[test]
fn a_line_longer_than_any_integer_gets_an_error_and_the_end() {
    let server = Server::fib(&[]);
    let padded = format!("5\n{:0>65}\n6\n", 6);
    assert_eq!(server.ask(padded), format!("5\n{TOO_LONG}"));
}

#[test]
fn an_endless_line_gets_an_error_and_the_end_while_it_is_still_sent() {
    let server = Server::fib(&[]);
    // The client ends neither its line nor its stream.
    let mut client = server.client();
    client.send("7\n");
    client.send("1".repeat(65));
    assert_eq!(client.rest(), format!("13\n{TOO_LONG}"));
}

#[test]
fn a_bare_client_with_a_long_request_gets_an_error_and_the_end() {
    let server = Server::fib(&[]);
    assert_eq!(server.ask("1".repeat(65)), TOO_LONG);
}

#[test]
fn no_reset_eats_the_error_line_when_much_more_is_underway() {
    let server = Server::fib(&[]);
    for _ in 0..20 {
        let mut stream = connect(server.address());
        let junk = "x".repeat(1 << 20);
        thread::scope(|scope| {
            scope.spawn(|| {
                (&stream).write_all(junk.as_bytes()).expect("the server accepts everything");
                stream.shutdown(Shutdown::Write).expect("a connected socket");
            });
            let mut said = String::new();
            (&stream).read_to_string(&mut said).expect("the end, and no reset");
            assert_eq!(said, TOO_LONG);
        });
        assert_eq!(stream.read(&mut [0]).expect("the end again"), 0);
    }
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
}

#[test]
fn binary_junk_harms_nobody() {
    let server = Server::fib(&[]);
    let mut other = server.client();
    for part in noise(1 << 20).chunks(64 << 10) {
        let stream = connect(server.address());
        thread::scope(|scope| {
            // The server ends the connection meanwhile, so it need not accept everything.
            scope.spawn(|| {
                (&stream).write_all(part).ok();
                stream.shutdown(Shutdown::Write).ok();
            });
            other.ask(20);
            let mut said = Vec::new();
            (&stream).read_to_end(&mut said).ok();
            let said = String::from_utf8(said).expect("the server speaks text");
            assert!(said.lines().all(|line| line.starts_with("error: ")), "{said}");
        });
        other.ask(21);
    }
}

#[test]
fn a_megabyte_of_junk_in_one_piece_harms_nobody() {
    for service in ["fib", "upper"] {
        let server = Server::start(service, &[]);
        let stream = connect(server.address());
        thread::scope(|scope| {
            scope.spawn(|| {
                (&stream).write_all(&noise(1 << 20)).ok();
                stream.shutdown(Shutdown::Write).ok();
            });
            (&stream).read_to_end(&mut Vec::new()).ok();
        });
        let mut other = server.client();
        other.send("20\n");
        let answer = if service == "fib" { "6765\n" } else { "20\n_SB" };
        assert_eq!(other.bytes(answer.len()), answer.as_bytes());
    }
}

#[test]
fn each_short_line_of_junk_gets_an_error_and_the_connection_goes_on() {
    let server = Server::fib(&[]);
    let mut requests = Vec::new();
    let lines = noise(1 << 20);
    for line in lines.chunks(60) {
        // Never blank, and never a number.
        requests.push(b'?');
        requests.extend(line.iter().filter(|byte| **byte != b'\n'));
        requests.push(b'\n');
    }
    requests.extend(b"20\n");
    let count = lines.chunks(60).count();
    let expected = NO_INTEGER.repeat(count) + &format!("{}\n", fib(20));
    assert!(server.ask(requests) == expected);
}

#[test]
fn http_gets_errors_and_no_harm_is_done() {
    let server = Server::fib(&[]);
    let answer = server.ask("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
    assert_eq!(answer, NO_INTEGER.repeat(3) + EMPTY);
    server.client().ask(20);
}
