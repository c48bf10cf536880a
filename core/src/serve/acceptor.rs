//! The task that accepts connections from a listener.

use core::pin::Pin;
use core::time::Duration;

use crate::exec::context::{Cx, MAX_SPAWNS, Task};
use crate::exec::host::Host;
use crate::kernel::error::{Failure, IoError, Op};
use crate::kernel::id::SourceId;
use crate::kernel::step::{Step, Wait, WaitTarget, WakeReason};

/// The time after which an acceptor without capacity tries again. A host that knows when capacity is freed wakes the
/// acceptor earlier.
const RETRY: Duration = Duration::from_millis(100);

/// Accepts connections and spawns the host's task for each. Without capacity, the acceptor leaves connections in the
/// listener's backlog until it is woken or tries again, and rejects none.
#[derive(Debug)]
pub struct Acceptor {
    listener: SourceId,
}

impl Acceptor {
    /// Creates the acceptor of `listener`. It ends when the listener is closed.
    #[must_use]
    pub const fn new(listener: SourceId) -> Self {
        Self { listener }
    }
}

impl<H: Host> Task<H> for Acceptor {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        if let WakeReason::Closed | WakeReason::Cancelled = cx.wake_reason() {
            return Step::Done;
        }
        for _ in 0..MAX_SPAWNS {
            match cx.accept(self.listener) {
                // A client that left before it was accepted does not affect the others.
                Ok(_) | Err(IoError::Reset) => {}
                Err(IoError::WouldBlock) => return Step::Wait(Wait::recv(self.listener)),
                Err(IoError::NoRoom | IoError::Os(_)) => {
                    // Closing the listener ends this wait too.
                    return Step::Wait(
                        Wait::on(WaitTarget::Hangup(self.listener)).until(cx.after(Some(RETRY))),
                    );
                }
                // The listener was closed after this task was woken.
                Err(IoError::Stopping | IoError::Closed) => return Step::Done,
                Err(error) => {
                    return Step::Fail(Failure { op: Op::Accept, source: self.listener, error });
                }
            }
        }
        Step::Yield
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        cx.close(self.listener);
    }
}
