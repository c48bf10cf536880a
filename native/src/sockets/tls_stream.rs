//! A connection whose bytes are encrypted: its peer speaks TLS, and its task plaintext.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;
use std::{fmt, mem};

use sinbin_core::{Instant, Interest, IoError, Readiness};

use super::{Descriptor, descriptor, is_blocked};
use crate::socket_io;
use crate::tls::session::{RECORD, Readable, Session};
use crate::tls::{Peer, TlsError};

/// The number of encrypted bytes after which a receive that has found no plaintext leaves the loop to others. More than
/// four records, so that a record is always complete before.
const MAX_FRUITLESS: usize = 5 * RECORD;

/// The number of seconds after which a closed connection is dropped that still has bytes to send, and the number of times
/// that a driver of guests extends its time.
const MAX_LINGERED: u8 = 60;
const MAX_EXTENDED: u8 = 6;

/// The number of seconds without progress after which a closed connection is dropped that still has bytes to send.
const MAX_STILL: u8 = 10;

/// A connection with TLS, on the side of a server, or of a client of a guest.
pub(crate) struct TlsStream {
    pub(super) stream: TcpStream,
    session: Session,
    peer: Peer,
    /// The reason why nothing can be received or sent any more.
    broken: Option<IoError>,
    /// The error to report in the log.
    report: Option<TlsError>,
    /// True if the service has closed the connection. What arrives is discarded.
    is_lingering: bool,
    /// True if the peer has ended its sending direction. Known only of a connection that lingers.
    has_ended: bool,
    /// True if encrypted bytes were sent since this flag was last read.
    has_moved: bool,
    /// The number of times that a closed connection was found without progress, one after the other.
    still: u8,
    /// The number of times that the time of a closed connection was extended.
    extended: u8,
    /// The interest of the task.
    pub(super) wanted: Interest,
    /// The deadline of the handshake, and the time that it may take, until the handshake has ended. That of a client is
    /// the one of its request.
    pub(super) handshake: Option<(Instant, Duration)>,
    /// True if the connection is on the list of those that are looked at before the next wait.
    pub(super) is_due: bool,
    /// The bytes that the session stores, as they were last counted.
    pub(super) counted: usize,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("stream", &self.stream).field("peer", &self.peer).finish()
    }
}

/// A connection as the output of a session, which writes one buffer at a time.
struct Output<'a>(&'a TcpStream);

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        socket_io::send(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsStream {
    /// Creates a connection whose handshake begins.
    pub(super) fn new(
        stream: TcpStream,
        peer: Peer,
        session: Session,
        handshake: Option<(Instant, Duration)>,
    ) -> Self {
        Self {
            handshake,
            stream,
            session,
            peer,
            broken: None,
            report: None,
            is_lingering: false,
            has_ended: false,
            has_moved: false,
            still: 0,
            extended: 0,
            wanted: Interest::NONE,
            is_due: false,
            counted: 0,
        }
    }

    /// Returns the descriptor.
    pub(crate) fn descriptor(&self) -> Descriptor<'_> {
        descriptor(&self.stream)
    }

    /// Returns the outcome of the handshake of a client.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::WouldBlock`] while there is none.
    pub(super) fn handshaken(&self) -> Result<(), IoError> {
        match self.broken {
            // The log has the reason, which is none of the system.
            Some(_) if self.session.has_failed() => Err(IoError::Os(0)),
            Some(error) => Err(error),
            None if self.is_handshaking() => Err(IoError::WouldBlock),
            None => Ok(()),
        }
    }

    /// Returns true until the handshake has ended, whether it succeeds or fails.
    pub(super) fn is_handshaking(&self) -> bool {
        self.session.tls.is_handshaking() && self.broken.is_none() && !self.is_lingering
    }

    /// Returns true if encrypted bytes are stored that the system has not accepted yet.
    pub(super) fn has_unsent(&self) -> bool {
        self.broken.is_none() && self.session.tls.wants_write()
    }

    /// Returns the number of bytes that the session stores for the task and for the peer.
    pub(super) fn stored(&mut self) -> usize {
        let is_empty = !self.session.tls.wants_write() && self.session.readable() != Readable::Bytes;
        if is_empty { self.session.unfed() } else { self.session.stored() }
    }

    /// Returns what an operation of the task would not wait for.
    pub(super) fn readiness(&mut self) -> Readiness {
        if self.is_lingering {
            let is_over = self.broken.is_some() || self.has_ended && !self.has_unsent();
            return if is_over { Interest::RECV } else { Interest::NONE };
        }
        if self.broken.is_some() {
            return Interest::RECV | Interest::SEND | Interest::HANGUP;
        }
        if self.is_handshaking() {
            return Interest::NONE;
        }
        let mut readiness = Interest::NONE;
        if self.session.readable() != Readable::Nothing || self.session.unfed() > 0 {
            readiness = readiness | Interest::RECV;
        }
        if !self.session.tls.wants_write() {
            readiness = readiness | Interest::SEND;
        }
        readiness
    }

    /// Returns the interest in the connection below TLS: the session may have to send although the task waits for input,
    /// and the other way round.
    pub(super) fn interest(&self) -> Interest {
        if self.broken.is_some() {
            return Interest::NONE;
        }
        let mut interest = self.wanted & (Interest::RECV | Interest::HANGUP);
        if self.is_handshaking() {
            interest = Interest::RECV;
        } else if self.has_ended {
            interest = Interest::NONE;
        }
        if self.session.tls.wants_write() {
            interest = interest | Interest::SEND;
        }
        interest
    }

    /// Receives decrypted bytes into `buffer`, which holds the encrypted ones before.
    pub(super) fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        if self.is_lingering {
            return self.discard(buffer);
        }
        let mut fruitless = 0;
        loop {
            match self.session.readable() {
                Readable::Bytes => return Ok(self.session.read(buffer)),
                Readable::End if !self.is_handshaking() => return self.broken.map_or(Ok(0), Err),
                Readable::End | Readable::Truncated => self.truncated(),
                Readable::Nothing => {}
            }
            if let Some(error) = self.broken {
                return Err(error);
            }
            if fruitless > MAX_FRUITLESS {
                return Err(IoError::WouldBlock);
            }
            fruitless += self.fill(buffer)?;
        }
    }

    /// Receives encrypted bytes, and decrypts them. Returns their number, or an error if there are none.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        let fed = match self.session.feed_rest() {
            Ok(true) => Ok(1),
            Err(error) => Err(error),
            Ok(false) => match socket_io::recv(&self.stream, buffer) {
                Ok(count) => self.session.feed(&buffer[..count]).map(|()| count),
                Err(error) if is_blocked(&error) => return Err(IoError::WouldBlock),
                Err(error) => return Err(self.broke(&error)),
            },
        };
        // The session may answer, and an alert tells the peer why the session has failed.
        self.flush();
        if !self.session.tls.is_handshaking() {
            self.session.take_first();
        }
        match fed {
            Ok(count) => Ok(count),
            Err(error) => {
                let peer = self.named();
                let first = self.session.take_first();
                Err(self.give_up(TlsError::handshake(peer, first, error)))
            }
        }
    }

    /// Encrypts and sends bytes, in records of at most `piece` bytes. Returns the number of bytes that are accepted: of
    /// the last record, a part may still have to be sent.
    pub(super) fn send(&mut self, bytes: &[u8], piece: usize) -> Result<usize, IoError> {
        if self.session.is_closing && self.broken.is_none() {
            return Err(IoError::Closed);
        }
        if self.is_handshaking() {
            return Err(IoError::WouldBlock);
        }
        let mut accepted = 0;
        loop {
            self.flush();
            if let Some(error) = self.broken {
                return Err(error);
            }
            if self.has_unsent() || accepted == bytes.len() {
                break;
            }
            let rest = &bytes[accepted..];
            accepted += self.session.write(&rest[..rest.len().min(piece)]);
        }
        if accepted == 0 && !bytes.is_empty() { Err(IoError::WouldBlock) } else { Ok(accepted) }
    }

    /// Announces the end of the stream. The sending direction ends when all bytes are sent.
    pub(super) fn shutdown(&mut self) -> Result<(), IoError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        if !self.session.tls.is_handshaking() {
            self.session.close();
        }
        self.session.is_closing = true;
        self.flush();
        self.broken.map_or(Ok(()), Err)
    }

    /// Sends encrypted bytes, and ends the sending direction after the last of them.
    pub(super) fn flush(&mut self) {
        while self.has_unsent() {
            match self.session.tls.write_tls(&mut Output(&self.stream)) {
                Ok(0) => return,
                Ok(_) => self.has_moved = true,
                Err(error) if is_blocked(&error) => return,
                Err(error) => {
                    self.broke(&error);
                    return;
                }
            }
        }
        if self.session.is_closing && !mem::replace(&mut self.session.is_shut, true) {
            // A peer that is gone needs no end.
            self.stream.shutdown(Shutdown::Write).ok();
        }
    }

    /// Continues the handshake with the bytes that are available. Returns true if it has ended.
    pub(super) fn shake_hands(&mut self, buffer: &mut [u8]) -> bool {
        self.flush();
        while self.is_handshaking() {
            if self.fill(buffer).is_err() {
                break;
            }
            if self.is_handshaking() && !matches!(self.session.readable(), Readable::Nothing) {
                self.truncated();
            }
        }
        !self.is_handshaking()
    }

    /// Fails the connection because it hangs up while bytes are to be sent.
    pub(super) fn hang_up(&mut self) {
        self.flush();
        if self.has_unsent() {
            self.broken = Some(IoError::Reset);
        }
    }

    /// Fails the connection, and returns the error for its task.
    pub(super) fn give_up(&mut self, error: TlsError) -> IoError {
        self.report = Some(error);
        *self.broken.get_or_insert(IoError::Reset)
    }

    /// Fails the connection with an error of the system.
    pub(super) fn broke(&mut self, error: &io::Error) -> IoError {
        let error = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        *self.broken.get_or_insert(error.into())
    }

    /// Fails the connection because its handshake takes longer than `limit`.
    pub(super) fn be_late(&mut self, limit: Duration) {
        let peer = self.named();
        self.give_up(TlsError::Late { peer, limit });
        // The peer sees the end at once, whatever the task waits for.
        self.stream.shutdown(Shutdown::Both).ok();
    }

    /// Returns true if the task has closed the connection.
    pub(super) const fn is_lingering(&self) -> bool {
        self.is_lingering
    }

    /// Fails the connection because it has ended before the peer has announced the end.
    fn truncated(&mut self) {
        if self.is_handshaking() {
            let peer = self.named();
            self.give_up(TlsError::Closed { peer });
        } else if self.broken.is_none() {
            let peer = self.named();
            self.give_up(TlsError::Truncated { peer });
        }
    }

    /// Returns the peer, for messages.
    fn named(&self) -> Peer {
        self.peer.clone()
    }

    /// Removes and returns the error that is to be logged.
    pub(super) fn take_report(&mut self) -> Option<TlsError> {
        self.report.take()
    }

    /// Closes the connection for its task. Returns true if bytes are still to be sent, or if the peer may still send
    /// some. `is_cut` is true if the peer is to see that the connection was cut off.
    pub(super) fn close(&mut self, is_cut: bool) -> bool {
        if is_cut {
            return false;
        }
        if self.is_lingering {
            // The time to linger is over. The last bytes are for a slow peer.
            self.still = if mem::take(&mut self.has_moved) { 0 } else { self.still + 1 };
            self.extended += 1;
            return self.has_unsent() && self.still < MAX_STILL && self.extended < MAX_LINGERED;
        }
        let has_ended = self.session.readable() == Readable::End;
        self.linger();
        self.has_unsent() || self.broken.is_none() && !has_ended || self.session.has_failed()
    }

    /// Announces the end of the stream. From now on, what arrives is discarded.
    pub(super) fn linger(&mut self) {
        if self.session.has_failed() {
            // The peer reads the alert only if its own bytes do not make the system reset the connection.
            self.broken = None;
            self.session.is_closing = true;
            self.flush();
        } else {
            self.shutdown().ok();
        }
        self.is_lingering = true;
        self.has_moved = false;
    }

    /// Returns true if the time of a closed connection is to be extended: encrypted bytes were sent since the last call,
    /// and there were not too many calls.
    pub(super) fn has_moved(&mut self) -> bool {
        self.extended = self.extended.saturating_add(1);
        mem::take(&mut self.has_moved) && self.extended < MAX_EXTENDED
    }

    /// Discards bytes of a connection that lingers. Returns 0 if the peer has ended, and all bytes are sent.
    fn discard(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        self.flush();
        if let Some(error) = self.broken {
            return Err(error);
        }
        if !self.has_ended {
            match socket_io::recv(&self.stream, buffer) {
                Ok(0) => self.has_ended = true,
                Ok(count) => return Ok(count),
                Err(error) if is_blocked(&error) => return Err(IoError::WouldBlock),
                Err(error) => return Err(self.broke(&error)),
            }
        }
        if self.has_unsent() { Err(IoError::WouldBlock) } else { Ok(0) }
    }
}
