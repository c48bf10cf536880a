//! The state of a TLS connection, without I/O.

use std::io::{self, BufRead as _, Write as _};

use rustls::{Connection, InvalidMessage};

/// The number of bytes that are encrypted at a time: those of a record.
pub(crate) const RECORD: usize = 16 * 1024;

/// The next item that can be read from a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Readable {
    /// Decrypted bytes.
    Bytes,
    /// Nothing before more bytes are received.
    Nothing,
    /// The end of the stream, which the peer has announced.
    End,
    /// The end of the connection, which the peer has not announced.
    Truncated,
}

/// A session of `rustls`, and the received bytes that it does not accept yet.
pub(crate) struct Session {
    pub(crate) tls: Connection,
    /// Encrypted bytes that were received when the decrypted bytes were at their limit. Less than the shared buffer of the
    /// loop.
    unfed: Vec<u8>,
    /// The first bytes that the peer has sent.
    first: Vec<u8>,
    /// True if no more bytes are to be sent.
    pub(crate) is_closing: bool,
    /// True if the sending direction of the connection was ended.
    pub(crate) is_shut: bool,
    /// True if the session has failed. Nothing can be read from it, and nothing written.
    failed: bool,
}

/// The number of the peer's first bytes that are kept until the handshake has ended, for error messages.
const FIRST: usize = 16;

impl Session {
    pub(crate) fn new(tls: Connection) -> Self {
        Self { tls, unfed: Vec::new(), first: Vec::new(), is_closing: false, is_shut: false, failed: false }
    }

    /// Decrypts received bytes. No bytes mean the end of the connection.
    ///
    /// # Errors
    ///
    /// Returns the error of `rustls`. An alert for the peer is then among the bytes to send.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), rustls::Error> {
        if self.tls.is_handshaking() && self.first.len() < FIRST {
            let count = bytes.len().min(FIRST - self.first.len());
            self.first.extend_from_slice(&bytes[..count]);
        }
        if bytes.is_empty() {
            // This records the end of the connection.
            self.tls.read_tls(&mut io::empty()).ok();
        }
        while !bytes.is_empty() {
            match self.tls.read_tls(&mut bytes) {
                // The peer has announced its end. What follows is ignored.
                Ok(0) => break,
                Ok(_) => {
                    if let Err(error) = self.tls.process_new_packets() {
                        self.failed = true;
                        return Err(error);
                    }
                }
                // The decrypted bytes are at their limit.
                Err(_) if self.tls.reader().into_first_chunk().is_ok_and(|bytes| !bytes.is_empty()) => {
                    self.unfed = bytes.to_vec();
                    break;
                }
                // The limit of a handshake's messages.
                Err(_) => {
                    self.failed = true;
                    return Err(InvalidMessage::HandshakePayloadTooLarge.into());
                }
            }
        }
        Ok(())
    }

    /// Decrypts the bytes that were not accepted before. Returns true if there were any.
    ///
    /// # Errors
    ///
    /// Fails as [`feed`](Self::feed) does.
    pub(crate) fn feed_rest(&mut self) -> Result<bool, rustls::Error> {
        if self.unfed.is_empty() {
            return Ok(false);
        }
        let unfed = std::mem::take(&mut self.unfed);
        self.feed(&unfed).map(|()| true)
    }

    /// Returns the number of received bytes that are not decrypted because the decrypted ones are at their limit.
    pub(crate) const fn unfed(&self) -> usize {
        self.unfed.len()
    }

    /// Returns the number of bytes that are stored: received ones, decrypted or not, and encrypted ones to be sent.
    pub(crate) fn stored(&mut self) -> usize {
        let state = self.tls.process_new_packets();
        let of_tls = state.map_or(0, |state| state.plaintext_bytes_to_read() + state.tls_bytes_to_write());
        self.unfed.len() + of_tls
    }

    /// Returns true if [`feed`](Self::feed) has failed.
    pub(crate) const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Returns the first bytes that the peer has sent, and forgets them.
    pub(crate) fn take_first(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.first)
    }

    pub(crate) fn readable(&mut self) -> Readable {
        match self.tls.reader().into_first_chunk() {
            Ok([]) => Readable::End,
            Ok(_) => Readable::Bytes,
            // The end of the connection may have been received before bytes that are not decrypted yet.
            Err(_) if !self.unfed.is_empty() => Readable::Nothing,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Readable::Nothing,
            Err(_) => Readable::Truncated,
        }
    }

    /// Passes the first piece of the decrypted bytes to `take`, up to `limit` bytes, and consumes as many as `take`
    /// returns.
    pub(crate) fn take<R>(&mut self, limit: usize, take: impl FnOnce(&[u8]) -> (usize, R)) -> R {
        let mut reader = self.tls.reader();
        let bytes = reader.fill_buf().unwrap_or_default();
        let (count, taken) = take(&bytes[..bytes.len().min(limit)]);
        reader.consume(count);
        taken
    }

    /// Copies decrypted bytes into `buffer`, and returns their number.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> usize {
        io::Read::read(&mut self.tls.reader(), buffer).unwrap_or(0)
    }

    /// Encrypts bytes, up to a record, and returns their number.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let bytes = &bytes[..bytes.len().min(RECORD)];
        // The buffer of `rustls` is memory, which does not fail; a full one accepts nothing.
        self.tls.writer().write(bytes).unwrap_or(0)
    }

    /// Encrypts the message that announces the end of the stream.
    pub(crate) fn close(&mut self) {
        if !self.is_closing {
            self.is_closing = true;
            self.tls.send_close_notify();
        }
    }
}
