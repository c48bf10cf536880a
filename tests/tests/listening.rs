//! Guests that listen while they run (`--allow-listen`).

#![cfg(unix)]

use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::process::Signal;
use sinbin_tests::{Client, Running, Server, eventually, exchange, guest, guests, sinbin_wasi};

/// Starts the guest that listens on `address` for each line of a client.
fn passive(options: &[&str], address: &str) -> Server {
    let guest = guest("passive.wasm");
    let fixed = ["run", guest.to_str().expect("a UTF-8 path"), "--listen", "127.0.0.1:0"];
    Server::announced(sinbin_wasi(&[&fixed[..], options, &["--", address]].concat()))
}

const ANY_PORT: [&str; 2] = ["--allow-listen", "127.0.0.1:*"];

/// Asks for a listener, and returns its address.
fn opened(client: &mut Client) -> SocketAddr {
    client.send("open\n");
    let line = client.line();
    line.parse().unwrap_or_else(|_| panic!("an address instead of {line:?}"))
}

fn is_closed(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

#[test]
fn a_guest_listens_accepts_and_closes_its_listener() {
    let recording = guests().join("test-listening-recording");
    std::fs::remove_file(&recording).ok();
    let record = ["--record", recording.to_str().expect("a UTF-8 path")];
    let server = passive(&[&ANY_PORT[..], &record].concat(), "127.0.0.1:0");
    let mut client = server.client();
    for text in ["first", "second, at another port"] {
        let address = opened(&mut client);
        assert_ne!(address, server.address());
        assert_eq!(exchange(address, text.as_bytes()), text.as_bytes());
        assert_eq!(client.line(), format!("{} bytes", text.len()));
        eventually("the listener is closed", || is_closed(address));
    }
    drop(client);
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("served 3 connections"), "{}", ended.stdout);
    let guest = guest("passive.wasm");
    let replay = ["replay", record[1], guest.to_str().expect("a UTF-8 path"), "--trace"];
    let replayed = Running::start(sinbin_wasi(&replay)).wait();
    assert_eq!(replayed.code, Some(0), "{}", replayed.stderr);
    assert_eq!(replayed.stdout.matches("\"listen:127.0.0.1:0\"").count(), 2, "{}", replayed.stdout);
}

/// Several tasks listen at the same time, and each gets the connections of its own listener.
#[test]
fn listeners_of_several_tasks_are_apart() {
    let server = passive(&ANY_PORT, "127.0.0.1:0");
    let mut clients: Vec<_> = (0..5).map(|_| server.client()).collect();
    let addresses: Vec<_> = clients.iter_mut().map(opened).collect();
    for (index, address) in addresses.iter().enumerate().rev() {
        let text = "x".repeat(index + 1);
        assert_eq!(exchange(*address, text.as_bytes()), text.as_bytes());
        assert_eq!(clients[index].line(), format!("{} bytes", index + 1));
    }
}

#[test]
fn what_is_not_permitted_is_refused_and_told() {
    for options in [&[][..], &["--allow-listen", "127.0.0.1:1"], &["--allow-listen", "[::1]:*"]] {
        let server = passive(options, "127.0.0.1:0");
        let mut client = server.client();
        client.send("open\n");
        assert_eq!(client.line(), "error: listen on 127.0.0.1:0: operation not supported by the host");
        server.logs("the guest may not listen there; see --allow-listen");
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let server = passive(&["--allow-listen", &address], &address);
    let mut client = server.client();
    client.send("open\n");
    assert_eq!(client.line(), format!("error: listen on {address}: address already in use"));
    server.logs("cannot listen for the guest");
    drop(taken);
    // The permission names the port, and the port is free now.
    assert_eq!(opened(&mut client).to_string(), address);
}

/// A server has 64 listeners, of which one is given to the guest.
#[test]
fn the_number_of_listeners_is_limited() {
    let server = passive(&ANY_PORT, "127.0.0.1:0");
    let mut clients: Vec<_> = (0..63).map(|_| server.client()).collect();
    let addresses: Vec<_> = clients.iter_mut().map(opened).collect();
    let mut client = server.client();
    client.send("open\n");
    let refused = "error: listen on 127.0.0.1:0: the host has no capacity for another source";
    assert_eq!(client.line(), refused);
    assert_eq!(exchange(addresses[0], b""), b"");
    assert_eq!(clients[0].line(), "0 bytes");
    opened(&mut client);
}

/// The listeners of a failed instance are closed. The next one has those of the host, and can listen again.
#[test]
fn listeners_end_with_their_instance() {
    let server = passive(&ANY_PORT, "127.0.0.1:0");
    let (mut client, mut failing) = (server.client(), server.client());
    let address = opened(&mut client);
    failing.send("fail\n");
    server.logs("as the client has asked");
    assert_eq!(client.rest(), "");
    eventually("the listener is closed", || is_closed(address));
    let mut client = server.client();
    let address = opened(&mut client);
    assert_eq!(exchange(address, b"again"), b"again");
}

#[test]
fn a_request_to_stop_ends_the_listeners() {
    let server = passive(&[&ANY_PORT[..], &["--drain-timeout", "1h"]].concat(), "127.0.0.1:0");
    let (mut client, mut other) = (server.client(), server.client());
    let address = opened(&mut client);
    let busy = opened(&mut other);
    let mut connected = Client::connect(busy);
    connected.send("before");
    assert_eq!(connected.bytes(6), b"before");
    server.signal(Signal::TERM);
    let line = client.line();
    assert!(
        line.starts_with("error: accept on source ") && line.ends_with(": the source is closed"),
        "{line}"
    );
    assert!(is_closed(address));
    assert_eq!(server.wait().code, Some(0));
}

#[test]
fn a_wasi_command_listens_by_itself() {
    let guest = guest("wstd-echo.wasm");
    let args = ["run", guest.to_str().expect("a UTF-8 path"), "--allow-listen", "127.0.0.1:*"];
    let ended = Running::start(sinbin_wasi(&args)).wait();
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("--allow-listen requires a guest that the host drives"),
        "{}",
        ended.stderr
    );
}
