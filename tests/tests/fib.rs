//! The Fibonacci service: its answers and their order.

#![cfg(unix)]

use std::net::TcpListener;

use sinbin_tests::{Client, Server, eventually, replies};

/// A number whose computation does not end while a test runs.
const ENDLESS: &str = "93\n";

fn lines(ns: impl IntoIterator<Item = u32>) -> String {
    ns.into_iter().map(|n| format!("{n}\n")).collect()
}

#[test]
fn a_line_is_answered_by_a_line() {
    let server = Server::fib(&[]);
    let mut client = server.client();
    client.send("30\n");
    assert_eq!(client.line(), "832040");
    client.send("1\n");
    assert_eq!(client.line(), "1");
}

#[test]
fn carriage_returns_blanks_signs_and_leading_zeros_are_fine() {
    let server = Server::fib(&[]);
    let answers = server.ask("7\r\n  8 \n\t9\t\r\n+10\n0011\n \x0b12\x0c \n");
    assert_eq!(answers, replies(7..=12));
}

#[test]
fn zero_and_negative_numbers_are_answered_by_one() {
    let server = Server::fib(&[]);
    let answers = server.ask("0\n-1\n-0\n1\n2\n-99999999999999999999\n");
    assert_eq!(answers, "1\n".repeat(6));
}

#[test]
fn requests_in_one_write_are_answered_in_their_order() {
    let server = Server::fib(&[]);
    assert_eq!(server.ask(lines(0..=25)), replies(0..=25));
    assert_eq!(server.ask(lines((0..=25).rev())), replies((0..=25).rev()));
}

#[test]
fn requests_that_come_byte_by_byte_are_the_same() {
    let server = Server::fib(&["--framing", "lines"]);
    let mut client = server.client();
    for byte in lines(0..=25).bytes() {
        client.send([byte]);
    }
    client.end();
    assert_eq!(client.rest(), replies(0..=25));
}

#[test]
fn after_a_first_line_in_one_piece_the_rest_may_come_byte_by_byte() {
    let server = Server::fib(&[]);
    let mut client = server.client();
    client.ask(6);
    for byte in lines(8..=22).bytes() {
        client.send([byte]);
    }
    assert_eq!(client.lines(15), replies(8..=22));
}

#[test]
fn answers_keep_the_order_of_requests_with_jobs_among_them() {
    let ns: Vec<u32> = (0..60).map(|i| [24, 1, 5, 20, 3, 11][i % 6]).collect();
    for workers in ["0", "1", "4"] {
        let server = Server::fib(&["--workers", workers]);
        let answers = server.ask(lines(ns.iter().copied()));
        assert_eq!(answers, replies(ns.iter().copied()), "{workers} workers");
    }
}

#[test]
fn a_number_comes_to_the_same_wherever_it_is_computed() {
    let every = [
        vec!["--workers", "0"],
        vec!["--workers", "0", "--slice", "1"],
        vec!["--workers", "0", "--slice", "4000000000"],
        vec!["--workers", "1", "--loop-n", "0"],
        vec!["--workers", "3", "--loop-n", "25"],
    ];
    for args in every {
        let server = Server::fib(&args);
        assert_eq!(server.ask(lines(0..=24)), replies(0..=24), "{args:?}");
    }
}

#[test]
fn many_clients_each_get_their_own_answers() {
    let server = Server::fib(&[]);
    let mut clients: Vec<_> = (0..100).map(|_| server.client()).collect();
    for round in 0..5 {
        for (client, n) in clients.iter_mut().zip(round..) {
            client.send(format!("{}\n", n % 20));
        }
        for (client, n) in clients.iter_mut().zip(round..) {
            assert_eq!(client.lines(1), replies([n % 20]));
        }
    }
}

#[test]
fn a_client_without_newlines_gets_a_line_for_each_read() {
    for workers in ["0", "1"] {
        let server = Server::fib(&["--workers", workers]);
        let mut client = server.client();
        for n in [30, 1, 12, 0, 25] {
            client.send(n.to_string());
            assert_eq!(client.lines(1), replies([n]), "{workers} workers");
        }
        client.end();
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn to_a_client_without_newlines_a_later_one_makes_lines() {
    let server = Server::fib(&[]);
    for later in ["5\n", "5\r\n"] {
        let mut client = server.client();
        for request in ["10", "20", later] {
            client.send(request);
            let n = request.trim().parse().expect("a number");
            assert_eq!(client.lines(1), replies([n]), "{request:?}");
        }
        client.send("6\n7\n \n8");
        assert_eq!(client.lines(2), replies([6, 7]));
        assert_eq!(client.line(), "error: an empty line; send an integer");
        client.end();
        assert_eq!(client.rest(), replies([8]));
    }
}

#[test]
fn a_client_without_newlines_may_end_right_behind_its_request() {
    let server = Server::fib(&[]);
    assert_eq!(server.ask("20"), replies([20]));
}

#[test]
fn an_unfinished_last_line_is_answered_when_the_client_has_ended() {
    let server = Server::fib(&[]);
    assert_eq!(server.ask("5\n20"), replies([5, 20]));
    assert_eq!(server.ask("5\n6\r"), replies([5, 6]));
    assert_eq!(server.ask("5\n "), replies([5]));
    assert_eq!(server.ask(""), "");
}

#[test]
fn with_framing_by_lines_the_first_line_may_come_in_pieces() {
    let server = Server::fib(&["--framing", "lines"]);
    let mut client = server.client();
    client.send("2");
    // When a client that came later is answered, the server has read this half line.
    server.client().ask(3);
    assert!(client.is_silent(), "half a line is no request");
    client.send("0\n");
    assert_eq!(client.lines(1), replies([20]));
    assert_eq!(server.ask("20"), replies([20]), "the end ends a line too");
}

#[test]
fn with_framing_by_reads_each_read_is_a_request() {
    let server = Server::fib(&["--framing", "bare"]);
    let mut client = server.client();
    for request in ["20\n", "21", "22\r\n"] {
        client.send(request);
        let n = request.trim().parse().expect("a number");
        assert_eq!(client.lines(1), replies([n]), "{request:?}");
    }
    client.send("1\n2\n");
    assert_eq!(client.line(), "error: not an integer");
}

#[test]
fn several_addresses_are_served_by_one_loop() {
    let mut args = vec!["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    if TcpListener::bind("[::1]:0").is_ok() {
        args.extend(["--listen", "[::1]:0"]);
    }
    let server = Server::fib(&args);
    assert_eq!(server.addresses().len() * 2, args.len());
    let mut clients: Vec<_> = server.addresses().iter().map(|address| Client::connect(*address)).collect();
    for n in [5, 20] {
        for client in &mut clients {
            client.ask(n);
        }
    }
    drop(clients);
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    let served = format!("served {} connections", args.len() / 2);
    assert!(ended.stdout.contains(&served), "{}", ended.stdout);
}

#[test]
fn a_loop_that_polls_busily_answers_the_same() {
    let server = Server::fib(&["--busy-poll", "200"]);
    let mut client = server.client();
    for n in [1, 20, 2, 21] {
        client.ask(n);
    }
    assert_eq!(server.ask(lines(0..=25)), replies(0..=25));
}

#[test]
fn a_slow_request_does_not_hold_up_fast_ones() {
    for workers in ["0", "1"] {
        let server = Server::fib(&["--workers", workers, "--max-n", "93"]);
        let mut slow = server.client();
        slow.send(format!("1\n{ENDLESS}2\n"));
        assert_eq!(slow.line(), "1");
        let mut fast = server.client();
        for n in 0..200 {
            fast.ask(n % 11);
        }
        assert!(slow.is_silent(), "{workers} workers");
    }
}

#[test]
fn a_short_job_overtakes_long_ones_on_the_only_worker() {
    for workers in ["0", "1"] {
        let server = Server::fib(&["--workers", workers, "--max-n", "93"]);
        let mut long: Vec<_> = (0..2).map(|_| server.client()).collect();
        for client in &mut long {
            client.send(format!("1\n{ENDLESS}"));
            assert_eq!(client.line(), "1");
        }
        // Later jobs are computed concurrently with earlier ones.
        let mut short = server.client();
        short.ask(25);
        short.ask(24);
        assert!(long.iter().all(Client::is_silent), "{workers} workers");
    }
}

#[test]
fn a_slow_request_is_answered_as_well_in_the_end() {
    for workers in ["0", "1"] {
        let server = Server::fib(&["--workers", workers]);
        let mut slow = server.client();
        slow.send("31\n4\n");
        let mut fast = server.client();
        eventually("the slow answer, among fast ones", || {
            fast.ask(10);
            !slow.is_silent()
        });
        assert_eq!(slow.lines(2), replies([31, 4]));
    }
}

#[test]
fn the_bounds_of_n_and_of_a_line_can_be_set() {
    let server = Server::fib(&["--max-n", "20", "--max-line", "4", "--loop-n", "5"]);
    let answers = server.ask("20\n0020\n21\n 5 \n00005\n6\n");
    let expected = replies([20, 20])
        + "error: n is over the limit of 20\n"
        + &replies([5])
        + "error: the line is over the limit of 4 bytes; closing\n";
    assert_eq!(answers, expected);
}

#[test]
fn without_room_for_waiting_bytes_everything_is_still_answered() {
    let server = Server::fib(&["--max-buffered", "0"]);
    let ns: Vec<u32> = (0..500).map(|i| [24, 1, 5, 20, 3, 11][i % 6]).collect();
    assert_eq!(server.ask(lines(ns.iter().copied())), replies(ns));
    assert_eq!(server.ask("no\n\n99\n4\n").lines().count(), 4);
}

#[test]
fn without_room_for_waiting_bytes_a_long_first_line_is_still_one_line() {
    let server = Server::fib(&["--max-buffered", "0"]);
    assert_eq!(server.ask("0000000005\n6\n"), replies([5, 6]));
}
