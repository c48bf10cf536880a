//! An echo server on the sockets of WASI 0.3, for the tests of the host: `wasip3-echo ADDR`.
//!
//! Its standard library still uses WASI 0.2, as that of every Rust program for wasm32-wasip2 does.

#![allow(missing_docs, reason = "the macro of wasip3 makes functions without any")]

use std::net::SocketAddr;

use wasip3::sockets::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket,
};
use wasip3::wit_bindgen::StreamResult;
use wasip3::{spawn_local, wit_stream};

/// The maximum number of bytes of one read.
const PIECE: usize = 16 * 1024;

struct Echo;

wasip3::cli::command::export!(Echo);

impl wasip3::exports::cli::run::Guest for Echo {
    async fn run() -> Result<(), ()> {
        let address = std::env::args().nth(1).unwrap_or_default();
        serve(&address).await.map_err(|error| eprintln!("wasip3-echo: {error}"))
    }
}

/// Serves clients until the host refuses new ones.
async fn serve(address: &str) -> Result<(), String> {
    let address: SocketAddr = address.parse().map_err(|_| format!("{address}: not an address"))?;
    let family = if address.is_ipv4() { IpAddressFamily::Ipv4 } else { IpAddressFamily::Ipv6 };
    let failed = |error: ErrorCode| format!("cannot listen on {address}: {error:?}");
    let socket = TcpSocket::create(family).map_err(failed)?;
    socket.bind(socket_address(address)).map_err(failed)?;
    let mut clients = socket.listen().map_err(failed)?;
    println!("listening on {}", display(&socket.get_local_address().map_err(failed)?));
    while let Some(client) = clients.next().await {
        spawn_local(echo(client));
    }
    Ok(())
}

/// Returns to a client what it sends.
async fn echo(client: TcpSocket) {
    let (mut input, _) = client.receive();
    let (mut output, pipe) = wit_stream::new();
    let sent = client.send(pipe);
    let mut bytes = Vec::with_capacity(PIECE);
    loop {
        let (result, received) = input.read(bytes).await;
        let unsent = output.write_all(received).await;
        // A client that breaks off ends only its own task.
        if !unsent.is_empty() || result == StreamResult::Dropped {
            break;
        }
        bytes = unsent;
    }
    drop(output);
    sent.await.ok();
}

fn socket_address(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress {
            port: address.port(),
            address: address.ip().octets().into(),
        }),
        SocketAddr::V6(address) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port: address.port(),
            flow_info: address.flowinfo(),
            address: address.ip().segments().into(),
            scope_id: address.scope_id(),
        }),
    }
}

fn display(address: &IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(address) => (<[u8; 4]>::from(address.address), address.port).into(),
        IpSocketAddress::Ipv6(address) => (<[u16; 8]>::from(address.address), address.port).into(),
    }
}
