//! The kernel's record of each task.

use crate::kernel::instant::Instant;
use crate::kernel::slab::{NONE, Slab};
use crate::kernel::step::{MAX_WAITS, OUTSIDE, WakeReason};
use crate::kernel::wait_slot::WaitSlot;

/// The table of tasks, which the parts of the kernel share.
pub(crate) type Tasks<V> = Slab<TaskSlot, V>;

/// The state of a task (promise 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TaskState {
    /// The task is in the run queue. A running task is the first there.
    Ready,
    /// The task waits.
    Waiting,
}

/// The kernel's entry for a task, in the table of tasks of the [`Storage`](crate::kernel::Storage).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct TaskSlot {
    pub(crate) wait_slots: [WaitSlot; MAX_WAITS],
    pub(crate) deadline: Instant,
    pub(crate) since: Instant,
    /// The sequence number of this wait among all waits with a deadline.
    pub(crate) order: u32,
    /// During a wait: the party that is expected to end it, as in [`Wait`](crate::Wait). After it: the [`WaitSlot`] that
    /// ended it.
    pub(crate) by: u32,
    /// The index of the slot's timer in the heap. The timer belongs to the slot and outlives the wait and the task.
    pub(crate) timer: u32,
    pub(crate) state: TaskState,
    pub(crate) wake_reason: WakeReason,
    /// Set if the task was woken while it was not waiting: its next wait ends at once.
    pub(crate) named: bool,
    /// The progress of a cancellation. [`ASKED`]: cancelled while not waiting, not delivered yet. [`TOLD`]: delivered
    /// by the next or current step. [`EVER`]: cancelled at some time.
    pub(crate) cancelled: u8,
}

pub(crate) const ASKED: u8 = 1;
pub(crate) const TOLD: u8 = 2;
pub(crate) const EVER: u8 = 4;

impl TaskSlot {
    pub(crate) fn new(now: Instant, timer: u32) -> Self {
        Self {
            wait_slots: [WaitSlot::NONE; MAX_WAITS],
            deadline: Instant::NEVER,
            since: now,
            order: 0,
            by: NONE,
            timer,
            state: TaskState::Ready,
            wake_reason: WakeReason::Spawned,
            named: false,
            cancelled: 0,
        }
    }

    /// Returns true if the task is cancelled and no finished step has delivered that.
    #[inline]
    pub(crate) fn is_to_be_told(&self) -> bool {
        self.cancelled & (ASKED | TOLD) != 0
    }

    /// Returns the progress of the cancellation's delivery, as a number.
    pub(crate) fn stage_of_cancel(&self) -> u8 {
        self.cancelled & (ASKED | TOLD)
    }

    /// Returns true if only another task can end this wait.
    #[inline]
    pub(crate) fn is_open_ended(&self) -> bool {
        self.wait_slots[0] == WaitSlot::NONE && self.deadline == Instant::NEVER && self.by != OUTSIDE
    }
}
