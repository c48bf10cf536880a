//! Counted permits, which semaphores and channels are built from.

use core::cell::Cell;

use crate::exec::label::WaitKind;
use crate::kernel::step::ExpectedWaker;
use crate::sync::queue::{Abandoned, Queue, Turn};
use crate::task::error::WaitError;
use crate::task::handle::Handle;

/// A number of permits, and the queue of tasks that wait for some. The number of free permits is always less than the
/// number that the first task in the queue waits for.
pub(crate) struct Permits {
    free: Cell<u32>,
    queue: Queue,
}

impl Permits {
    pub(crate) const fn named(free: u32, name: &'static str) -> Self {
        Self { free: Cell::new(free), queue: Queue::named(name) }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.queue.name()
    }

    /// Returns the number of permits that can be taken without waiting.
    pub(crate) fn free(&self) -> u32 {
        if self.queue.is_empty() { self.free.get() } else { 0 }
    }

    /// Takes `amount` permits, if they are free and no task waits. Returns true if it has taken them.
    pub(crate) fn try_take(&self, amount: u32) -> bool {
        let is_free = self.queue.is_empty() && amount <= self.free.get();
        if is_free {
            self.free.set(self.free.get() - amount);
        }
        is_free
    }

    /// Waits for `amount` permits, behind all tasks that wait already.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub(crate) async fn take(
        &self,
        handle: Handle<'_>,
        kind: WaitKind,
        amount: u32,
    ) -> Result<Turn, WaitError> {
        if self.try_take(amount) {
            return Ok(Turn::Granted);
        }
        let left = |left| match left {
            Abandoned::Granted => self.put(handle, amount),
            // The task that left may have been the first, and the next one may need fewer permits.
            Abandoned::Waiting(_) => self.hand_out(handle),
        };
        self.queue.wait(handle, kind, amount, |_| ExpectedWaker::Anyone, left).await
    }

    /// Adds `amount` permits, either returned or new ones.
    pub(crate) fn put(&self, handle: Handle<'_>, amount: u32) {
        self.free.set(self.free.get() + amount);
        self.hand_out(handle);
    }

    /// Ends all waits, because no more permits will be granted.
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
