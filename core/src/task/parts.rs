//! The wakers of parts of tasks that wait to be woken by name: by a lock, a channel or the end of a task.
//!
//! A wake by name reaches a task, and does not say which of its futures is meant. A future that an executor within the
//! task polls is only polled again after its own waker was used. Therefore, a wake by name of a task uses the wakers of
//! all its parts that wait so. Those that were not meant register again.

use core::task::{Context, Waker};

use crate::kernel::id::TaskId;
use crate::task::run_context::RunContext;

impl RunContext<'_> {
    /// Keeps the waker of a part of the running task, which waits to be woken by name. Returns false while the run
    /// context is closed.
    #[cold]
    pub(crate) fn keep_part(&self, context: &Context<'_>) -> bool {
        let Some(caller) = self.caller() else { return false };
        caller.mark_proxied();
        // The functions of a waker are user code: none is called while the table is borrowed.
        let mut waker = Some(context.waker().clone());
        let used = self.part_wakers().borrow_mut().keep(caller.task(), &mut waker, self.step_number());
        self.has_parts().set(true);
        used.into_iter().for_each(Waker::wake);
        true
    }

    /// Uses the wakers of the parts of `task`, which is woken by name.
    #[inline]
    pub(crate) fn wake_parts(&self, task: TaskId) {
        if self.has_parts().get() {
            self.wake_parts_now(task);
        }
    }

    #[cold]
    fn wake_parts_now(&self, task: TaskId) {
        let wakers = self.part_wakers().borrow_mut().call(task);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Uses the wakers of the parts of `task`, which is not woken by name.
    pub(crate) fn tell_parts(&self, task: TaskId) {
        let wakers = self.part_wakers().borrow_mut().take(task);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Returns the number of times that the running task was woken by name since a part of it has waited so; it wraps.
    pub(crate) fn calls(&self) -> u32 {
        self.caller().map_or(0, |caller| self.part_wakers().borrow().calls(caller.task()))
    }

    /// Counts a step of a task that has had parts.
    pub(crate) fn count_step(&self, task: TaskId) {
        self.part_wakers().borrow_mut().count_step(task);
    }

    /// Forgets the parts of a task that has ended, and wakes them: another task may have taken them over.
    pub(crate) fn forget_parts(&self, task: TaskId) {
        let forgotten = self.part_wakers().borrow_mut().remove(task);
        self.has_parts().set(!self.part_wakers().borrow().is_empty());
        forgotten.into_iter().for_each(Waker::wake);
    }
}
