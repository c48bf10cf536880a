//! The end of a connection whose peer may still be sending.

use core::pin::Pin;
use core::time::Duration;

use sinbin_core::{Cx, Host, Instant, IoError, SourceId, Step, Task, Wait, Woken};

/// How long a peer has to take the last answer and close as well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Throws away what comes in until the peer closes, or until its time is over. The connection's own direction is shut
/// already.
#[derive(Debug)]
pub struct Linger {
    pub(crate) source: SourceId,
    pub(crate) until: Instant,
}

impl<H: Host> Task<H> for Linger {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        if let Woken::TimedOut | Woken::Cancelled = cx.woken() {
            return Step::Done;
        }
        match cx.host.recv(self.source, cx.buffers.input.as_mut()) {
            Ok(0) => Step::Done,
            Ok(_) | Err(IoError::WouldBlock) => Step::Wait(Wait::recv(self.source).until(self.until)),
            Err(_) => Step::Done,
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        cx.close(self.source);
    }
}
