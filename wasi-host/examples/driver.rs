//! A driver of a service in a sandbox, as short as one gets that keeps the contract: std's sockets, `polling` to sleep,
//! and wasmtime. For shortness it asks every socket each time around, as `select` does, and it never stops.
//!
//! `cargo run --release --package sinbin-wasi --example driver -- target/wasi/fib.wasm 127.0.0.1:25000`
#![allow(missing_docs, unused_qualifications, reason = "what bindgen writes")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{env, io, mem};

use polling::{Event as Ready, Events, Poller};
use wasmtime::component::{Component, Linker, bindgen};
use wasmtime::{Config, Engine, Error, Result, Store};

use self::exports::sinbin::service::guest::{Event, Settings};
use self::sinbin::service::types::{Arrival, Command, Interest, Piece, Rest};

bindgen!({ path: "wit", world: "service" });

/// What may be sent by one source in one turn.
const WINDOW: u32 = 64 * 1024;

/// A turn of so many nanoseconds is told in the next one.
const LONG_TURN: u64 = 1_000_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let [_, path, address] = &arguments[..] else {
        return Err(Error::msg("usage: driver GUEST.wasm ADDR:PORT"));
    };
    let mut config = Config::new();
    // A call costs less than half without it.
    config.concurrency_support(false);
    let engine = Engine::new(&config)?;
    let (mut store, linker) = (Store::new(&engine, ()), Linker::new(&engine));
    let service = Service::instantiate(&mut store, &Component::from_file(&engine, path)?, &linker)?;
    let (service, begin) = (service.sinbin_service_guest(), Instant::now());
    let clock = || u64::try_from(begin.elapsed().as_nanos());
    let limits = service.call_start(&mut store, &settings())?.map_err(Error::msg)?;
    let mut sockets = Sockets::listen(address, limits.block as usize)?;
    let mut took = 0;
    loop {
        let now = clock()?;
        if took >= LONG_TURN {
            sockets.events.push(Event::Took(took));
        }
        let (events, input) = (mem::take(&mut sockets.events), mem::take(&mut sockets.input));
        let answer = service.call_turn(&mut store, now, WINDOW, &events, &input)?;
        took = clock()? - now;
        sockets.room = answer.room;
        let mut output = &answer.output[..];
        for command in &answer.commands {
            sockets.obey(command, &mut output, &input);
        }
        sockets.wait(match answer.rest {
            Rest::Ready => Some(Duration::ZERO),
            Rest::Until(deadline) => Some(Duration::from_nanos(deadline.saturating_sub(now))),
            Rest::Waiting => None,
            Rest::Stalled | Rest::Over => return Ok(()),
        })?;
    }
}

fn settings() -> Settings {
    let (max_connections, max_buffered) = (1000, 16 << 20);
    // The service computes its jobs itself, a slice a turn.
    Settings { arguments: Vec::new(), max_connections, max_buffered, computes: false, slice: 20_000 }
}

/// The sockets, and what there is to be told of them.
struct Sockets {
    poller: Poller,
    listener: TcpListener,
    /// A place here is the low half of a handle. The first is the listener's.
    peers: Vec<Option<Peer>>,
    born: u64,
    block: usize,
    room: u32,
    events: Vec<Event>,
    input: Vec<u8>,
}

/// A connection.
struct Peer {
    socket: TcpStream,
    handle: u64,
    interest: Interest,
    /// Bytes that came back, and where its bytes ended in this turn's input.
    unread: Vec<u8>,
    end: usize,
    /// Bytes that are to go out, and whether the service knows of them.
    unsent: Vec<u8>,
    stuck: bool,
    /// The peer has sent its last byte; the service, once all is out; the connection is gone.
    ended: bool,
    closed: bool,
    failed: bool,
}

impl Sockets {
    fn listen(address: &str, block: usize) -> Result<Self> {
        let (poller, listener) = (Poller::new()?, TcpListener::bind(address)?);
        listener.set_nonblocking(true)?;
        // SAFETY: the poller is dropped first, being the first field.
        unsafe { poller.add(&listener, Ready::none(0))? };
        println!("listening on {}", listener.local_addr()?);
        let (events, input) = (vec![Event::Listener(0)], Vec::new());
        Ok(Self { poller, listener, peers: vec![None], born: 0, block, room: 0, events, input })
    }

    /// Does what the service wants to be done. `input` is that of the same turn.
    fn obey(&mut self, command: &Command, output: &mut &[u8], input: &[u8]) {
        match command {
            Command::Watch(watch) => self.at(watch.source, |peer| peer.interest = watch.interest),
            Command::Send(Piece { source, len }) => {
                let bytes = output.split_off(..*len as usize).unwrap_or_default();
                self.at(*source, |peer| peer.unsent.extend(bytes));
            }
            Command::Unread(Piece { source, len }) => self.at(*source, |peer| {
                peer.unread
                    .extend(input.get(peer.end.saturating_sub(*len as usize)..peer.end).unwrap_or_default());
            }),
            Command::Close(source) => self.at(*source, |peer| peer.closed = true),
            // What fib does not say: `shutdown`, and jobs for others.
            _ => {}
        }
    }

    fn at(&mut self, source: u64, change: impl FnOnce(&mut Peer)) {
        let mut peers = self.peers.iter_mut().flatten();
        peers.find(|peer| peer.handle == source && !peer.closed).map(change);
    }

    /// Looks what has happened; if that is nothing, waits until something does.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<()> {
        let mut ready = Events::new();
        self.look()?;
        if self.events.is_empty() {
            self.poller.wait(&mut ready, timeout)?;
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<()> {
        while self.room > 0
            && let Ok((socket, _)) = self.listener.accept()
        {
            self.take(socket)?;
        }
        self.poller.modify(&self.listener, Ready::new(0, self.room > 0, false))?;
        for (key, place) in self.peers.iter_mut().enumerate() {
            let Some(peer) = place else { continue };
            if peer.look(self.block, &mut self.events, &mut self.input) {
                self.poller.modify(&peer.socket, Ready::new(key, peer.reads(), peer.writes()))?;
            } else {
                self.poller.delete(&peer.socket)?;
                *place = None;
            }
        }
        Ok(())
    }

    fn take(&mut self, socket: TcpStream) -> Result<()> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        (self.room, self.born) = (self.room - 1, self.born + 1);
        let free = self.peers.iter().skip(1).position(Option::is_none);
        let place = free.map_or(self.peers.len(), |place| place + 1);
        self.peers.resize_with(self.peers.len().max(place + 1), || None);
        // SAFETY: it is deleted before it is dropped, or the poller is dropped first.
        unsafe { self.poller.add(&socket, Ready::none(place))? };
        let connection = self.born << 32 | place as u64;
        self.peers[place] = Some(Peer::new(socket, connection));
        self.events.push(Event::Accepted(Arrival { listener: 0, connection, len: 0 }));
        Ok(())
    }
}

impl Peer {
    fn new(socket: TcpStream, handle: u64) -> Self {
        let (unread, unsent) = (Vec::new(), Vec::new());
        let (stuck, ended, closed, failed) = (false, false, false, false);
        Self {
            socket,
            handle,
            interest: Interest::empty(),
            unread,
            end: 0,
            unsent,
            stuck,
            ended,
            closed,
            failed,
        }
    }

    /// Does what can be done now, and tells of it. Whether the connection is still of use.
    fn look(&mut self, block: usize, events: &mut Vec<Event>, input: &mut Vec<u8>) -> bool {
        let done = self.send(events).and_then(|()| self.receive(block, events, input));
        let is_gone = done.is_err() || !matches!(self.socket.take_error(), Ok(None));
        if is_gone && !self.failed && !self.closed {
            events.push(Event::Failed(self.handle));
        }
        self.failed |= is_gone;
        !self.closed || !self.failed && (self.writes() || !self.ended)
    }

    fn send(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let stuck = !self.unsent.is_empty();
        if self.closed {
            // What still comes is read, or closing the socket would take back what went out last.
            return if stuck { Ok(()) } else { self.socket.shutdown(Shutdown::Write) };
        }
        if stuck && !self.stuck {
            events.push(Event::Stuck(self.handle));
        } else if !stuck && (self.stuck || self.interest.contains(Interest::SEND)) {
            events.push(Event::Writable(self.handle));
        }
        self.stuck = stuck;
        Ok(())
    }

    fn receive(&mut self, block: usize, events: &mut Vec<Event>, input: &mut Vec<u8>) -> io::Result<()> {
        if !self.reads() {
            return Ok(());
        }
        let mut bytes = mem::take(&mut self.unread);
        if bytes.is_empty() {
            bytes = vec![0; block];
            match self.socket.read(&mut bytes) {
                Ok(count) => bytes.truncate(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.ended = bytes.is_empty();
        if self.closed {
            return Ok(());
        }
        input.extend(&bytes);
        self.end = input.len();
        events.push(match u32::try_from(bytes.len()).unwrap_or(u32::MAX) {
            0 => Event::Ended(self.handle),
            len => Event::Received(Piece { source: self.handle, len }),
        });
        Ok(())
    }

    fn reads(&self) -> bool {
        (self.interest.contains(Interest::RECV) || self.closed) && !self.ended
    }

    fn writes(&self) -> bool {
        !self.unsent.is_empty() || self.interest.contains(Interest::SEND)
    }
}
