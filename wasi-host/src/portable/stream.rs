//! The two directions of a connection: bytes between the guest and a nonblocking socket.
//!
//! A write never blocks, and accepts all bytes that were permitted. The bytes that the socket does not accept at once are
//! held back until it does, and nothing more is permitted until then. The host permits 4 KiB to each connection, and
//! more while the bytes of all connections together stay within their limit.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use sinbin::readiness::Watcher;
use wasmtime_wasi::p2::{StreamError, StreamResult};

use super::sources::{Ready, shut_output};

/// The maximum number of bytes of one read or write.
pub(super) const LARGE: usize = 64 * 1024;

/// The number of bytes that every connection is permitted to write.
pub(super) const SMALL: usize = 4096;

/// The output of a connection.
#[derive(Default)]
pub(super) struct Output {
    /// The number of bytes that the next write may have.
    permit: u32,
    /// The bytes that the socket has not accepted yet, if there are any.
    unsent: Option<Box<Unsent>>,
    /// True if nothing more can be written.
    has_ended: bool,
    /// True if the sending direction is to be shut down after the last byte.
    is_to_shut: bool,
    /// The error that ended the output, until it is reported.
    failed: Option<Errno>,
}

struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

impl Output {
    /// Returns true if a write or a check would have a result.
    #[inline]
    pub(super) const fn is_ready(&self, ready: Ready) -> bool {
        self.has_ended || (self.unsent.is_none() && ready.has(Ready::OUTPUT))
    }

    pub(super) const fn has_unsent(&self) -> bool {
        self.unsent.is_some()
    }

    /// Returns the number of bytes that are held back.
    pub(super) fn held_back(&self) -> usize {
        self.unsent.as_ref().map_or(0, |unsent| unsent.bytes.len())
    }

    /// Returns the number of permitted bytes that count against the limit.
    pub(super) fn permitted(&self) -> usize {
        (self.permit as usize).saturating_sub(SMALL)
    }

    /// Withdraws the permit. Returns the number of permitted bytes that count against the limit.
    pub(super) fn give_back_permit(&mut self) -> usize {
        let permitted = self.permitted();
        self.permit = 0;
        permitted
    }

    /// Permits the next write. `room` is the number of bytes that all connections together may still hold back. Returns
    /// the number of permitted bytes, and how many of them count against the limit.
    ///
    /// # Errors
    ///
    /// Fails if the output has ended.
    pub(super) fn check(&mut self, ready: Ready, room: usize) -> StreamResult<(usize, usize)> {
        if let Some(error) = self.failed.take() {
            return Err(failure(error));
        }
        if self.has_ended {
            return Err(StreamError::Closed);
        }
        if !self.is_ready(ready) {
            return Ok((0, 0));
        }
        let permit = if room >= LARGE - SMALL { LARGE } else { SMALL };
        self.permit = u32::try_from(permit).unwrap_or(0);
        Ok((permit, permit - SMALL))
    }

    /// Writes bytes, whose number must have been permitted. Returns the number of bytes that are held back.
    ///
    /// # Errors
    ///
    /// Fails if the output has ended. Traps if the guest writes more than was permitted.
    pub(super) fn write(
        &mut self,
        socket: BorrowedFd<'_>,
        bytes: &[u8],
        ready: &mut Ready,
    ) -> StreamResult<usize> {
        if self.has_ended {
            return Err(StreamError::Closed);
        }
        if bytes.len() > self.permit as usize {
            let text =
                format!("the guest wrote {} bytes, but was permitted to write {}", bytes.len(), self.permit);
            return Err(StreamError::trap(&text));
        }
        self.permit = 0;
        if bytes.is_empty() {
            return Ok(0);
        }
        match push(socket, bytes, ready) {
            Ok(count) if count == bytes.len() => Ok(0),
            Ok(count) => {
                let rest = bytes[count..].to_vec();
                let held_back = rest.len();
                self.unsent = Some(Box::new(Unsent { bytes: rest, sent: 0 }));
                Ok(held_back)
            }
            Err(error) => {
                self.has_ended = true;
                Err(failure(error))
            }
        }
    }

    /// Checks for an error, which a flush reports.
    pub(super) fn flush(&mut self) -> StreamResult<()> {
        match self.failed.take() {
            Some(error) => Err(failure(error)),
            None if self.has_ended => Err(StreamError::Closed),
            None => Ok(()),
        }
    }

    /// Sends bytes that are held back.
    pub(super) fn send_on(&mut self, socket: BorrowedFd<'_>, ready: &mut Ready) {
        let Some(unsent) = &mut self.unsent else { return };
        if !ready.has(Ready::OUTPUT.and(Ready::END)) {
            return;
        }
        match push(socket, &unsent.bytes[unsent.sent..], ready) {
            Ok(count) => {
                unsent.sent += count;
                if unsent.sent < unsent.bytes.len() {
                    return;
                }
            }
            Err(error) => {
                self.failed = Some(error);
                self.has_ended = true;
            }
        }
        self.unsent = None;
        if self.is_to_shut {
            shut_output(socket).ok();
        }
    }

    /// Ends the output after the bytes that were written.
    pub(super) fn end(&mut self, socket: BorrowedFd<'_>) {
        self.has_ended = true;
        if self.unsent.is_some() {
            self.is_to_shut = true;
        } else {
            shut_output(socket).ok();
        }
    }
}

/// Sends bytes until the socket accepts no more. Returns their number.
fn push(socket: BorrowedFd<'_>, bytes: &[u8], ready: &mut Ready) -> Result<usize, Errno> {
    let mut sent = 0;
    while sent < bytes.len() {
        match send(socket, &bytes[sent..], no_signal()) {
            Ok(count) => sent += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                *ready = ready.without(Ready::OUTPUT);
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Returns the flags that make a send fail if the peer is gone, instead of raising a signal.
pub(super) fn no_signal() -> SendFlags {
    #[cfg(not(target_vendor = "apple"))]
    return SendFlags::NOSIGNAL;
    // The standard library makes programs ignore SIGPIPE.
    #[cfg(target_vendor = "apple")]
    return SendFlags::empty();
}

/// Receives up to `most` bytes by `receive`. Returns no bytes if there are none, and sets `has_ended` if none will follow.
/// `short_means_drained` states that fewer bytes than requested mean that there are no more, unless the end came with them.
///
/// # Errors
///
/// Fails if the input has ended.
pub(super) fn receive(
    most: usize,
    ready: &mut Ready,
    has_ended: &mut bool,
    short_means_drained: bool,
    receive: impl Fn(&mut Vec<u8>) -> Result<usize, Errno>,
) -> StreamResult<Vec<u8>> {
    if *has_ended {
        return Err(StreamError::Closed);
    }
    if most == 0 || !ready.has(Ready::INPUT.and(Ready::END)) {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::with_capacity(most.min(LARGE));
    loop {
        match receive(&mut bytes) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                *ready = ready.without(Ready::INPUT.and(Ready::END));
                return Ok(bytes);
            }
            Err(error) => {
                *has_ended = true;
                return Err(failure(error));
            }
            Ok(0) => {
                *has_ended = true;
                return Err(StreamError::Closed);
            }
            Ok(_) => {
                if bytes.len() < bytes.capacity()
                    && short_means_drained
                    && Watcher::REPORTS_END
                    && !ready.has(Ready::END)
                {
                    *ready = ready.without(Ready::INPUT);
                }
                return Ok(bytes);
            }
        }
    }
}

/// Converts an error of the system. Its code is available to the guest as that of an error of the network.
fn failure(error: Errno) -> StreamError {
    match error {
        Errno::PIPE => StreamError::Closed,
        error => StreamError::LastOperationFailed(io::Error::from(error).into()),
    }
}
