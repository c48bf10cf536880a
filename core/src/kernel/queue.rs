//! The run queue: first in, first out (promise 3), linked through the task slots.
//!
//! The queue is a ring: the last task links to the first. A task that yields therefore moves to the end when `head` and
//! `tail` advance, without a write to any slot.

use crate::kernel::slab::{Entry, NONE};
use crate::kernel::storage::Slots;
use crate::kernel::task_slot::{TaskSlot, Tasks};

/// A ring of linked tasks. The kernel ensures that a task is in it at most once (promise 2).
pub(crate) struct RunQueue {
    /// The oldest task, if the queue is not empty.
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) len: u32,
}

impl RunQueue {
    pub(crate) const fn new() -> Self {
        Self { head: NONE, tail: NONE, len: 0 }
    }

    /// Adds a task as the youngest. The task must not be in the queue.
    #[inline]
    pub(crate) fn push(&mut self, tasks: &mut Tasks<impl Slots<Entry<TaskSlot>>>, index: u32) {
        if self.len == 0 {
            self.head = index;
        } else {
            tasks.at(self.tail).link = index;
        }
        tasks.at(index).link = self.head;
        self.tail = index;
        self.len += 1;
    }

    /// Removes the oldest task, `head`. The queue must not be empty.
    #[inline]
    pub(crate) fn pop(&mut self, tasks: &mut Tasks<impl Slots<Entry<TaskSlot>>>) {
        debug_assert!(self.len > 0, "the queue is not empty");
        let next = tasks.at(self.head).link;
        tasks.at(self.tail).link = next;
        self.head = next;
        self.len -= 1;
    }

    /// Makes the oldest task, `head`, the youngest. `next` is its link.
    #[inline]
    pub(crate) fn rotate(&mut self, head: u32, next: u32) {
        debug_assert!(self.len > 0 && head == self.head, "`head` is the oldest task");
        self.tail = head;
        self.head = next;
    }
}
