//! The number of concurrent connections for which the service is designed.

#![cfg(unix)]

use sinbin_tests::{Client, Server, machine, replies};

/// The number of connections for which the service is designed.
const CONNECTIONS: usize = 8000;

/// The descriptors that this process needs for other purposes.
const OTHERS: u64 = 100;

#[test]
fn eight_thousand_connections_at_once_are_answered_idle_and_answered_again() {
    let limit = machine::raise_descriptor_limit().saturating_sub(OTHERS);
    let count = usize::try_from(limit).map_or(CONNECTIONS, |limit| limit.min(CONNECTIONS));
    if count < CONNECTIONS {
        println!("the hard limit of descriptors allows {count} connections, not {CONNECTIONS}");
    }
    let server = Server::fib(&["--max-connections", "8000"]);
    let mut clients: Vec<_> = (0..count).map(|_| server.client()).collect();
    for round in 0..2 {
        let n = |number: usize| u32::try_from((number + round) % 11).expect("a small number");
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("{}\n", n(number)));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.lines(1), replies([n(number)]), "client {number}, round {round}");
        }
        assert!(clients.iter().all(Client::is_silent), "one answer each");
        #[cfg(target_os = "linux")]
        assert!(machine::rests(server.pid()), "the server is busy without work");
    }
    drop(clients);
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let summary = ended.stdout.lines().last().expect("a summary");
    assert!(summary.starts_with(&format!("served {count} connections, 0 jobs; ")), "{summary}");
    assert!(!summary.contains("failed"), "{summary}");
}
