//! The connections and listeners that tasks have requested from the driver.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use crate::driven::{Command, ConnectError, ConnectId, LISTEN};
use crate::kernel::error::IoError;
use crate::kernel::id::SourceId;
use crate::kernel::id_map::IdMap;
use crate::kernel::interest::Interest;

/// The sources that tasks have requested, or accepted from listeners that they had requested. The id of a source is the
/// number of its request.
#[derive(Default)]
pub(super) struct Connects {
    requested: IdMap<SourceId, Requested>,
    /// The number of entries of the table.
    count: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Requested {
    is_listener: bool,
    state: State,
    /// The interest of the tasks while there is no source. The kernel does not report it again.
    interest: Interest,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The driver has not answered.
    Pending,
    /// There is no source, for this reason.
    Failed(IoError),
    Established,
}

impl Connects {
    /// Returns the number of requests, and of the sources that they led to. Each takes a place for a source in addition to
    /// those of the clients' tasks.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Requests a connection from the driver.
    pub(super) fn request(
        &mut self,
        source: SourceId,
        endpoint: fmt::Arguments<'_>,
        commands: &mut Vec<Command>,
        output: &mut Vec<u8>,
    ) {
        let before = output.len();
        // Writing to a vector does not fail.
        let _ = fmt::Write::write_fmt(&mut Text(output), endpoint);
        let len = u32::try_from(output.len() - before).unwrap_or(u32::MAX);
        commands.push(Command::Connect { request: ConnectId(source.to_bits()), len });
        self.add(source, State::Pending);
    }

    /// Requests a listener from the driver.
    pub(super) fn request_listener(
        &mut self,
        source: SourceId,
        address: SocketAddr,
        commands: &mut Vec<Command>,
        output: &mut Vec<u8>,
    ) {
        self.request(source, format_args!("{LISTEN}{address}"), commands, output);
        if let Some(requested) = self.requested.get_mut(source) {
            requested.is_listener = true;
        }
    }

    /// Counts a connection that a task accepts from a listener of its own.
    pub(super) fn accepted(&mut self, source: SourceId) {
        self.add(source, State::Established);
    }

    fn add(&mut self, source: SourceId, state: State) {
        self.requested.insert(source, Requested { is_listener: false, state, interest: Interest::NONE });
        self.count += 1;
    }

    /// Returns true if this source is a listener that was requested.
    pub(super) fn is_listener(&self, source: SourceId) -> bool {
        self.requested.get(source).is_some_and(|requested| requested.is_listener)
    }

    /// Returns the listeners that were requested.
    pub(super) fn listeners(&self) -> impl Iterator<Item = SourceId> {
        self.requested.iter().filter(|(_, requested)| requested.is_listener).map(|(source, _)| source)
    }

    /// Returns the reason why no connection can be accepted from a listener for which none has arrived.
    pub(super) fn none_arrived(&self, listener: SourceId) -> IoError {
        match self.outcome(listener) {
            Ok(()) => IoError::WouldBlock,
            // After these errors of an accept, a task would try again.
            Err(IoError::NoRoom | IoError::Os(_)) => IoError::Closed,
            Err(error) => error,
        }
    }

    /// Returns the interest that a task waits with until the driver has answered a request.
    pub(super) fn awaited(&self, source: SourceId) -> Interest {
        if self.is_listener(source) { Interest::RECV } else { Interest::SEND }
    }

    /// Records that the interest of the tasks has changed.
    pub(super) fn change(&mut self, source: SourceId, interest: Interest) {
        if let Some(requested) = self.requested.get_mut(source) {
            requested.interest = interest;
        }
    }

    /// Returns true if the driver has not answered this request yet.
    pub(super) fn is_pending(&self, source: SourceId) -> bool {
        self.outcome(source) == Err(IoError::WouldBlock)
    }

    /// Records that the connection or the listener exists. Returns the interest of the tasks until now.
    pub(super) fn establish(&mut self, source: SourceId) -> Interest {
        let Some(requested) = self.requested.get_mut(source) else { return Interest::NONE };
        requested.state = State::Established;
        requested.interest
    }

    /// Records that there is no connection, or no listener.
    pub(super) fn fail(&mut self, source: SourceId, reason: ConnectError) {
        if let Some(requested) = self.requested.get_mut(source) {
            let error = match reason {
                ConnectError::Refused if requested.is_listener => IoError::AddressInUse,
                reason => reason.into(),
            };
            requested.state = State::Failed(error);
        }
    }

    /// Returns the outcome of a request.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::WouldBlock`] while there is none, and with the reason if there is no source.
    pub(super) fn outcome(&self, source: SourceId) -> Result<(), IoError> {
        match self.requested.get(source).map(|requested| requested.state) {
            Some(State::Pending) => Err(IoError::WouldBlock),
            Some(State::Failed(reason)) => Err(reason),
            Some(State::Established) => Ok(()),
            None => Err(IoError::Closed),
        }
    }

    /// Forgets a source that a task has closed. Returns the request that the driver no longer has to answer, if there is
    /// one.
    pub(super) fn close(&mut self, source: SourceId) -> Option<ConnectId> {
        if self.count == 0 {
            return None;
        }
        let closed = self.requested.remove(source)?;
        self.count -= 1;
        (closed.state == State::Pending).then(|| ConnectId(source.to_bits()))
    }
}

/// Text that is appended to bytes.
struct Text<'b>(&'b mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_was_closed_or_never_requested_has_no_connection() {
        let source = SourceId::from_bits(1 << 32);
        let mut connects = Connects::default();
        assert_eq!(connects.outcome(source), Err(IoError::Closed));
        connects.request(source, format_args!("[::1]:80"), &mut Vec::new(), &mut Vec::new());
        assert_eq!(connects.outcome(source), Err(IoError::WouldBlock));
        connects.establish(source);
        assert_eq!(connects.outcome(source), Ok(()));
        assert_eq!((connects.close(source), connects.count()), (None, 0), "nothing is left to answer");
        assert_eq!(connects.outcome(source), Err(IoError::Closed));
    }
}
