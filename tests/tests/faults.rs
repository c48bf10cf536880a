//! Clients that disconnect in all possible ways.

#![cfg(unix)]

#[cfg(target_os = "linux")]
use sinbin_tests::{Client, eventually, machine};
use sinbin_tests::{Server, replies};

/// A number whose computation does not end while a test runs.
#[cfg(target_os = "linux")]
const ENDLESS: &str = "93\n";

/// Connects a client whose endless job has begun.
#[cfg(target_os = "linux")]
fn busy_client(server: &Server) -> Client {
    let mut client = server.client();
    // The first answer is sent in the same step in which the job is submitted.
    client.send(format!("1\n{ENDLESS}"));
    assert_eq!(client.line(), "1");
    client
}

#[test]
fn everything_asked_before_a_half_close_is_answered() {
    for workers in ["0", "1"] {
        let server = Server::fib(&["--workers", workers]);
        let mut client = server.client();
        client.send("25\n1\n26\n2\n27");
        client.end();
        assert_eq!(client.rest(), replies([25, 1, 26, 2, 27]), "{workers} workers");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_half_closed_client_with_a_job_leaves_the_loop_at_rest() {
    let server = Server::fib(&["--workers", "1", "--max-n", "93"]);
    let client = busy_client(&server);
    client.end();
    assert!(machine::loop_rests(server.pid()));
    server.client().ask(20);
    assert!(client.is_silent(), "its job is not cancelled");
}

#[test]
#[cfg(target_os = "linux")]
fn input_behind_a_job_and_urgent_data_leave_the_loop_at_rest() {
    use socket2::SockRef;

    let server = Server::fib(&["--workers", "1", "--max-n", "93"]);
    let mut busy = busy_client(&server);
    busy.send("1\n".repeat(1000));
    let mut idle = server.client();
    idle.ask(5);
    SockRef::from(idle.stream()).send_out_of_band(b"!").expect("TCP has urgent data");
    assert!(machine::loop_rests(server.pid()));
    idle.ask(6);
}

#[test]
#[cfg(target_os = "linux")]
fn a_reset_in_the_middle_of_a_job_cancels_it() {
    for workers in ["0", "1", "2"] {
        let server = Server::fib(&["--workers", workers, "--max-n", "93"]);
        let clients: Vec<_> = (0..5).map(|_| busy_client(&server)).collect();
        let mut other = server.client();
        other.ask(25);
        clients.into_iter().for_each(Client::reset);
        eventually("nothing is computed any more", || machine::rests(server.pid()));
        other.ask(25);
        drop(other);
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{workers} workers");
        assert!(ended.stdout.contains("; 5 jobs cancelled"), "{workers} workers: {}", ended.stdout);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_client_that_closes_with_an_answer_unread_takes_its_job_along() {
    let server = Server::fib(&["--workers", "1", "--max-n", "93"]);
    let mut client = server.client();
    client.send(format!("1\n{ENDLESS}"));
    eventually("the first answer", || !client.is_silent());
    drop(client);
    eventually("nothing is computed any more", || machine::rests(server.pid()));
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains("; 1 jobs cancelled"), "{}", ended.stdout);
}

#[test]
fn resets_at_any_other_moment_harm_nobody() {
    let server = Server::fib(&[]);
    let mut other = server.client();
    for round in 0..50 {
        // Resets before the server has accepted the connection, while idle, within a line, and among answers.
        server.client().reset();
        let mut idle = server.client();
        idle.ask(3);
        idle.reset();
        let mut amid = server.client();
        amid.send("1\n2");
        amid.reset();
        let mut answered = server.client();
        answered.send("9\n".repeat(5000));
        answered.reset();
        other.ask(round % 12);
    }
    drop(other);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    // Many more clients than there is capacity for at a time.
    let server = Server::fib(&["--max-connections", "4"]);
    for n in 0..500 {
        server.client().ask(n % 11);
    }
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains("served 500 connections"), "{}", ended.stdout);
}
