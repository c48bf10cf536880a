//! The end of a connection whose peer may still be sending.

use core::pin::Pin;
use core::time::Duration;

use crate::exec::context::{Cx, Task};
use crate::exec::host::Host;
use crate::kernel::error::IoError;
use crate::kernel::id::SourceId;
use crate::kernel::instant::Instant;
use crate::kernel::step::{Step, Wait, WakeReason};

/// Discards received bytes until the peer closes, or until a deadline. The sending direction of the connection is shut
/// down already.
#[derive(Debug)]
pub struct Linger {
    source: SourceId,
    until: Instant,
}

impl Linger {
    /// The time that a peer has to receive the last answer and to close its side.
    pub const PATIENCE: Duration = Duration::from_secs(1);

    /// Creates the task that reads from `source` for at most [`PATIENCE`](Self::PATIENCE) from `now` on.
    #[must_use]
    pub fn new(source: SourceId, now: Instant) -> Self {
        Self { source, until: now + Self::PATIENCE }
    }
}

impl<H: Host> Task<H> for Linger {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        if let WakeReason::TimedOut | WakeReason::Cancelled = cx.wake_reason() {
            return Step::Done;
        }
        match cx.host.recv(self.source, cx.buffers.input.as_mut()) {
            Ok(0) => Step::Done,
            // A peer that sends without a pause is ready at every poll, so that no wait would end by its deadline.
            Ok(_) | Err(IoError::WouldBlock) if cx.now() >= self.until => Step::Done,
            Ok(_) | Err(IoError::WouldBlock) => Step::Wait(Wait::recv(self.source).until(self.until)),
            Err(_) => Step::Done,
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        cx.close(self.source);
    }
}
