//! Waits for a moment with a waker that is not the task's: by an executor within the task. The kernel wakes the task at
//! that moment, and the task's step then wakes the part of it that waits.

use core::task::Context;

use crate::kernel::instant::Instant;
use crate::task::handle::Handle;

/// A wait for a moment at a door. Dropping it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Alarm<'d> {
    handle: Handle<'d>,
    /// The number under which its waker is kept; 0 where none is.
    number: u32,
}

impl<'d> Alarm<'d> {
    pub(crate) const fn new(handle: Handle<'d>) -> Self {
        Self { handle, number: 0 }
    }

    pub(crate) const fn handle(&self) -> Handle<'d> {
        self.handle
    }

    /// Waits until `moment`, which is left at the door. A future that is polled outside a task of the loop is polled
    /// again and again, as nothing else would wake it.
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
