//! The clients at the other end of the cable: a TCP stack of their own, and scripts.

use std::cell::RefCell;
use std::rc::Rc;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use crate::wire::{End, Plug, Wire};

/// The address and the port of the board.
pub const BOARD: IpAddress = IpAddress::v4(10, 0, 0, 1);
pub const PORT: u16 = 7000;

/// The script of a client.
#[derive(Clone, Debug)]
pub struct Script {
    /// The moment when the client connects, in milliseconds.
    pub begins: i64,
    pub sends: Vec<u8>,
    pub expects: Vec<u8>,
    pub ends: Ends,
}

/// The way in which a client ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    /// The client half-closes, and reads to the end.
    HalfClose,
    /// The client reads its answers, then closes.
    Close,
    /// The client resets the connection after it has read this many bytes.
    Reset(usize),
    /// The client reads nothing for this many milliseconds, then resets the connection.
    Mute(i64),
}

/// The state of a client.
#[derive(Debug)]
pub struct Client {
    pub script: Script,
    pub got: Vec<u8>,
    handle: SocketHandle,
    sent: usize,
    state: State,
    /// The number of times that the board refused the client.
    pub refused: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The client connects at this moment.
    Later(Instant),
    Connecting,
    Talking(Instant),
    Done,
}

/// All clients.
pub struct Clients {
    interface: Interface,
    device: Plug,
    sockets: SocketSet<'static>,
    pub clients: Vec<Client>,
    ports: u16,
}

impl Clients {
    pub fn new(wire: &Rc<RefCell<Wire>>, scripts: Vec<Script>, seed: u64) -> Self {
        let mut device = Plug { wire: Rc::clone(wire), end: End::Clients };
        let mut config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 9]).into());
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        interface.update_ip_addrs(|list| {
            list.push(IpCidr::new(IpAddress::v4(10, 0, 0, 2), 24)).expect("room for an address");
        });
        let mut sockets = SocketSet::new(Vec::new());
        let client = |script: Script| {
            let buffer = || tcp::SocketBuffer::new(vec![0; 2048]);
            let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
            let begins = Instant::from_millis(script.begins);
            Client { script, got: Vec::new(), handle, sent: 0, state: State::Later(begins), refused: 0 }
        };
        let clients = scripts.into_iter().map(client).collect();
        Self { interface, device, sockets, clients, ports: 20_000 }
    }

    /// Returns true if every client has ended.
    pub fn are_done(&self) -> bool {
        self.clients.iter().all(|client| client.state == State::Done)
    }

    /// Lets the clients act, and their stack receive and send.
    pub fn act(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.device, &mut self.sockets);
        for client in &mut self.clients {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(client.handle);
            if let State::Later(at) = client.state
                && at <= now
            {
                self.ports += 1;
                socket.abort();
                socket.connect(self.interface.context(), (BOARD, PORT), self.ports).expect("a free socket");
                client.state = State::Connecting;
            }
            client.act(socket, now);
        }
        self.interface.poll(now, &mut self.device, &mut self.sockets);
    }

    /// Returns the moment when the clients act next if no frame comes.
    pub fn next(&mut self, now: Instant) -> Option<Instant> {
        let starts = self.clients.iter().filter_map(|client| match client.state {
            State::Later(at) => Some(at),
            State::Talking(until) if matches!(client.script.ends, Ends::Mute(_)) => Some(until),
            _ => None,
        });
        let next = starts.min();
        let poll = self.interface.poll_at(now, &self.sockets);
        next.into_iter().chain(poll).min().map(|at| at.max(now + Duration::from_micros(1)))
    }
}

impl Client {
    fn act(&mut self, socket: &mut tcp::Socket<'_>, now: Instant) {
        if self.state == State::Connecting {
            match socket.state() {
                tcp::State::SynSent => return,
                tcp::State::Closed => {
                    self.refused += 1;
                    self.state = State::Later(now + Duration::from_millis(500));
                    return;
                }
                _ => {
                    let mute = if let Ends::Mute(ms) = self.script.ends { ms } else { 0 };
                    self.state = State::Talking(now + Duration::from_millis(mute.unsigned_abs()));
                }
            }
        }
        let State::Talking(until) = self.state else { return };
        if self.sent < self.script.sends.len() && socket.can_send() {
            self.sent += socket.send_slice(&self.script.sends[self.sent..]).expect("an open connection");
        }
        if !matches!(self.script.ends, Ends::Mute(_)) {
            while socket.can_recv() {
                let mut buffer = [0; 512];
                let count = socket.recv_slice(&mut buffer).expect("bytes");
                self.got.extend_from_slice(&buffer[..count]);
            }
        }
        let has_sent = self.sent == self.script.sends.len();
        let has_all = self.got.len() >= self.script.expects.len();
        match self.script.ends {
            // With all bytes acknowledged: smoltcp as a receiver takes the end of the stream from a segment whose last bytes
            // are beyond its window, and smoltcp as a sender sends such segments.
            Ends::HalfClose if has_sent && (socket.send_queue() == 0 || !socket.may_send()) => {
                socket.close();
                if !socket.may_recv() {
                    self.state = State::Done;
                }
            }
            Ends::Close if has_sent && has_all => {
                socket.close();
                self.state = State::Done;
            }
            Ends::Reset(count) if self.got.len() >= count => {
                socket.abort();
                self.state = State::Done;
            }
            Ends::Mute(_) if now >= until => {
                socket.abort();
                self.state = State::Done;
            }
            _ if socket.state() == tcp::State::Closed => self.state = State::Done,
            _ => {}
        }
    }
}
