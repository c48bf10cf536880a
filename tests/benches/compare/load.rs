//! The load: many clients on one bare epoll loop, each with some outstanding requests. Every byte of the replies is
//! checked, and the clients that receive replies are counted.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use socket2::SockRef;

const REQUEST: &[u8] = b"1\n";
const REPLY: &[u8] = b"1\n";

/// The number of clients that are connected and answered together, which is well below the backlog of every server.
const CONNECTED_AT_ONCE: usize = 128;

/// Longer than any server keeps a client waiting, unless it has lost the client.
const PATIENCE: Duration = Duration::from_secs(5);

const READ_SIZE: usize = 4096;
const EVENTS_AT_ONCE: usize = 1024;

/// The result of a window.
pub(crate) struct Tally {
    pub(crate) per_second: f64,
    pub(crate) replies: usize,
    /// The number of clients that received at least one reply.
    pub(crate) served: usize,
}

/// The clients of one server. Their connections end with a reset, so that no port stays in TIME_WAIT.
pub(crate) struct Load {
    epoll: OwnedFd,
    events: Vec<Event>,
    clients: Vec<Client>,
    input: Box<[u8]>,
    /// As many requests as one read can hold replies.
    burst: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    /// The number of bytes of an incomplete reply that have arrived.
    part: usize,
    served: bool,
}

impl Load {
    /// Connects `count` clients, and exchanges one request with each.
    pub(crate) fn connect(address: SocketAddr, count: usize) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut clients = Vec::with_capacity(count);
        while clients.len() < count {
            let more = CONNECTED_AT_ONCE.min(count - clients.len());
            let more = connect_some(address, more).map_err(|error| {
                let done = clients.len();
                io::Error::other(format!("{done} of {count} clients were served: {error}"))
            })?;
            for client in more {
                let data = EventData::new_u64(clients.len() as u64);
                epoll::add(&epoll, &client.stream, data, EventFlags::IN)?;
                clients.push(client);
            }
        }
        Ok(Self {
            epoll,
            events: Vec::with_capacity(EVENTS_AT_ONCE),
            clients,
            input: vec![0; READ_SIZE].into(),
            burst: REQUEST.repeat(READ_SIZE / REPLY.len() + 1),
        })
    }

    /// Keeps `pipelined` requests of every client outstanding from now on, and warms up.
    pub(crate) fn start(&mut self, pipelined: usize, warm_up: Duration) -> io::Result<()> {
        for client in &mut self.clients {
            client.send(&self.burst, pipelined)?;
        }
        self.turns(warm_up)?;
        Ok(())
    }

    /// Counts the replies of a window after [`start`](Self::start). Requests remain outstanding at its end, so only
    /// another window may follow.
    pub(crate) fn rate(&mut self, window: Duration) -> io::Result<Tally> {
        for client in &mut self.clients {
            client.served = false;
        }
        let (replies, took) = self.turns(window)?;
        let served = self.clients.iter().filter(|client| client.served).count();
        // Exact: a window has far fewer than 2^52 replies.
        Ok(Tally { per_second: replies as f64 / took.as_secs_f64(), replies, served })
    }

    /// Sends exactly `requests` requests, at most one outstanding for each client, and waits for all replies.
    pub(crate) fn exactly(&mut self, requests: usize) -> io::Result<()> {
        let first = requests.min(self.clients.len());
        for client in &mut self.clients[..first] {
            client.send(&self.burst, 1)?;
        }
        let mut unsent = requests - first;
        let mut replies = 0;
        while replies < requests {
            replies += self.turn(&mut unsent)?;
        }
        Ok(())
    }

    fn turns(&mut self, time: Duration) -> io::Result<(usize, Duration)> {
        let start = Instant::now();
        let mut replies = 0;
        let mut unlimited = usize::MAX;
        loop {
            replies += self.turn(&mut unlimited)?;
            let took = start.elapsed();
            if took >= time {
                return Ok((replies, took));
            }
        }
    }

    /// Waits once, and sends a new request for every reply that has arrived, as long as `unsent` lasts.
    fn turn(&mut self, unsent: &mut usize) -> io::Result<usize> {
        self.events.clear();
        let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&patience)) {
            Ok(0) => {
                return Err(io::Error::other("no client receives replies any more"));
            }
            Err(Errno::INTR) | Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut all = 0;
        for event in &self.events {
            let index = usize::try_from(event.data.u64()).map_err(io::Error::other)?;
            let client = &mut self.clients[index];
            let replies = client.receive(&mut self.input)?;
            let next = replies.min(*unsent);
            *unsent -= next;
            client.send(&self.burst, next)?;
            all += replies;
        }
        Ok(all)
    }
}

/// Connects some clients and exchanges a request with each, so that none of them remains in the backlog.
fn connect_some(address: SocketAddr, count: usize) -> io::Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        let mut client = Client { stream, part: 0, served: false };
        client.send(REQUEST, 1)?;
        clients.push(client);
    }
    for client in &mut clients {
        expect(&client.stream, REPLY)?;
        client.stream.set_nonblocking(true)?;
    }
    Ok(clients)
}

impl Client {
    fn send(&mut self, burst: &[u8], requests: usize) -> io::Result<()> {
        let bytes = &burst[..requests * REQUEST.len()];
        // The socket always accepts these bytes, because so few are outstanding.
        if bytes.is_empty() || self.stream.write(bytes)? == bytes.len() {
            Ok(())
        } else {
            Err(io::Error::other("the server does not read"))
        }
    }

    /// Reads once, and returns the number of replies that are now complete.
    fn receive(&mut self, input: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(input)?;
        if count == 0 {
            return Err(closed());
        }
        check(&input[..count], self.part)?;
        let bytes = self.part + count;
        self.part = bytes % REPLY.len();
        let replies = bytes / REPLY.len();
        self.served |= replies > 0;
        Ok(replies)
    }
}

/// Checks that these bytes continue a reply of which `part` bytes have arrived.
fn check(bytes: &[u8], part: usize) -> io::Result<()> {
    let mut expected = REPLY.iter().cycle().skip(part);
    if bytes.iter().all(|byte| Some(byte) == expected.next()) { Ok(()) } else { Err(wrong(bytes)) }
}

/// Reads one reply from a blocking stream.
pub(crate) fn expect(mut stream: &TcpStream, reply: &[u8]) -> io::Result<()> {
    let mut got = vec![0; reply.len()];
    stream.read_exact(&mut got).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::other("no reply comes"),
        io::ErrorKind::UnexpectedEof => closed(),
        _ => error,
    })?;
    if got == reply { Ok(()) } else { Err(wrong(&got)) }
}

fn wrong(bytes: &[u8]) -> io::Error {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(32)]);
    io::Error::other(format!("a wrong reply, which begins {start:?}"))
}

fn closed() -> io::Error {
    io::Error::other("the server closed a connection")
}
