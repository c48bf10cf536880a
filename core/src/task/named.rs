//! Waits to be woken by name.

use core::future::poll_fn;
use core::mem::replace;
use core::task::{Poll, ready};

use crate::kernel::step::{ExpectedWaker, WakeReason};
use crate::task::error::WaitError;
use crate::task::handle::Handle;

impl Handle<'_> {
    /// Waits until a task [wakes](Handle::wake) this one by its id. A wake that arrived while the task was ready counts;
    /// a wake that ended another wait of the task does not. Any wake by name ends this wait. If the task has several
    /// waits at once, the wake may have been meant for another one, so check whether work is available.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    ///
    /// ```
    /// # use sinbin_core::TaskId;
    /// # use sinbin_core::task::{Handle, WaitError};
    /// /// Passes control to another task until a task passes it back (greenlet's `switch`).
    /// async fn switch(handle: Handle<'_>, other: TaskId) -> Result<(), WaitError> {
    ///     handle.wake(other);
    ///     handle.wait_named().await
    /// }
    /// ```
    pub async fn wait_named(self) -> Result<(), WaitError> {
        let mut waits = false;
        #[cfg(feature = "alloc")]
        let mut calls = 0;
        poll_fn(|context| {
            self.current()?;
            let has_waited = replace(&mut waits, true);
            if has_waited && self.run_context().wake_reason().0 == WakeReason::Named {
                return Poll::Ready(Ok(()));
            }
            // If the task was ready already, a part of it is polled only in the step before the one that the wake causes.
            #[cfg(feature = "alloc")]
            if replace(&mut calls, self.run_context().calls()) != calls
                && has_waited
                && self.run_context().is_of_part(context)
            {
                return Poll::Ready(Ok(()));
            }
            let refused = ready!(self.run_context().leave_named(ExpectedWaker::Anyone, context));
            Poll::Ready(Err(refused))
        })
        .await
    }
}
