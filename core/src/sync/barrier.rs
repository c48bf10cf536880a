//! A point that tasks pass together.

use core::cell::Cell;
use core::fmt;

use crate::exec::label::WaitKind;
use crate::kernel::step::ExpectedWaker;
use crate::sync::queue::{Abandoned, Queue};
use crate::task::error::WaitError;
use crate::task::handle::{Handle, begin};

/// A point that a number of tasks pass together: each waits for the last one. The barrier can then be used again.
///
/// ```
/// # use sinbin_core::sync::Barrier;
/// # use sinbin_core::task::WaitError;
/// async fn compute(rounds: u32, round: &Barrier<'_>) -> Result<(), WaitError> {
///     for _ in 0..rounds {
///         // ...
///         let is_leader = round.wait().await?;
///         if is_leader { /* exactly one task reports the progress */ }
///     }
///     Ok(())
/// }
/// ```
pub struct Barrier<'d> {
    handle: Handle<'d>,
    tasks: u32,
    waiting: Cell<u32>,
    queue: Queue,
}

impl<'d> Barrier<'d> {
    /// Creates a barrier for `tasks` tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>, tasks: u32) -> Self {
        Self::named(handle, "", tasks)
    }

    /// Creates a barrier as [`new`](Self::new) does, with a name: the report of tasks that can never continue says by it
    /// what they wait for.
    #[must_use]
    pub const fn named(handle: Handle<'d>, name: &'static str, tasks: u32) -> Self {
        Self { handle, tasks, waiting: Cell::new(0), queue: Queue::named(name) }
    }

    /// Returns the name; empty if there is none.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.queue.name()
    }

    /// Waits until as many tasks wait here as the barrier is for. Returns true if this task is the leader, which is the
    /// last to arrive. A task that leaves before is not counted. O(1); O(n) for the last task.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub async fn wait(&self) -> Result<bool, WaitError> {
        begin(self.handle).await?;
        if self.waiting.get() + 1 >= self.tasks {
            self.waiting.set(0);
            self.queue.grant_all(self.handle);
            return Ok(true);
        }
        self.waiting.set(self.waiting.get() + 1);
        let left = |left| match left {
            Abandoned::Waiting(_) => self.waiting.set(self.waiting.get() - 1),
            // The other tasks have passed the barrier, and counted this task.
            Abandoned::Granted => {}
        };
        self.queue.wait(self.handle, WaitKind::Barrier, 1, |_| ExpectedWaker::Anyone, left).await?;
        Ok(false)
    }

    /// Returns the number of tasks that wait.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting.get()
    }
}

impl fmt::Debug for Barrier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut barrier = f.debug_struct("Barrier");
        barrier.field("tasks", &self.tasks).field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}
