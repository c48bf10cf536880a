//! A WASI command that uses its host's interfaces wrongly, or asks for too much, for the tests of the host. It prints the
//! result of each call. `misuse WHAT [ADDRESS]` does one of [`WAYS`].

use std::net::SocketAddr;
use std::process::ExitCode;

use wasi::cli::{stdin::get_stdin, stdout::get_stdout};
use wasi::clocks::monotonic_clock::subscribe_duration;
use wasi::io::poll::{Pollable, poll};
use wasi::io::streams::{InputStream, OutputStream, StreamError};
use wasi::sockets::instance_network::instance_network;
use wasi::sockets::ip_name_lookup::resolve_addresses;
use wasi::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasi::sockets::tcp::{ShutdownType, TcpSocket};
use wasi::sockets::tcp_create_socket::create_tcp_socket;
use wasi::sockets::udp::{IncomingDatagram, IncomingDatagramStream, OutgoingDatagram, UdpSocket};
use wasi::sockets::udp_create_socket::create_udp_socket;

/// Something that the command does, with its address.
type Way = fn(SocketAddr);

/// All ways of misuse, and some uses of limits.
const WAYS: &[(&str, Way)] = &[
    ("poll-none", |_| println!("{:?}", poll(&[]))),
    ("poll-twice", |_| poll_twice()),
    ("poll-many", |_| poll_many()),
    ("poll-orphans", poll_orphans),
    ("read-huge", read_huge),
    ("write-unpermitted", |address| println!("{:?}", listened(address).1.write(b"unpermitted"))),
    ("write-beyond", write_beyond),
    ("write-zeros", |address| println!("{:?}", listened(address).1.write_zeroes(u64::MAX))),
    ("write-large", |_| println!("{:?}", get_stdout().blocking_write_and_flush(&[b'x'; 4097]))),
    ("stuck", stuck),
    ("stuck-all", stuck_all),
    ("splice", splice),
    ("halves", halves),
    ("states", states),
    ("bind", |address| println!("{:?}", bound(address).map(drop))),
    ("connect", |address| println!("{:?}", connected(address).map(drop))),
    ("sockets", |_| sockets()),
    ("listeners", listeners),
    ("udp", udp),
    ("udp-echo", udp_echo),
    ("udp-limited", udp_limited),
    ("lookup", |_| lookup()),
    ("cat", |_| cat()),
    ("environment", |_| println!("{:?}", std::env::vars().collect::<Vec<_>>())),
    ("files", |_| files()),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let address = arguments.next().and_then(|address| address.parse().ok());
    let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let Some((_, way)) = WAYS.iter().find(|(name, _)| *name == what) else {
        return ExitCode::from(1);
    };
    way(address);
    ExitCode::SUCCESS
}

fn to_wasi(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(v4) => {
            let [a, b, c, d] = v4.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: v4.port(), address: (a, b, c, d) })
        }
        SocketAddr::V6(_) => panic!("the tests use IPv4"),
    }
}

fn tcp() -> TcpSocket {
    create_tcp_socket(IpAddressFamily::Ipv4).expect("a socket")
}

fn finished<T>(progress: &Pollable, end: impl Fn() -> Result<T, ErrorCode>) -> Result<T, ErrorCode> {
    loop {
        match end() {
            Err(ErrorCode::WouldBlock) => progress.block(),
            over => return over,
        }
    }
}

fn bound(address: SocketAddr) -> Result<TcpSocket, ErrorCode> {
    let socket = tcp();
    socket.start_bind(&instance_network(), to_wasi(address))?;
    socket.finish_bind()?;
    Ok(socket)
}

fn listening(address: SocketAddr) -> Result<TcpSocket, ErrorCode> {
    let socket = bound(address)?;
    socket.start_listen()?;
    socket.finish_listen()?;
    Ok(socket)
}

fn connected(address: SocketAddr) -> Result<(InputStream, OutputStream, TcpSocket), ErrorCode> {
    let socket = tcp();
    let progress = socket.subscribe();
    socket.start_connect(&instance_network(), to_wasi(address))?;
    let (input, output) = finished(&progress, || socket.finish_connect())?;
    Ok((input, output, socket))
}

/// Listens, and accepts the first connection.
fn listened(address: SocketAddr) -> (InputStream, OutputStream, TcpSocket) {
    let listener = listening(address).expect("a listener");
    say_address(&listener);
    let incoming = listener.subscribe();
    let (socket, input, output) = finished(&incoming, || listener.accept()).expect("a connection");
    (input, output, socket)
}

fn say_address(listener: &TcpSocket) {
    match listener.local_address() {
        Ok(IpSocketAddress::Ipv4(Ipv4SocketAddress { port, .. })) => {
            println!("listening on 127.0.0.1:{port}");
        }
        other => println!("{other:?}"),
    }
}

fn poll_twice() {
    let (past, never) = (subscribe_duration(0), subscribe_duration(u64::MAX));
    let mut ready = poll(&[&past, &never, &past]);
    ready.sort_unstable();
    println!("{ready:?}");
}

fn poll_many() {
    let (past, never) = (subscribe_duration(0), subscribe_duration(u64::MAX));
    let mut list = vec![&never; 100_000];
    list[99_999] = &past;
    println!("{:?}", poll(&list));
    let ready = poll(&vec![&past; 100_000]).len();
    println!("some of many: {}", ready > 0 && ready <= 100_000);
}

/// Polls pollables whose streams and sockets are gone.
fn poll_orphans(address: SocketAddr) {
    let (input, output, socket) = listened(address);
    let orphans = [input.subscribe(), output.subscribe(), socket.subscribe()];
    drop((input, output, socket));
    // Other sockets take the place of the one that is gone.
    let others: Vec<_> = (0..8).map(|_| tcp()).collect();
    println!("{:?}", orphans.iter().map(Pollable::ready).collect::<Vec<_>>());
    println!("{}", poll(&orphans.iter().collect::<Vec<_>>()).len());
    drop(others);
}

fn read_huge(address: SocketAddr) {
    let (input, _output, _socket) = listened(address);
    let mut count = 0;
    loop {
        match input.blocking_read(1 << 63) {
            Ok(bytes) => count += bytes.len(),
            Err(error) => break println!("{count} bytes, then {error:?}"),
        }
    }
    println!("{:?} {:?}", input.read(u64::MAX), input.read(0));
}

fn write_beyond(address: SocketAddr) {
    let (_input, output, _socket) = listened(address);
    let permit = output.check_write().expect("an open stream");
    println!("{:?}", output.write(&vec![b'x'; usize::try_from(permit).unwrap_or(0) + 1]));
}

/// Writes to a peer that does not read, until nothing more is permitted.
fn fill(output: &OutputStream) -> Result<usize, StreamError> {
    let mut written = 0;
    loop {
        match usize::try_from(output.check_write()?).unwrap_or(0) {
            0 => return Ok(written),
            permit => {
                output.write(&vec![b'x'; permit])?;
                written += permit;
            }
        }
    }
}

fn stuck(address: SocketAddr) {
    let (input, output, socket) = listened(address);
    let writable = output.subscribe();
    let written = fill(&output).expect("an open stream");
    println!("stuck: {}", !writable.ready());
    drop(writable);
    // All of it is sent once the peer reads, and the end after it.
    drop((output, input, socket));
    println!("written: {written}");
}

/// Writes to all connections that the command accepts, none of whose peers read.
fn stuck_all(address: SocketAddr) {
    let listener = listening(address).expect("a listener");
    say_address(&listener);
    let incoming = listener.subscribe();
    let mut stuck = Vec::new();
    for _ in 0..40 {
        let (socket, input, output) = finished(&incoming, || listener.accept()).expect("a connection");
        let permit = output.check_write().expect("an open stream");
        stuck.push((permit, input, output, socket));
    }
    println!("large permits: {}", stuck.iter().filter(|(permit, ..)| *permit > 4096).count());
    println!("small permits: {}", stuck.iter().filter(|(permit, ..)| *permit == 4096).count());
}

fn splice(address: SocketAddr) {
    let (input, output, _socket) = listened(address);
    let mut count = 0;
    loop {
        match output.blocking_splice(&input, u64::MAX) {
            Ok(more) => count += more,
            Err(error) => break println!("{count} bytes, then {error:?}"),
        }
    }
    println!("{:?}", output.splice(&input, 1));
}

/// Ends each direction of a connection separately.
fn halves(address: SocketAddr) {
    let (input, output, socket) = listened(address);
    println!("{:?}", output.blocking_write_and_flush(b"before\n"));
    println!("{:?}", socket.shutdown(ShutdownType::Send));
    println!("{:?}", output.check_write());
    println!("{:?}", input.blocking_read(100));
    println!("{:?}", socket.shutdown(ShutdownType::Receive));
    println!("{:?}", input.read(100));
    drop(output);
    drop(input);
    println!("{:?}", socket.remote_address().is_ok());
}

fn states(address: SocketAddr) {
    let socket = tcp();
    println!("{:?}", socket.finish_bind());
    println!("{:?}", socket.finish_connect().map(drop));
    println!("{:?}", socket.start_listen());
    println!("{:?}", socket.accept().map(drop));
    println!("{:?}", socket.local_address().map(drop));
    println!("{:?}", socket.remote_address().map(drop));
    println!("{:?}", socket.shutdown(ShutdownType::Both));
    println!("{:?}", socket.set_listen_backlog_size(0));
    println!("{:?}", socket.set_hop_limit(0));
    println!("{:?}", socket.set_keep_alive_count(0));
    println!("{:?}", socket.start_bind(&instance_network(), to_wasi(address)));
    println!("{:?}", socket.start_bind(&instance_network(), to_wasi(address)));
    println!("{:?}", socket.finish_bind());
    println!("{:?}", socket.start_bind(&instance_network(), to_wasi(address)));
    println!(
        "{:?}",
        socket.start_connect(&instance_network(), to_wasi(SocketAddr::from(([0, 0, 0, 0], 80))))
    );
    println!("{:?}", socket.start_listen());
    println!("{:?}", socket.start_listen());
    println!("{:?}", socket.finish_listen());
    println!("{:?}", socket.accept().map(drop));
    println!("{:?} {:?}", socket.is_listening(), socket.address_family());
}

/// Creates sockets until the host refuses.
fn sockets() {
    let mut sockets = Vec::new();
    let error = loop {
        match create_tcp_socket(IpAddressFamily::Ipv4) {
            Ok(socket) => sockets.push(socket),
            Err(error) => break error,
        }
    };
    println!("{} sockets, then {error:?}", sockets.len());
    sockets.pop();
    println!("one again: {}", create_tcp_socket(IpAddressFamily::Ipv6).is_ok());
}

fn listeners(address: SocketAddr) {
    let mut listeners = Vec::new();
    let error = loop {
        match listening(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) => break error,
        }
    };
    println!("{} listeners, then {error:?}", listeners.len());
}

fn udp(address: SocketAddr) {
    let socket = match create_udp_socket(IpAddressFamily::Ipv4) {
        Ok(socket) => socket,
        Err(error) => return println!("{error:?}"),
    };
    println!("{:?}", socket.stream(None).map(drop));
    let other = SocketAddr::from(([127, 0, 0, 1], 1));
    println!("{:?}", socket.start_bind(&instance_network(), to_wasi(other)));
    println!("{:?}", socket.start_bind(&instance_network(), to_wasi(address)));
    println!("{:?}", socket.finish_bind());
    println!("{:?}", socket.stream(Some(to_wasi(other))).map(drop));
    let (incoming, outgoing) = socket.stream(None).expect("streams");
    println!("{:?}", incoming.receive(0).map(|datagrams| datagrams.len()));
    println!("{:?}", outgoing.check_send());
    let datagram = OutgoingDatagram { data: b"x".to_vec(), remote_address: Some(to_wasi(other)) };
    println!("{:?}", outgoing.send(&[datagram]));
    println!("{:?}", outgoing.check_send());
    let datagram = OutgoingDatagram { data: b"x".to_vec(), remote_address: None };
    println!("{:?}", outgoing.send(&[datagram]));
    println!("{:?}", outgoing.send(&[OutgoingDatagram { data: Vec::new(), remote_address: None }]));
}

/// Returns a UDP socket at `address`, whose port it tells.
fn udp_server(address: SocketAddr) -> UdpSocket {
    let socket = create_udp_socket(IpAddressFamily::Ipv4).expect("a socket");
    socket.start_bind(&instance_network(), to_wasi(address)).expect("an address");
    socket.finish_bind().expect("an address");
    match socket.local_address() {
        Ok(IpSocketAddress::Ipv4(Ipv4SocketAddress { port, .. })) => {
            println!("listening on 127.0.0.1:{port}");
        }
        other => println!("{other:?}"),
    }
    socket
}

/// Limits a socket to the sender of its first datagram, when the next one has arrived already. Prints the first datagram
/// after that.
fn udp_limited(address: SocketAddr) {
    let socket = udp_server(address);
    let (incoming, outgoing) = socket.stream(None).expect("streams");
    let readable = incoming.subscribe();
    let first = next_datagram(&incoming);
    outgoing.check_send().expect("a permit");
    let reply = OutgoingDatagram { data: b"next".to_vec(), remote_address: Some(first.remote_address) };
    outgoing.send(&[reply]).expect("a datagram");
    readable.block();
    drop((readable, incoming, outgoing));
    let (incoming, _outgoing) = socket.stream(Some(first.remote_address)).expect("streams");
    println!("{}", String::from_utf8_lossy(&next_datagram(&incoming).data));
}

/// Waits for a datagram. A socket may be ready without one.
fn next_datagram(incoming: &IncomingDatagramStream) -> IncomingDatagram {
    let readable = incoming.subscribe();
    loop {
        readable.block();
        if let Some(datagram) = incoming.receive(1).expect("datagrams").pop() {
            return datagram;
        }
    }
}

/// Sends back the first three datagrams.
fn udp_echo(address: SocketAddr) {
    let socket = udp_server(address);
    let (incoming, outgoing) = socket.stream(None).expect("streams");
    let readable = incoming.subscribe();
    let mut left = 3;
    while left > 0 {
        readable.block();
        for datagram in incoming.receive(left).expect("datagrams") {
            left -= 1;
            outgoing.check_send().expect("a permit");
            let back =
                OutgoingDatagram { data: datagram.data, remote_address: Some(datagram.remote_address) };
            println!("{:?}", outgoing.send(&[back]));
        }
    }
}

fn lookup() {
    for name in ["localhost", "LOCALHOST.", "other.example", "not a name", "", "127.0.0.1", "::1"] {
        let found = resolve_addresses(&instance_network(), name);
        let first = found.map(|addresses| {
            let progress = addresses.subscribe();
            finished(&progress, || addresses.resolve_next_address())
        });
        println!("{name:?}: {:?}", first.map(|first| first.map(|first| first.is_some())));
    }
}

fn cat() {
    let (input, output) = (get_stdin(), get_stdout());
    let again = get_stdin();
    drop(again);
    while let Ok(bytes) = input.blocking_read(1000) {
        if output.blocking_write_and_flush(&bytes).is_err() {
            return;
        }
    }
}

fn files() {
    println!("{:?}", std::fs::read_to_string("data/hello").map_err(|error| error.kind()));
    println!("{:?}", std::fs::write("data/new", "written").map_err(|error| error.kind()));
    println!("{:?}", std::fs::read_to_string("data/new").map_err(|error| error.kind()));
    println!("{:?}", std::fs::read_to_string("data/../../etc/passwd").map(drop).is_err());
    println!("{:?}", std::fs::read_to_string("/etc/passwd").map(drop).is_err());
}
