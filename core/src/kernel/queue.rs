//! The run queue: first in, first out (promise 3), threaded through the places of the tasks.
//!
//! It is a ring: the last task's link is the first one. So a task that yields is moved to the end by moving
//! the ends past it, without a write to any place.

use crate::kernel::slab::{Entry, NONE};
use crate::kernel::storage::Slots;
use crate::kernel::task_slot::{TaskSlot, Tasks};

/// A ring of tasks by their links. A task is on it at most once (promise 2); the kernel sees to that.
pub(crate) struct RunQueue {
    /// The oldest, if there is one.
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) len: u32,
}

impl RunQueue {
    pub(crate) const fn new() -> Self {
        Self { head: NONE, tail: NONE, len: 0 }
    }

    /// Adds a task that is not on it, as the youngest.
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

    /// Takes the oldest, `head`, off. There must be one.
    #[inline]
    pub(crate) fn pop(&mut self, tasks: &mut Tasks<impl Slots<Entry<TaskSlot>>>) {
        debug_assert!(self.len > 0, "nobody is taken off an empty queue");
        let next = tasks.at(self.head).link;
        tasks.at(self.tail).link = next;
        self.head = next;
        self.len -= 1;
    }

    /// Makes the oldest, `head`, the youngest; `next` is its link.
    #[inline]
    pub(crate) fn rotate(&mut self, head: u32, next: u32) {
        debug_assert!(self.len > 0 && head == self.head, "the oldest is moved");
        self.tail = head;
        self.head = next;
    }
}
