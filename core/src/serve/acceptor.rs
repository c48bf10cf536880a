//! The task that takes connections from a listener.

use core::pin::Pin;
use core::time::Duration;

use crate::exec::context::{Cx, MAX_SPAWNS, Task};
use crate::exec::host::Host;
use crate::kernel::error::{Failure, IoError, Op};
use crate::kernel::id::SourceId;
use crate::kernel::step::{Step, Wait, WaitTarget, WakeReason};

/// How long an acceptor without room waits before it looks again. A host that knows when room comes wakes
/// it earlier.
const RETRY: Duration = Duration::from_millis(100);

/// Takes connections and spawns the host's task for each. Without room it leaves them with the listener,
/// until it is woken or looks again: nobody is turned away.
#[derive(Debug)]
pub struct Acceptor {
    listener: SourceId,
}

impl Acceptor {
    /// Creates the acceptor of `listener`, which ends when that is closed.
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
                // A client that went away while it waited concerns nobody else.
                Ok(_) | Err(IoError::Reset) => {}
                Err(IoError::WouldBlock) => return Step::Wait(Wait::recv(self.listener)),
                Err(IoError::NoRoom | IoError::Os(_)) => {
                    // The end of the listener ends this wait as well.
                    return Step::Wait(
                        Wait::on(WaitTarget::Hangup(self.listener)).until(cx.after(Some(RETRY))),
                    );
                }
                // The listener was closed after this task had been woken.
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
