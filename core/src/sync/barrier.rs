//! A point that tasks pass together.

use core::cell::Cell;
use core::fmt;

use crate::kernel::step::ExpectedWaker;
use crate::sync::queue::{Left, Queue};
use crate::task::error::WaitError;
use crate::task::handle::{Handle, begin};

/// A point that so many tasks pass together: each waits for the last. Then it is as new.
///
/// ```
/// # use sinbin_core::sync::Barrier;
/// # use sinbin_core::task::WaitError;
/// async fn compute(rounds: u32, round: &Barrier<'_>) -> Result<(), WaitError> {
///     for _ in 0..rounds {
///         // ...
///         let is_leader = round.wait().await?;
///         if is_leader { /* one of all says how far it is */ }
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
    /// A barrier for `tasks` of the loop `handle` at a time.
    #[must_use]
    pub const fn new(handle: Handle<'d>, tasks: u32) -> Self {
        Self { handle, tasks, waiting: Cell::new(0), queue: Queue::new() }
    }

    /// Waits until there are as many tasks here as it is for, and returns whether this one is the leader: the one
    /// that came last. A task that leaves before is not counted. O(1); O(n) for the last.
    ///
    /// # Errors
    ///
    /// Where the task must not wait: see [`WaitError`].
    pub async fn wait(&self) -> Result<bool, WaitError> {
        begin(self.handle).await?;
        if self.waiting.get() + 1 >= self.tasks {
            self.waiting.set(0);
            self.queue.grant_all(self.handle);
            return Ok(true);
        }
        self.waiting.set(self.waiting.get() + 1);
        let left = |left| match left {
            Left::Waiting(_) => self.waiting.set(self.waiting.get() - 1),
            // The others have passed with it.
            Left::Granted => {}
        };
        self.queue.wait(self.handle, 1, |_| ExpectedWaker::Anyone, left).await?;
        Ok(false)
    }

    /// How many wait.
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
