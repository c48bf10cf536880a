//! Clients that speak TLS.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::PollFlags;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::SockRef;

use super::play::{Network, Wants, Wire};
use super::run::{Listening, Polled, play_over, rest};
use super::script::Dialogue;
use super::stage::Outcome;

/// The number of bytes that are encrypted at a time.
const RECORD: usize = 16 * 1024;

/// Plays a dialogue as [`converse`](super::converse) does, with clients that speak TLS with the server `localhost`.
#[must_use]
pub fn converse_encrypted(dialogue: &Dialogue, address: SocketAddr, config: &Arc<ClientConfig>) -> Outcome {
    let begin = Instant::now();
    let mut network = Encrypted { network: Listening(address), config: Arc::clone(config) };
    play_over(dialogue, &mut network, || begin.elapsed(), rest)
}

struct Encrypted {
    network: Listening,
    config: Arc<ClientConfig>,
}

impl Network for Encrypted {
    type Wire = TlsWire;

    fn connect(&mut self) -> io::Result<TlsWire> {
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        Ok(TlsWire { stream: self.network.connect()?, session: RefCell::new(session), accepted: None })
    }
}

/// A client's end of a connection with TLS. The announced end of a stream (`close_notify`) is its end. A connection
/// that ends without it counts as reset.
struct TlsWire {
    stream: TcpStream,
    /// In a cell, because a handshake also goes on while a client waits for something else.
    session: RefCell<ClientConnection>,
    /// The number of bytes that are encrypted and not all sent yet.
    accepted: Option<usize>,
}

impl TlsWire {
    /// Sends what is encrypted.
    fn flush(&self) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        while session.wants_write() {
            session.write_tls(&mut &self.stream)?;
        }
        Ok(())
    }

    /// Receives encrypted bytes, at least one.
    fn fill(&self) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        if session.read_tls(&mut &self.stream)? == 0 && session.is_handshaking() {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let processed = session.process_new_packets();
        drop(session);
        // An alert may be among them.
        self.flush()?;
        processed.map(drop).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// Continues the handshake. Fails with [`ErrorKind::WouldBlock`] until it has ended.
    fn shake_hands(&self) -> io::Result<()> {
        self.flush()?;
        while self.session.borrow().is_handshaking() {
            self.fill()?;
        }
        Ok(())
    }
}

impl Wire for TlsWire {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shake_hands()?;
        // The bytes of a call that would block are encrypted all the same: the next call has the same bytes.
        if self.accepted.is_none() {
            let record = &bytes[..bytes.len().min(RECORD)];
            self.accepted = Some(self.session.get_mut().writer().write(record)?);
        }
        self.flush()?;
        Ok(self.accepted.take().unwrap_or_default())
    }

    fn receive(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.shake_hands()?;
        loop {
            match self.session.get_mut().reader().read(room) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.fill()?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err(ErrorKind::ConnectionReset.into());
                }
                received => return received,
            }
        }
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.shake_hands()?;
        self.session.get_mut().send_close_notify();
        self.flush()?;
        self.stream.shutdown(Shutdown::Write)
    }

    fn reset(self) {
        // If the option cannot be set, the socket is still closed.
        SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).ok();
    }
}

impl Polled for TlsWire {
    fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn flags(&self, wants: Wants) -> PollFlags {
        // An error is found again by the next operation.
        self.shake_hands().ok();
        let session = self.session.borrow();
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, wants.recv || session.is_handshaking());
        flags.set(PollFlags::OUT, session.wants_write());
        flags
    }
}
