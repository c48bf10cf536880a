//! Waiting to be named.

use core::future::poll_fn;
use core::mem::replace;
use core::task::{Poll, ready};

use crate::kernel::step::{ExpectedWaker, WakeReason};
use crate::task::error::WaitError;
use crate::task::handle::Handle;

impl Handle<'_> {
    /// Waits until somebody [wakes](Handle::wake) this task by its name. A wake that came while the task was ready
    /// counts; one that ended its wait for something else does not. Whatever names the task ends this: where it has
    /// several waits at once, that may have been meant for another of them, so look whether there is something to
    /// do.
    ///
    /// # Errors
    ///
    /// Where the task must not wait: see [`WaitError`].
    ///
    /// ```
    /// # use sinbin_core::TaskId;
    /// # use sinbin_core::task::{Handle, WaitError};
    /// /// Hands control to another task until it, or somebody else, hands it back (greenlet's `switch`).
    /// async fn switch(handle: Handle<'_>, other: TaskId) -> Result<(), WaitError> {
    ///     handle.wake(other);
    ///     handle.wait_named().await
    /// }
    /// ```
    pub async fn wait_named(self) -> Result<(), WaitError> {
        let mut waits = false;
        poll_fn(|context| {
            self.current()?;
            if replace(&mut waits, true) && self.run_context().wake_reason().0 == WakeReason::Named {
                return Poll::Ready(Ok(()));
            }
            let refused = ready!(self.run_context().leave_named(ExpectedWaker::Anyone, context));
            Poll::Ready(Err(refused))
        })
        .await
    }
}
