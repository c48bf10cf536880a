//! The end of a connection whose peer may still be sending.

use core::pin::Pin;
use core::time::Duration;

use crate::exec::context::{Cx, Task};
use crate::exec::host::Host;
use crate::kernel::error::IoError;
use crate::kernel::id::SourceId;
use crate::kernel::instant::Instant;
use crate::kernel::step::{Step, Wait, WakeReason};

/// Throws away what comes in until the peer closes, or until its time is over. The connection's own
/// direction is shut already.
#[derive(Debug)]
pub struct Linger {
    source: SourceId,
    until: Instant,
}

impl Linger {
    /// How long a peer has to take the last answer and close as well.
    pub const PATIENCE: Duration = Duration::from_secs(1);

    /// Creates the task that reads `source` out, for [`PATIENCE`](Self::PATIENCE) from `now` on.
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
            // A peer that sends without a pause is ready at every look: no wait would end by its deadline.
            Ok(_) | Err(IoError::WouldBlock) if cx.now() >= self.until => Step::Done,
            Ok(_) | Err(IoError::WouldBlock) => Step::Wait(Wait::recv(self.source).until(self.until)),
            Err(_) => Step::Done,
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        cx.close(self.source);
    }
}
