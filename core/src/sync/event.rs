//! Events, which have happened or not.

use core::cell::Cell;
use core::fmt;

use crate::exec::label::WaitKind;
use crate::kernel::step::ExpectedWaker;
use crate::sync::queue::Queue;
use crate::task::error::WaitError;
use crate::task::handle::{Handle, begin};

/// A flag that tasks wait for.
///
/// ```
/// # use sinbin_core::sync::Event;
/// # use sinbin_core::task::WaitError;
/// async fn serve(configured: &Event<'_>) -> Result<(), WaitError> {
///     configured.wait().await?;
///     // ...
///     Ok(())
/// }
/// ```
pub struct Event<'d> {
    handle: Handle<'d>,
    set: Cell<bool>,
    queue: Queue,
}

impl<'d> Event<'d> {
    /// Creates a flag that is not set, for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>) -> Self {
        Self::named(handle, "")
    }

    /// Creates a flag as [`new`](Self::new) does, with a name: the report of tasks that can never continue says by it
    /// what they wait for.
    #[must_use]
    pub const fn named(handle: Handle<'d>, name: &'static str) -> Self {
        Self { handle, set: Cell::new(false), queue: Queue::named(name) }
    }

    /// Returns the name; empty if there is none.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.queue.name()
    }

    /// Sets the flag. All waiting tasks continue, even if the flag is cleared before they run. O(n) in their number.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside a task of its loop; the flag does not change.
    pub fn set(&self) -> Result<(), WaitError> {
        self.handle.current()?;
        self.set.set(true);
        self.queue.grant_all(self.handle);
        Ok(())
    }

    /// Clears the flag. A task that waits from now on waits until the flag is set again.
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Returns true if the flag is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until the flag is set.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub async fn wait(&self) -> Result<(), WaitError> {
        begin(self.handle).await?;
        if !self.is_set() {
            self.queue.wait(self.handle, WaitKind::Event, 1, |_| ExpectedWaker::Anyone, |_| {}).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("set", &self.set.get()).finish_non_exhaustive()
    }
}
