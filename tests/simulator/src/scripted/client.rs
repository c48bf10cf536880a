//! The actions of scripted clients.

use std::io::{self, ErrorKind};

use sinbin_core::Service;

use crate::client_model::ClientModel;
use crate::world::World;

/// The most unread bytes that a client can have sent.
const ROOM: usize = 1 << 16;

impl<S: Service, T: ClientModel> World<S, T> {
    pub(crate) fn scripted_send(&mut self, number: usize, bytes: &[u8]) -> io::Result<usize> {
        let peer = &mut self.peers[number];
        if peer.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if peer.finished || peer.closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = bytes.len().min(ROOM - peer.inbox.len());
        if room == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = self.rng.part(room, self.plan.faults.pieces).max(room.min(1));
        peer.inbox.extend(&bytes[..count]);
        peer.spoken.add(&bytes[..count]);
        self.acted(number, || format!("sends \"{}\"", bytes[..count].escape_ascii()));
        Ok(count)
    }

    pub(crate) fn scripted_receive(&mut self, number: usize, room: &mut [u8]) -> io::Result<usize> {
        let peer = &mut self.peers[number];
        if peer.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let most = room.len().min(peer.outbox.len());
        if most > 0 {
            let count = self.rng.part(most, self.plan.faults.pieces).max(1);
            room.iter_mut().zip(peer.outbox.drain(..count)).for_each(|(to, from)| *to = from);
            peer.heard.add(&room[..count]);
            self.acted(number, || format!("receives {count} bytes"));
            self.check_heard(number);
            return Ok(count);
        }
        match () {
            // The server closed the socket with unread input, which resets the connection.
            () if peer.closed && !peer.inbox.is_empty() => Err(ErrorKind::ConnectionReset.into()),
            () if peer.closed || peer.shut || room.is_empty() => Ok(0),
            () => Err(ErrorKind::WouldBlock.into()),
        }
    }

    pub(crate) fn scripted_room(&mut self, number: usize, room: usize) {
        self.peers[number].room = room;
        self.acted(number, || format!("has capacity for {room} bytes"));
    }

    pub(crate) fn scripted_half_close(&mut self, number: usize) {
        if !self.peers[number].finished {
            self.peers[number].finished = true;
            self.acted(number, || "half-closes".to_owned());
        }
    }

    pub(crate) fn scripted_reset(&mut self, number: usize) {
        if !self.peers[number].gone {
            self.peers[number].gone = true;
            self.peers[number].break_off();
            self.acted(number, || "resets the connection".to_owned());
        }
    }

    pub(crate) fn scripted_close(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        if !peer.gone {
            (peer.gone, peer.finished) = (true, true);
            self.acted(number, || "closes".to_owned());
            self.after_the_server(number);
        }
    }

    /// Resets the connection if the server has sent bytes to a client that has closed its socket.
    pub(crate) fn after_the_server(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        if peer.gone && !peer.reset && !peer.outbox.is_empty() {
            peer.break_off();
            self.acted(number, || "has gone, and resets".to_owned());
        }
    }

    /// Records an action of the client, and lists its source for the next poll.
    fn acted(&mut self, number: usize, what: impl FnOnce() -> String) {
        self.story.add(number as u64);
        self.tell(|| format!("client {number} {}", what()));
        if let Some(source) = self.peers[number].source {
            self.list(source);
        }
    }
}
