//! A number of things that tasks take and give back: what semaphores and channels are made of.

use core::cell::Cell;

use crate::kernel::step::ExpectedWaker;
use crate::sync::queue::{Left, Queue, Turn};
use crate::task::error::WaitError;
use crate::task::handle::Handle;

/// So many permits, and who waits for some. What is free is less than what the first in the queue waits for.
pub(crate) struct Permits {
    free: Cell<u32>,
    queue: Queue,
}

impl Permits {
    pub(crate) const fn new(free: u32) -> Self {
        Self { free: Cell::new(free), queue: Queue::new() }
    }

    /// How many can be had at once.
    pub(crate) fn free(&self) -> u32 {
        if self.queue.is_empty() { self.free.get() } else { 0 }
    }

    /// Takes so many, if they are free and nobody waits.
    pub(crate) fn try_take(&self, amount: u32) -> bool {
        let is_free = self.queue.is_empty() && amount <= self.free.get();
        if is_free {
            self.free.set(self.free.get() - amount);
        }
        is_free
    }

    /// Waits for so many, behind all who wait.
    ///
    /// # Errors
    ///
    /// Where the task must not wait.
    pub(crate) async fn take(&self, handle: Handle<'_>, amount: u32) -> Result<Turn, WaitError> {
        if self.try_take(amount) {
            return Ok(Turn::Granted);
        }
        let left = |left| match left {
            Left::Granted => self.put(handle, amount),
            // Perhaps it was only the first who waited for more than there is.
            Left::Waiting(_) => self.hand_out(handle),
        };
        self.queue.wait(handle, amount, |_| ExpectedWaker::Anyone, left).await
    }

    /// Gives so many back, or more of them.
    pub(crate) fn put(&self, handle: Handle<'_>, amount: u32) {
        self.free.set(self.free.get() + amount);
        self.hand_out(handle);
    }

    /// Tells all who wait that they do so in vain.
    pub(crate) fn end(&self, handle: Handle<'_>) {
        self.queue.end_all(handle);
    }

    fn hand_out(&self, handle: Handle<'_>) {
        while let Some(amount) = self.queue.first_amount()
            && let Some(rest) = self.free.get().checked_sub(amount)
        {
            self.free.set(rest);
            if let Some(task) = self.queue.grant() {
                handle.wake(task);
            }
        }
    }
}
