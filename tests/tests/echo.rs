//! The two services that answer each read.

#![cfg(unix)]

use std::collections::BTreeSet;

use sinbin_tests::{Client, Server, exchange, noise};

#[test]
fn what_is_sent_comes_back() {
    let server = Server::start("echo", &[]);
    let mut client = server.client();
    for text in ["hello", "\n", "no newline", "\0\r\n\u{20ac}"] {
        client.send(text);
        assert_eq!(client.bytes(text.len()), text.as_bytes());
    }
}

#[test]
fn megabytes_come_back_whole() {
    let server = Server::start("echo", &[]);
    let bytes = noise(4 << 20);
    assert!(exchange(server.address(), &bytes) == bytes);
}

#[test]
fn megabytes_come_back_whole_without_room_for_waiting_bytes() {
    let server = Server::start("echo", &["--max-buffered", "0"]);
    let bytes = noise(1 << 20);
    assert!(exchange(server.address(), &bytes) == bytes);
}

#[test]
fn a_client_that_sends_without_reading_gets_it_all_later() {
    let server = Server::start("echo", &[]);
    let mut client = server.client();
    let bytes = noise(100_000);
    client.send(&bytes);
    client.end();
    assert!(client.bytes(bytes.len()) == bytes);
    assert_eq!(client.rest(), "");
}

#[test]
fn upper_answers_each_read_in_upper_case_with_a_suffix() {
    let server = Server::start("upper", &[]);
    let mut client = server.client();
    for (text, answer) in [
        ("hello", "HELLO_SB"),
        ("Hello, World 1!\n", "HELLO, WORLD 1!\n_SB"),
        ("stra\u{df}e", "STRA\u{df}E_SB"),
        ("x", "X_SB"),
    ] {
        client.send(text);
        let said = client.bytes(answer.len());
        assert_eq!(String::from_utf8_lossy(&said), answer);
    }
    client.end();
    assert_eq!(client.rest(), "");
}

#[test]
fn upper_loses_nothing_of_megabytes() {
    for buffered in ["64", "0"] {
        let server = Server::start("upper", &["--max-buffered", buffered]);
        let text = "the quick brown fox ".repeat(20_000);
        let answer = exchange(server.address(), text.as_bytes());
        let answer = String::from_utf8(answer).expect("text");
        assert!(answer.ends_with("_SB"));
        assert!(answer.replace("_SB", "") == text.to_uppercase());
    }
}

#[test]
fn both_serve_several_addresses_and_many_clients() {
    for (service, suffix) in [("echo", ""), ("upper", "_SB")] {
        let listen = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
        let server = Server::start(service, &listen);
        let ports: BTreeSet<_> = server.addresses().iter().map(|address| address.port()).collect();
        assert_eq!(ports.len(), 2, "each has its own port");
        let addresses = server.addresses().iter().cycle().take(60);
        let mut clients: Vec<_> = addresses.map(|address| Client::connect(*address)).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("I AM {number}"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            client.end();
            assert_eq!(client.rest(), format!("I AM {number}{suffix}"));
        }
    }
}
