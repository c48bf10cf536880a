//! A loop on mio, which is edge-triggered on epoll. Like tokio, the loop does not read again after a short read, unless
//! the event reports the end of the stream.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;

use ::mio::event::Event;
use ::mio::net::{TcpListener as Listener, TcpStream};
use ::mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, Turn};
use super::protocol::Buffers;

const EVENTS_AT_ONCE: usize = 1024;

struct Loop {
    poll: Poll,
    listener: Listener,
    connections: Vec<Option<Connection<TcpStream>>>,
    buffers: Buffers,
}

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let poll = Poll::new()?;
    let mut listener = Listener::from_std(listener);
    let listening = token(&listener);
    poll.registry().register(&mut listener, listening, Interest::READABLE)?;
    let mut this = Loop { poll, listener, connections: Vec::new(), buffers: Buffers::default() };
    let mut events = Events::with_capacity(EVENTS_AT_ONCE);
    loop {
        match this.poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if event.token() == listening {
                this.accept()?;
            } else {
                this.turns(event);
            }
        }
    }
}

impl Loop {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let slot = token(&stream);
            self.poll.registry().register(&mut stream, slot, Interest::READABLE | Interest::WRITABLE)?;
            if slot.0 >= self.connections.len() {
                self.connections.resize_with(slot.0 + 1, || None);
            }
            self.connections[slot.0] = Some(Connection::new(stream));
        }
    }

    fn turns(&mut self, event: &Event) {
        let slot = event.token().0;
        let Some(connection) = &mut self.connections[slot] else {
            return;
        };
        if !event.is_readable() && !connection.is_stuck() {
            return; // only writable, and no reply waits for that
        }
        loop {
            match connection.turn(&mut self.buffers) {
                Turn::More => {}
                Turn::Short if event.is_read_closed() => {}
                Turn::Short | Turn::Nothing | Turn::Stuck => return,
                Turn::Closed => break,
            }
        }
        self.connections[slot] = None;
    }
}

fn token(socket: &impl AsRawFd) -> Token {
    Token(usize::try_from(socket.as_raw_fd()).expect("a descriptor is not negative"))
}
