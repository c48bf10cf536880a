//! The task that runs.

use std::sync::atomic::{Ordering, fence};

use sinbin_core::TaskId;
use sinbin_core::kernel::TaskState;
use sinbin_core::observe::{TASK_WORDS, view};

use crate::observe::header::{Part, Phase};
use crate::observe::observed::Observed;
use crate::observe::region::copy;

impl Observed {
    /// Returns the task that runs now, or `None` if the loop waits, computes, or is between two tasks. O(1), and without
    /// a wait for the loop.
    #[must_use]
    pub fn running(&self) -> Option<TaskId> {
        let header = self.header();
        let marks = header.steady.marks.load(Ordering::Acquire);
        let index = header.steady.head.load(Ordering::Relaxed);
        let row = self.row(Part::Tasks, index as usize).and_then(copy::<TASK_WORDS>)?;
        let is_running = header.turning.phase.load(Ordering::Relaxed) == Phase::Running as u32;
        fence(Ordering::Acquire);
        let is_steady = marks.is_multiple_of(2) && header.steady.marks.load(Ordering::Relaxed) == marks;
        let task = view(index, &row, self).ok().flatten().filter(|_| is_steady && is_running)?;
        (task.state == TaskState::Ready).then_some(task.id)
    }
}
