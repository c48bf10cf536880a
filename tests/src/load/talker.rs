use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use sinbin_simulator::Rng;

use super::burst::Burst;
use crate::client::connect;

/// The most bytes that are sent at a time, so that lines are cut anywhere.
const PIECE: u32 = 24;

/// A client that sends its requests in pieces, and records what it receives.
pub struct Talker {
    stream: TcpStream,
    burst: Burst,
    sent: usize,
    received: Vec<u8>,
    /// True when the server has ended the connection.
    has_ended: bool,
}

impl Talker {
    /// Connects to `address`.
    #[must_use]
    pub fn connect(address: SocketAddr, burst: Burst) -> Self {
        Self { stream: connect(address), burst, sent: 0, received: Vec::new(), has_ended: false }
    }

    /// Returns the requests and the expected answers.
    #[must_use]
    pub fn burst(&self) -> &Burst {
        &self.burst
    }

    /// Returns the number of bytes of the requests that are sent.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Returns the bytes that were received.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// Returns the client's local port.
    ///
    /// # Panics
    ///
    /// Panics if the socket has no address.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.stream.local_addr().expect("a connected socket").port()
    }

    /// Returns true if there is something left to send and the server has not ended the connection.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        !self.has_ended && self.sent < self.burst.requests.len()
    }

    /// Receives what is available, and sends another piece, unless the server has ended the connection.
    ///
    /// # Panics
    ///
    /// Panics if the connection fails.
    pub fn send_piece(&mut self, rng: &mut Rng) {
        self.stream.set_nonblocking(true).expect("an option");
        match self.receive() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => self.fail(&error),
            _ => {}
        }
        if self.goes_on() {
            let rest = &self.burst.requests[self.sent..];
            let piece = rest.len().min(rng.between(1, PIECE) as usize);
            self.sent += self.stream.write(&rest[..piece]).expect("the server accepts it");
        }
        self.stream.set_nonblocking(false).expect("an option");
    }

    /// Receives everything up to the end of the stream.
    ///
    /// # Panics
    ///
    /// Panics if the connection fails or does not end in time.
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
