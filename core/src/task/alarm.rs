//! Waits for a deadline with a waker that is not the task's own: that of an executor within the task. The kernel wakes
//! the task at the deadline, and the step of the task then wakes the part that waits.

use core::task::Context;

use crate::kernel::instant::Instant;
use crate::task::handle::Handle;

/// A wait for a deadline in a run context. Dropping the wait withdraws it completely.
#[derive(Debug)]
pub(crate) struct Alarm<'d> {
    handle: Handle<'d>,
    /// The number under which the waker is kept, or 0 if none is kept.
    number: u32,
}

impl<'d> Alarm<'d> {
    pub(crate) const fn new(handle: Handle<'d>) -> Self {
        Self { handle, number: 0 }
    }

    pub(crate) const fn handle(&self) -> Handle<'d> {
        self.handle
    }

    /// Registers a wait until `moment` with the run context. A future that is polled outside a task of the loop is
    /// polled again and again, because nothing else would wake it.
    #[inline]
    pub(crate) fn wait(&mut self, moment: Instant, context: &Context<'_>) {
        let is_of_task = self.handle.run_context().leave_deadline(moment, context);
        if !is_of_task || self.number != 0 {
            self.wait_within(is_of_task, moment, context);
        }
    }

    #[cold]
    fn wait_within(&mut self, is_of_task: bool, moment: Instant, context: &Context<'_>) {
        if is_of_task {
            self.end();
        } else {
            self.handle.run_context().keep_alarm(&mut self.number, moment, context.waker());
        }
    }

    #[cold]
    fn end(&mut self) {
        drop(self.handle.run_context().drop_alarm(self.number));
        self.number = 0;
    }
}

impl Drop for Alarm<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.number != 0 {
            self.end();
        }
    }
}
