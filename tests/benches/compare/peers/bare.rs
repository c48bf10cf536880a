//! A bare epoll loop, the upper limit to which the others are compared: level-triggered, with one read per event and
//! one buffer for all connections. Connections are found by their file descriptor.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use super::connection::{Connection, Turn};
use super::protocol::Buffers;

const EVENTS_AT_ONCE: usize = 1024;

struct Loop {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Vec<Option<Connection<TcpStream>>>,
    buffers: Buffers,
}

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let listening = index(&listener);
    epoll::add(&epoll, &listener, EventData::new_u64(listening as u64), EventFlags::IN)?;
    let mut this = Loop { epoll, listener, connections: Vec::new(), buffers: Buffers::default() };
    let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
    loop {
        match epoll::wait(&this.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            match usize::try_from(event.data.u64()) {
                Ok(ready) if ready != listening => this.turn(ready)?,
                _ => this.accept()?,
            }
        }
    }
}

impl Loop {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let slot = index(&stream);
            epoll::add(&self.epoll, &stream, EventData::new_u64(slot as u64), EventFlags::IN)?;
            if slot >= self.connections.len() {
                self.connections.resize_with(slot + 1, || None);
            }
            self.connections[slot] = Some(Connection::new(stream));
        }
    }

    fn turn(&mut self, slot: usize) -> io::Result<()> {
        let Some(connection) = &mut self.connections[slot] else {
            return Ok(());
        };
        let was_stuck = connection.is_stuck();
        if let Turn::Closed = connection.turn(&mut self.buffers) {
            self.connections[slot] = None;
        } else if connection.is_stuck() != was_stuck {
            let interest = if was_stuck { EventFlags::IN } else { EventFlags::OUT };
            epoll::modify(&self.epoll, &connection.stream, EventData::new_u64(slot as u64), interest)?;
        }
        Ok(())
    }
}

fn index(socket: &impl AsRawFd) -> usize {
    usize::try_from(socket.as_raw_fd()).expect("a descriptor is not negative")
}
