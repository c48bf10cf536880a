//! Waiting for the end of a task.

use core::fmt;
use core::future::poll_fn;
use core::ptr::NonNull;
use core::task::{Context, Poll, ready};

use crate::exec::label::Label;
use crate::kernel::id::TaskId;
use crate::kernel::step::ExpectedWaker;
use crate::task::error::{JoinError, JoinErrorKind};
use crate::task::handle::Handle;
use crate::task::slot::{Outcome, Side, Slot, Stage, TaskHeader};
use crate::task::task_ref::TaskRef;

/// A handle on a task, to wait for its end or to cancel it. Dropping the handle does not affect the task; if the task
/// then fails, its error is [reported](crate::task::Reports), provided that the type of the error is known.
pub struct JoinHandle<'d, T> {
    handle: Handle<'d>,
    slot: TaskRef<'d, dyn Outcome<T> + 'd>,
}

impl<'d, T> JoinHandle<'d, T> {
    pub(crate) fn of<F>(handle: Handle<'d>, slot: TaskRef<'d, Slot<F>>) -> Self
    where
        F: Future<Output = T> + 'd,
    {
        Self { handle, slot: slot.map(|slot| slot as NonNull<dyn Outcome<T> + 'd>) }
    }

    /// Returns the id of the task.
    #[must_use]
    pub fn task(&self) -> TaskId {
        self.slot.head().caller.task()
    }

    /// Returns the task's name, and where it was spawned.
    #[must_use]
    pub fn label(&self) -> Label {
        self.slot.label()
    }

    /// Returns true if the task has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.slot.head().is_over()
    }

    /// Returns the result, if the task has ended and the result was not taken before.
    pub fn take(&mut self) -> Option<T> {
        self.slot.take()
    }

    /// Cancels the task: see [the module](crate::task#cancellation). Its end can still be waited for. Cancelling it
    /// again has no effect. Returns true if the task had not ended.
    pub fn cancel(&self) -> bool {
        !self.is_over() && self.handle.cancel(self.task())
    }

    /// Waits for the end of the task and returns its result. (If the future is dropped before that, `join` can be
    /// called again.)
    ///
    /// # Errors
    ///
    /// Fails with the reason why there is no result. The result can be taken once.
    pub async fn join(&mut self) -> Result<T, JoinError> {
        let refusal = |why| Err(JoinError { task: self.task(), label: self.label(), why });
        let _unjoin = Unjoin(self.slot.head());
        let result = poll_fn(|context| self.poll_end(context)).await;
        result.or_else(refusal)
    }

    /// Returns the result, if the task has ended.
    pub(crate) fn end(&self) -> Option<Result<T, JoinErrorKind>> {
        if let Some(output) = self.slot.take() {
            return Some(Ok(output));
        }
        match self.slot.head().stage() {
            Stage::Running | Stage::Ending | Stage::Busy => None,
            Stage::Cancelled => Some(Err(JoinErrorKind::Cancelled)),
            Stage::Panicked => Some(Err(JoinErrorKind::Panicked)),
            Stage::Done | Stage::Taken | Stage::Free => Some(Err(JoinErrorKind::Taken)),
        }
    }

    /// Returns true if the task was notified of its cancellation before it ended.
    pub(crate) fn was_told(&self) -> bool {
        self.slot.head().was_told()
    }

    /// Ends the task immediately: its future is dropped in place, as in a step of its own. If the task's own step makes
    /// this call, the task is only cancelled.
    pub(crate) fn cut_off(&self) {
        let (head, run_context) = (self.slot.head(), self.handle.run_context());
        if !head.is_alive() {
            return;
        }
        if run_context.is_within_step_of(&head.caller) {
            self.cancel();
            return;
        }
        /// A guard that notifies the kernel of the end, even during a panic.
        struct Wakes<'a, 'd>(&'a crate::task::RunContext<'d>, TaskId);
        impl Drop for Wakes<'_, '_> {
            fn drop(&mut self) {
                self.0.wake_ended(self.1);
            }
        }
        let _wakes = Wakes(run_context, self.task());
        run_context.step_within(&head.caller, || self.slot.cut_off());
    }

    /// Returns the result, if the task has ended; otherwise the running task becomes the one that waits for it.
    pub(crate) fn poll_end(&self, context: &Context<'_>) -> Poll<Result<T, JoinErrorKind>> {
        match self.end() {
            Some(end) => Poll::Ready(end),
            None => self.poll_wait(context).map(Err),
        }
    }

    /// Waits for the end of the task, which has not ended. Returns pending, unless the running task can't wait.
    pub(crate) fn poll_wait(&self, context: &Context<'_>) -> Poll<JoinErrorKind> {
        let (head, run_context) = (self.slot.head(), self.handle.run_context());
        let current = match self.handle.current() {
            Ok(current) => current,
            Err(refused) => return Poll::Ready(JoinErrorKind::Wait(refused)),
        };
        if current == self.task() {
            return Poll::Ready(JoinErrorKind::Itself);
        }
        if head.joiner.get().is_some_and(|joiner| joiner != current) {
            return Poll::Ready(JoinErrorKind::Busy);
        }
        head.joiner.set(Some(current));
        let refused = ready!(run_context.leave_named(ExpectedWaker::Task(self.task()), context));
        Poll::Ready(JoinErrorKind::Wait(refused))
    }
}

/// A guard that removes the waiting task when its wait ends: it is no longer woken by the end, and another task can
/// wait.
struct Unjoin<'a>(&'a TaskHeader);

impl Drop for Unjoin<'_> {
    fn drop(&mut self) {
        self.0.joiner.set(None);
    }
}

impl<T> Drop for JoinHandle<'_, T> {
    fn drop(&mut self) {
        // SAFETY: nothing uses the reference after this.
        #[expect(unsafe_code, reason = "see TaskRef::leave")]
        unsafe {
            self.slot.leave(Side::Handle);
        }
    }
}

impl<T> fmt::Debug for JoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("task", &self.task()).field("label", &self.label()).finish()
    }
}
