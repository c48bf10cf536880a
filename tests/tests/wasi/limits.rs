//! The limits of a WASI command.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use sinbin_tests::{Client, Server};

use crate::{listening, misuse, wasi};

#[test]
fn sockets_and_listeners_are_limited() {
    let ended = misuse(&["--max-connections", "10"], &["sockets"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("10 sockets, then "), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("new-socket-limit") && ended.stdout.contains("one again: true"),
        "{}",
        ended.stdout
    );
    let ended = misuse(&["--listen", "127.0.0.1:0", "--max-listeners", "3"], &["listeners", "127.0.0.1:0"]);
    assert!(ended.stdout.starts_with("3 listeners, then "), "{}", ended.stdout);
    assert!(ended.stdout.contains("new-socket-limit"), "{}", ended.stdout);
}

/// At the limit, clients wait in the backlog, and the guest is not woken for them.
#[test]
fn clients_beyond_the_limit_wait_for_their_turn() {
    let options = ["--listen", "127.0.0.1:0", "--max-connections", "2", "--drain-timeout", "1ms"];
    for (guest, arguments) in [
        ("poll-loop", &["echo", "127.0.0.1:0"][..]),
        ("poll-loop", &["try", "127.0.0.1:0"]),
        ("wstd-echo", &["127.0.0.1:0"]),
        ("wasip3-echo", &["127.0.0.1:0"]),
    ] {
        let server = Server::announced(wasi(guest, &options, arguments));
        let mut clients: Vec<Client> = (0..5).map(|_| server.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("{number}\n"));
        }
        while !clients.is_empty() {
            let mut client = clients.remove(0);
            let number = 4 - clients.len();
            assert_eq!(client.line(), number.to_string(), "{guest}");
        }
    }
}

/// The host holds back a limited number of bytes for all connections together.
#[test]
fn large_permits_are_limited_in_total() {
    let server = listening(&["--max-buffered", "1M"], "stuck-all");
    let clients: Vec<_> = (0..40).map(|_| server.client()).collect();
    let ended = server.wait();
    // 60 KiB more than the 4 KiB of each connection: 17 times in 1 MiB.
    assert!(ended.stdout.contains("large permits: 17\nsmall permits: 23\n"), "{}", ended.stdout);
    drop(clients);
}

#[test]
fn datagrams_need_permission() {
    let ended = misuse(&["--listen", "127.0.0.1:0", "--allow-udp"], &["udp", "127.0.0.1:0"]);
    // The last call traps, since it was not permitted.
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the guest sent 1 datagrams, but was permitted to send 0"),
        "{}",
        ended.stderr
    );
    let codes = [
        "invalid-state",
        "access-denied",
        "Ok(())",
        "Ok(())",
        "access-denied",
        "Ok(0)",
        "Ok(16)",
        "access-denied",
        "Ok(16)",
        "invalid-argument",
    ];
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), codes.len(), "{}", ended.stdout);
    for (line, code) in lines.iter().zip(codes) {
        assert!(line.contains(code), "{line} instead of {code}");
    }
}

#[test]
fn a_server_of_datagrams_replies_to_those_who_ask() {
    let server = listening(&["--allow-udp"], "udp-echo");
    let SocketAddr::V4(_) = server.address() else { panic!("IPv4") };
    for text in ["one", "two", "three"] {
        let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        client.set_read_timeout(Some(Duration::from_secs(60))).expect("an option");
        client.send_to(text.as_bytes(), server.address()).expect("a datagram");
        let mut answer = [0; 16];
        let (count, from) = client.recv_from(&mut answer).expect("an answer");
        assert_eq!((&answer[..count], from), (text.as_bytes(), server.address()));
    }
    let ended = server.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// The system keeps datagrams of others that it had queued before.
#[test]
fn a_socket_that_is_limited_to_a_peer_receives_from_no_other() {
    let server = listening(&["--allow-udp"], "udp-limited");
    let [peer, other] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    peer.set_read_timeout(Some(Duration::from_secs(60))).expect("an option");
    peer.send_to(b"hello", server.address()).expect("a datagram");
    peer.recv_from(&mut [0; 16]).expect("a reply");
    for (sender, text) in [(&other, "of another"), (&peer, "of the peer")] {
        sender.send_to(text.as_bytes(), server.address()).expect("a datagram");
    }
    let ended = server.wait();
    assert_eq!(ended.stdout.lines().next_back(), Some("of the peer"), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn only_names_that_were_granted_are_looked_up() {
    let ended = misuse(&["--allow-connect", "LocalHost.:80"], &["lookup"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<_> = ended.stdout.lines().collect();
    for (line, text) in lines.iter().zip([
        "\"localhost\": Ok(Ok(true))",
        "\"LOCALHOST.\": Ok(",
        "access-denied",
        "invalid-argument",
        "invalid-argument",
        "\"127.0.0.1\": Ok(Ok(true))",
        "\"::1\": Ok(Ok(true))",
    ]) {
        assert!(line.contains(text), "{line} instead of {text}");
    }
    assert_eq!(lines.len(), 7);
}
