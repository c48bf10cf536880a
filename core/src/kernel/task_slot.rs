//! The tasks, as the kernel knows them.

use crate::kernel::instant::Instant;
use crate::kernel::slab::{NONE, Slab};
use crate::kernel::step::{MAX_WAITS, OUTSIDE, WakeReason};
use crate::kernel::wait_slot::WaitSlot;

/// The tasks, as the parts of the kernel share them.
pub(crate) type Tasks<V> = Slab<TaskSlot, V>;

/// Where a task is (promise 1): on the run queue, or in the bin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// On the run queue. While a task runs, it is the first there.
    Ready,
    /// In the bin.
    Waiting,
}

/// The kernel's entry for a task, which lies in the [`Storage`](crate::Storage) of tasks.
#[derive(Clone, Copy)]
pub struct TaskSlot {
    pub(crate) wait_slots: [WaitSlot; MAX_WAITS],
    pub(crate) deadline: Instant,
    pub(crate) since: Instant,
    /// Which of all waits with a deadline this was.
    pub(crate) order: u32,
    /// Of a wait: who is to end it by name, as in [`Wait`](crate::Wait). After it: the [`WaitSlot`] that ended it.
    pub(crate) by: u32,
    /// Where its timer stands. A timer belongs to the slot: it outlives a wait, and the task.
    pub(crate) timer: u32,
    pub(crate) state: TaskState,
    pub(crate) wake_reason: WakeReason,
    /// Named while it was not waiting: its next wait ends at once.
    pub(crate) named: bool,
    /// How the task is cancelled: [`ASKED`], while it was not waiting; [`TOLD`], its next or present step says so;
    /// [`EVER`], at some time.
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

    /// Returns true if the task is cancelled and no step that is over has told it so.
    #[inline]
    pub(crate) fn is_to_be_told(&self) -> bool {
        self.cancelled & (ASKED | TOLD) != 0
    }

    /// Returns how far the task is in being told, as a number.
    pub(crate) fn stage_of_cancel(&self) -> u8 {
        self.cancelled & (ASKED | TOLD)
    }

    /// Whether nothing but another task can end this wait.
    #[inline]
    pub(crate) fn is_open_ended(&self) -> bool {
        self.wait_slots[0] == WaitSlot::NONE && self.deadline == Instant::NEVER && self.by != OUTSIDE
    }
}
