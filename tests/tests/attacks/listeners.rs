//! The addresses on which a server listens: equal on every host, and not wider than requested.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use sinbin_tests::{Client, PATIENCE, ReservedPort, Server, run};

/// Returns true if this machine has IPv6.
fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

fn connect(address: SocketAddr) -> io::Result<Client> {
    TcpStream::connect_timeout(&address, PATIENCE).map(Client::over)
}

#[test]
fn an_ipv6_address_takes_no_ipv4_connections() {
    if !has_ipv6() {
        return;
    }
    let reserved = ReservedPort::new();
    let port = reserved.address().port();
    let server = Server::fib(&["--listen", &format!("[::]:{port}")]);
    connect((Ipv6Addr::LOCALHOST, port).into()).expect("by IPv6").ask(5);
    let refused = connect((Ipv4Addr::LOCALHOST, port).into()).map(drop).expect_err("by IPv4");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(server.stop().code, Some(0));
    // Each address has its own listener on the same port.
    let both = Server::fib(&["--listen", &format!("[::]:{port}"), "--listen", &format!("0.0.0.0:{port}")]);
    connect((Ipv6Addr::LOCALHOST, port).into()).expect("by IPv6").ask(5);
    connect((Ipv4Addr::LOCALHOST, port).into()).expect("by IPv4").ask(5);
    assert_eq!(both.stop().code, Some(0));
}

#[test]
fn two_addresses_of_one_server_that_are_in_each_others_way_are_named() {
    let port = ReservedPort::new();
    let address = port.address().to_string();
    for written_as in ["machine", "async-fn"] {
        let listen = ["--listen", &address, "--listen", &address, "--written-as", written_as];
        let ended = run(&[&["serve", "fib"], &listen[..]].concat());
        assert_eq!(ended.code, Some(1));
        let expected = format!("cannot listen on {address}: this server listens on {address} already");
        assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
        assert!(!ended.stderr.contains("other program"), "{}", ended.stderr);
    }
}

#[test]
fn a_dual_stack_listener_takes_both() {
    // A guest that drives itself cannot have a dual-stack listener, and reports that.
    let is_native = std::env::var("SINBIN_HOST").map_or(true, |host| host.starts_with("native"));
    if !has_ipv6() || !is_native {
        return;
    }
    let reserved = ReservedPort::new();
    let port = reserved.address().port();
    let server = Server::fib(&["--listen", &format!("[::]:{port}"), "--dual-stack"]);
    connect((Ipv6Addr::LOCALHOST, port).into()).expect("by IPv6").ask(5);
    connect((Ipv4Addr::LOCALHOST, port).into()).expect("by IPv4").ask(5);
    assert_eq!(server.stop().code, Some(0));
    let (wide, narrow) = (format!("[::]:{port}"), format!("0.0.0.0:{port}"));
    let ended = run(&["serve", "fib", "--dual-stack", "--listen", &wide, "--listen", &narrow]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(&format!("this server listens on {wide} already")), "{}", ended.stderr);
}
