//! Waiting to be named.

use core::future::poll_fn;
use core::mem::replace;
use core::task::{Poll, ready};

use crate::kernel::step::{By, Woken};
use crate::task::error::Refused;
use crate::task::handle::Loop;

impl Loop<'_> {
    /// Waits until somebody [wakes](Loop::wake) this task by its name. A wake that came while the task was ready
    /// counts; one that ended its wait for something else does not. Whatever names the task ends this: where it has
    /// several waits at once, that may have been meant for another of them, so look whether there is something to
    /// do.
    ///
    /// # Errors
    ///
    /// Where the task must not wait: see [`Refused`].
    ///
    /// ```
    /// # use sinbin_core::TaskId;
    /// # use sinbin_core::task::{Loop, Refused};
    /// /// Hands control to another task until it, or somebody else, hands it back (greenlet's `switch`).
    /// async fn switch(on: Loop<'_>, other: TaskId) -> Result<(), Refused> {
    ///     on.wake(other);
    ///     on.wait_named().await
    /// }
    /// ```
    pub async fn wait_named(self) -> Result<(), Refused> {
        let mut waits = false;
        poll_fn(|context| {
            self.current()?;
            if replace(&mut waits, true) && self.door().woken().0 == Woken::Named {
                return Poll::Ready(Ok(()));
            }
            let refused = ready!(self.door().leave_named(By::Anyone, context));
            Poll::Ready(Err(refused))
        })
        .await
    }
}
