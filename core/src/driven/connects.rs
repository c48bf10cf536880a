//! The connections that tasks have requested from the driver.

use alloc::vec::Vec;
use core::fmt;

use crate::driven::{Command, ConnectError, ConnectId};
use crate::kernel::error::IoError;
use crate::kernel::id::SourceId;
use crate::kernel::id_map::IdMap;

/// The requests that have no connection, and the connections that were requested. Each is a source of the kernel, whose
/// id is the number of the request.
#[derive(Default)]
pub(super) struct Connects {
    /// The requests: `None` while the driver has not answered, and then the reason why there is no connection.
    pending: IdMap<SourceId, Option<IoError>>,
    established: IdMap<SourceId, ()>,
    /// The number of sources in both tables.
    count: usize,
}

impl Connects {
    /// Returns the number of requests and connections. None of them is the connection of a task that the driver's
    /// arrivals have started, so they use up places for sources beside the tasks.
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
        self.pending.insert(source, None);
        self.count += 1;
    }

    /// Returns true if the driver has not answered this request yet.
    pub(super) fn is_pending(&self, source: SourceId) -> bool {
        self.pending.get(source) == Some(&None)
    }

    /// Records that the connection exists.
    pub(super) fn establish(&mut self, source: SourceId) {
        if self.pending.remove(source).is_some() {
            self.established.insert(source, ());
        }
    }

    /// Records that there is no connection.
    pub(super) fn fail(&mut self, source: SourceId, reason: ConnectError) {
        if let Some(request) = self.pending.get_mut(source) {
            *request = Some(reason.into());
        }
    }

    /// Returns the outcome of a request.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::WouldBlock`] while there is none, and with the reason if there is no connection.
    pub(super) fn outcome(&self, source: SourceId) -> Result<(), IoError> {
        match self.pending.get(source) {
            Some(None) => Err(IoError::WouldBlock),
            Some(Some(reason)) => Err(*reason),
            None if self.established.contains(source) => Ok(()),
            None => Err(IoError::Closed),
        }
    }

    /// Forgets a source that a task has closed. Returns the request that the driver no longer has to answer, if there is
    /// one.
    pub(super) fn close(&mut self, source: SourceId) -> Option<ConnectId> {
        if self.count == 0 {
            return None;
        }
        let pending = self.pending.remove(source);
        if pending.is_some() || self.established.remove(source).is_some() {
            self.count -= 1;
        }
        (pending == Some(None)).then(|| ConnectId(source.to_bits()))
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
