use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use sinbin_simulator::Rng;

use super::burst::Burst;
use crate::client::connect;

/// Bytes that are sent at a time, at most: lines are cut anywhere.
const PIECE: u32 = 24;

/// A client that sends what it has to ask in pieces, and keeps what it gets.
pub struct Talker {
    stream: TcpStream,
    burst: Burst,
    sent: usize,
    received: Vec<u8>,
    /// The server has ended the connection.
    has_ended: bool,
}

impl Talker {
    /// Connects to `address`.
    #[must_use]
    pub fn connect(address: SocketAddr, burst: Burst) -> Self {
        Self { stream: connect(address), burst, sent: 0, received: Vec::new(), has_ended: false }
    }

    /// What it has to ask, and the answers.
    #[must_use]
    pub fn burst(&self) -> &Burst {
        &self.burst
    }

    /// How many bytes of its requests are sent.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// What it got.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// The port by which the system knows it.
    ///
    /// # Panics
    ///
    /// When it has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.stream.local_addr().expect("a connected socket").port()
    }

    /// Whether it has something to send, and somebody to send it to.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        !self.has_ended && self.sent < self.burst.requests.len()
    }

    /// Takes what is there, and sends another piece, unless the server has ended the connection.
    ///
    /// # Panics
    ///
    /// When the connection fails.
    pub fn send_piece(&mut self, rng: &mut Rng) {
        self.stream.set_nonblocking(true).expect("an option");
        match self.receive() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => self.fail(&error),
            _ => {}
        }
        if self.goes_on() {
            let rest = &self.burst.requests[self.sent..];
            let piece = rest.len().min(rng.between(1, PIECE) as usize);
            self.sent += self.stream.write(&rest[..piece]).expect("the server takes it");
        }
        self.stream.set_nonblocking(false).expect("an option");
    }

    /// Takes everything up to the server's end.
    ///
    /// # Panics
    ///
    /// When the connection fails instead, or does not end in time.
    pub fn take_rest(&mut self) {
        while !self.has_ended {
            self.receive().unwrap_or_else(|error| self.fail(&error));
        }
    }

    /// Reads once, unless the server has ended the connection.
    fn receive(&mut self) -> io::Result<()> {
        if self.has_ended {
            return Ok(());
        }
        let mut chunk = [0; 4096];
        let count = self.stream.read(&mut chunk)?;
        self.received.extend_from_slice(&chunk[..count]);
        self.has_ended = count == 0;
        Ok(())
    }

    fn fail(&self, error: &io::Error) -> ! {
        panic!("cannot read after {} bytes: {error}", self.received.len())
    }
}
