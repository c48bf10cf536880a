//! A WASI 0.3 command that uses its host's interfaces wrongly, or asks for too much, for the tests of the host. It prints
//! the result of each call. `wasip3-misuse WHAT [ADDRESS]` does one of the ways below.

#![allow(missing_docs, reason = "the macro of wasip3 makes functions without any")]

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_util::future::join_all;
use wasip3::cli::{stdin, stdout};
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket,
};
use wasip3::wit_bindgen::{StreamReader, StreamResult};
use wasip3::{spawn_local, wit_stream};

struct Misuse;

wasip3::cli::command::export!(Misuse);

impl wasip3::exports::cli::run::Guest for Misuse {
    async fn run() -> Result<(), ()> {
        let mut arguments = std::env::args().skip(1);
        let what = arguments.next().unwrap_or_default();
        let address = arguments.next().and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        match what.as_str() {
            "states" => states(address).await,
            "denied" => denied(address).await,
            "sockets" => sockets(),
            "drops" => drops(address).await,
            "cancels" => cancels(address).await,
            "writes-after-close" => writes_after_close(address).await,
            "udp-echo" => udp_echo(address).await,
            "udp-flood" => udp_flood(address).await,
            "timers" => drop(join_all((0..10_000).map(|_| wait_for(1 << 60))).await),
            "sleeps" => sleeps().await,
            "lookups" => lookups().await,
            "cat" => cat().await,
            "cat-forever" => forever().await,
            "spins" => spins(address),
            "returns" => returns(),
            _ => return Err(()),
        }
        Ok(())
    }
}

fn to_wasi(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(v4) => {
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: v4.port(), address: v4.ip().octets().into() })
        }
        SocketAddr::V6(_) => panic!("the tests use IPv4"),
    }
}

fn display(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(v4) => (<[u8; 4]>::from(v4.address), v4.port).into(),
        IpSocketAddress::Ipv6(_) => panic!("the tests use IPv4"),
    }
}

fn tcp() -> TcpSocket {
    TcpSocket::create(IpAddressFamily::Ipv4).expect("a socket")
}

fn udp() -> Result<UdpSocket, ErrorCode> {
    UdpSocket::create(IpAddressFamily::Ipv4)
}

/// Listens on an address, and prints it.
fn listen(address: SocketAddr) -> StreamReader<TcpSocket> {
    let socket = tcp();
    socket.bind(to_wasi(address)).expect("an address");
    let clients = socket.listen().expect("a listener");
    println!("listening on {}", display(socket.get_local_address().expect("an address")));
    clients
}

/// Sends bytes by a stream of their own, and returns the result.
async fn send(socket: &TcpSocket, bytes: &[u8]) -> Result<(), ErrorCode> {
    let (mut output, pipe) = wit_stream::new();
    let sent = socket.send(pipe);
    output.write_all(bytes.to_vec()).await;
    drop(output);
    sent.await
}

/// Calls in the wrong order.
async fn states(address: SocketAddr) {
    let fresh = tcp();
    println!("local address: {:?}", fresh.get_local_address().map(display));
    println!("remote address: {:?}", fresh.get_remote_address().map(display));
    let (mut input, received) = fresh.receive();
    println!("receive: {:?}, {:?}", input.next().await, received.await);
    println!("send: {:?}", send(&fresh, b"early").await);
    println!("backlog of 0: {:?}", fresh.set_listen_backlog_size(0));
    println!("bind: {:?}", fresh.bind(to_wasi(address)));
    println!("bind again: {:?}", fresh.bind(to_wasi(address)));
    let clients = fresh.listen();
    println!("listen: {:?}, listening: {}", clients.as_ref().map(|_| ()), fresh.get_is_listening());
    println!("listen again: {:?}", fresh.listen().map(drop));
    println!("connect: {:?}", fresh.connect(to_wasi(address)).await);
}

/// Uses of addresses that were not granted.
async fn denied(address: SocketAddr) {
    println!("bind: {:?}", tcp().bind(to_wasi(address)));
    println!("connect: {:?}", tcp().connect(to_wasi(address)).await);
    println!("listen: {:?}", tcp().listen().map(drop));
    match udp() {
        Err(error) => println!("udp: {error:?}"),
        Ok(socket) => {
            println!("udp bind: {:?}", socket.bind(to_wasi(address)));
            println!("udp connect: {:?}", socket.connect(to_wasi(address)));
            println!("udp send: {:?}", socket.send(b"x".to_vec(), Some(to_wasi(address))).await);
        }
    }
}

/// Creates sockets until the host refuses.
fn sockets() {
    let mut sockets = Vec::new();
    let error = loop {
        match TcpSocket::create(IpAddressFamily::Ipv4) {
            Ok(socket) => sockets.push(socket),
            Err(error) => break error,
        }
    };
    println!("{} sockets, then {error:?}", sockets.len());
    sockets.pop();
    println!("{:?}", TcpSocket::create(IpAddressFamily::Ipv4).map(drop));
}

/// Drops the streams of each client in the middle, in several orders, while others are served.
async fn drops(address: SocketAddr) {
    let mut clients = listen(address);
    let mut number = 0;
    while let Some(client) = clients.next().await {
        number += 1;
        spawn_local(async move {
            let (mut input, received) = client.receive();
            let (mut output, pipe) = wit_stream::new();
            let sent = client.send(pipe);
            let first = input.next().await;
            match number % 5 {
                0 => drop((client, input, received, sent)),
                1 => drop((output, received, client)),
                2 => {
                    drop((received, sent));
                    output.write_all(first.into_iter().collect()).await;
                }
                3 => {
                    drop(input);
                    output.write_all(first.into_iter().collect()).await;
                    drop(output);
                    assert!(received.await.is_ok() && sent.await.is_ok());
                }
                _ => {
                    drop(client);
                    output.write_all(first.into_iter().collect()).await;
                }
            }
        });
    }
}

/// Begins reads and cancels them, then reads what a client has sent, and returns it.
async fn cancels(address: SocketAddr) {
    let mut clients = listen(address);
    while let Some(client) = clients.next().await {
        let (mut input, _) = client.receive();
        let mut received = Vec::new();
        for _ in 0..100 {
            let mut reading = pin!(input.read(Vec::with_capacity(1)));
            // A read that is complete at once has taken the byte.
            if let Poll::Ready((_, bytes)) = reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                received = bytes;
                break;
            }
            let (result, bytes) = reading.cancel();
            assert!(bytes.is_empty(), "{result:?}");
            wait_for(10_000).await;
        }
        if received.is_empty() {
            received.extend(input.next().await);
        }
        println!("{:?}", send(&client, &received).await);
    }
}

/// Writes to clients that have gone.
async fn writes_after_close(address: SocketAddr) {
    let mut clients = listen(address);
    while let Some(client) = clients.next().await {
        let (mut output, pipe) = wit_stream::new();
        let sent = client.send(pipe);
        let (mut input, _) = client.receive();
        while input.next().await.is_some() {}
        while output.write(vec![b'x'; 4096]).await.0 != StreamResult::Dropped {}
        println!("{:?}", sent.await);
    }
}

/// Returns datagrams to their senders.
async fn udp_echo(address: SocketAddr) {
    let socket = udp().expect("a socket");
    let unbound = socket.receive().await.map(drop);
    socket.bind(to_wasi(address)).expect("an address");
    println!("listening on {}", display(socket.get_local_address().expect("an address")));
    println!("unbound: {unbound:?}");
    while let Ok((data, sender)) = socket.receive().await {
        socket.send(data, Some(sender)).await.expect("permission");
    }
}

/// Sends a hundred large datagrams at the same time, and prints how many were sent and how many the host refused to keep.
async fn udp_flood(address: SocketAddr) {
    let socket = udp().expect("a socket");
    socket.bind(to_wasi(address)).expect("an address");
    let own = socket.get_local_address().expect("an address");
    let all = join_all((0..100).map(|_| socket.send(vec![0; 60_000], Some(own)))).await;
    let sent = all.iter().filter(|sent| sent.is_ok()).count();
    let refused = all.iter().filter(|sent| matches!(sent, Err(ErrorCode::OutOfMemory))).count();
    println!("{sent} sent, {refused} refused");
}

/// Waits for several timers at the same time.
async fn sleeps() {
    join_all([30, 10, 20].map(async |milliseconds| {
        wait_for(milliseconds * 1_000_000).await;
        println!("{milliseconds}");
    }))
    .await;
}

async fn lookups() {
    for name in ["127.0.0.1", "localhost", "denied.example", "not a name"] {
        println!("{name}: {:?}", resolve_addresses(name.to_owned()).await);
    }
}

/// Copies stdin to stdout.
async fn cat() {
    let (input, read) = stdin::read_via_stream();
    let written = stdout::write_via_stream(input).await;
    println!("\n{written:?}, {:?}", read.await);
}

/// Writes to stdout without end.
async fn forever() {
    let (mut output, pipe) = wit_stream::new();
    spawn_local(async move { while output.write_all(vec![b'x'; 65_536]).await.is_empty() {} });
    eprintln!("{:?}", stdout::write_via_stream(pipe).await);
}

/// Computes without end, beside a listener.
fn spins(address: SocketAddr) {
    let _clients = listen(address);
    loop {
        std::hint::spin_loop();
    }
}

/// Returns before its task has ended.
fn returns() {
    spawn_local(async {
        wait_for(10_000_000).await;
        println!("later");
    });
    println!("returned");
}
