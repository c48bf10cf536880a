//! The common part of locks: the task that holds something, and the queue of those that wait for it.

use core::cell::Cell;

use crate::exec::label::WaitKind;
use crate::kernel::id::TaskId;
use crate::kernel::step::ExpectedWaker;
use crate::sync::queue::{Abandoned, Queue};
use crate::task::error::WaitError;
use crate::task::handle::Handle;

/// Something that one task holds at a time. It passes to the task that has waited longest.
pub(super) struct Ownership<'d> {
    pub(super) handle: Handle<'d>,
    holder: Cell<Option<TaskId>>,
    queue: Queue,
}

impl<'d> Ownership<'d> {
    /// Creates an ownership without a holder. Reports show the name, unless it is empty.
    pub(super) const fn named(handle: Handle<'d>, name: &'static str) -> Self {
        Self { handle, holder: Cell::new(None), queue: Queue::named(name) }
    }

    pub(super) const fn name(&self) -> &'static str {
        self.queue.name()
    }

    pub(super) fn holder(&self) -> Option<TaskId> {
        self.holder.get()
    }

    /// Makes `task` the holder, unless there is one. Returns true if it became the holder.
    pub(super) fn try_take(&self, task: TaskId) -> bool {
        let is_free = self.holder.get().is_none();
        if is_free {
            self.holder.set(Some(task));
        }
        is_free
    }

    /// Waits until the present task is the holder. `release` is called if the future is dropped or refused after the task
    /// became the holder.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub(super) async fn wait(&self, release: impl Fn()) -> Result<(), WaitError> {
        // The task ahead in the queue, rather than the holder, remains correct when the lock changes hands.
        let by = |ahead: Option<TaskId>| {
            ahead.or(self.holder.get()).map_or(ExpectedWaker::Anyone, ExpectedWaker::Task)
        };
        let left = |left| match left {
            Abandoned::Granted => release(),
            // The task behind waited for the one that left. It is woken, and determines anew which task it waits for.
            Abandoned::Waiting(Some(behind)) => {
                self.handle.wake(behind);
            }
            Abandoned::Waiting(None) => {}
        };
        self.queue.wait(self.handle, WaitKind::Lock, 1, by, left).await?;
        if let Ok(task) = self.handle.current() {
            // The future may have been moved to another task since it was granted its turn.
            self.holder.set(Some(task));
        }
        Ok(())
    }

    /// Makes the task that has waited longest the holder, or no task if none waits.
    pub(super) fn pass_on(&self) {
        let next = self.queue.grant();
        self.holder.set(next);
        if let Some(next) = next {
            self.handle.wake(next);
        }
    }
}
