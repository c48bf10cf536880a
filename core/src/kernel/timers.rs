//! Deadlines: a binary heap with one slot for each task.
//!
//! If a deadline moves later, its timer stays where it is in the heap, and is corrected when it fires. A connection
//! whose idle deadline moves with each request therefore costs no heap operation per request, and at most one
//! correction per timeout. For this reason the kernel's next deadline can be early, never late.

use crate::kernel::instant::Instant;
use crate::kernel::slab::{Entry, NONE};
use crate::kernel::storage::Slots;
use crate::kernel::task_slot::{TaskSlot, Tasks};

/// An entry of the heap: it fires at `at`, for the task at index `task`. Of two entries for the same moment, the one of
/// the earlier wait fires first.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Timer {
    pub(crate) at: Instant,
    pub(crate) order: u32,
    pub(crate) task: u32,
}

impl Timer {
    /// Returns true if this timer fires before `other`. `order` may wrap: the comparison is right for waits that are
    /// less than 2^31 waits apart.
    fn before(self, other: Self) -> bool {
        let earlier = other.order.wrapping_sub(self.order).wrapping_sub(1) < u32::MAX / 2;
        self.at < other.at || (self.at == other.at && earlier)
    }
}

/// The heap. Each task's slot holds the index of its timer.
pub(crate) struct Timers<V> {
    heap: V,
    len: u32,
}

impl<V: Slots<Timer>> Timers<V> {
    pub(crate) fn new(heap: V) -> Self {
        Self { heap, len: 0 }
    }

    /// Creates the heap of another kernel from its timers, for reports.
    #[cfg(feature = "alloc")]
    pub(crate) fn restored(heap: V, len: u32) -> Self {
        Self { heap, len }
    }

    /// Returns the timer that fires first. O(1).
    #[inline]
    pub(crate) fn first(&self) -> Option<Timer> {
        self.entries().first().copied()
    }

    /// Ensures that the task's timer fires no later than `timer`. O(log n); O(1) if that is so already.
    #[inline]
    pub(crate) fn at_latest(&mut self, timer: Timer, tasks: &mut Tasks<impl Slots<Entry<TaskSlot>>>) {
        let position = tasks.at(timer.task).value.timer;
        if position == NONE {
            self.add(timer, tasks);
        } else if timer.before(self.heap.items()[position as usize]) {
            self.heap.items_mut()[position as usize] = timer;
            self.sift_up(position, tasks);
        }
    }

    /// Postpones the first timer to `timer`, a later moment for the same task. O(log n).
    pub(crate) fn postpone_first(&mut self, timer: Timer, tasks: &mut Tasks<impl Slots<Entry<TaskSlot>>>) {
        debug_assert!(self.first().is_some_and(|first| first.before(timer)), "the new moment is later");
        self.heap.items_mut()[0] = timer;
        self.sift_down(0, tasks);
    }

    /// Removes the first timer. O(log n).
    pub(crate) fn remove_first(&mut self, tasks: &mut Tasks<impl Slots<Entry<TaskSlot>>>) {
        debug_assert!(self.len > 0, "the heap is not empty");
        tasks.at(self.heap.items()[0].task).value.timer = NONE;
        self.len -= 1;
        if self.len > 0 {
            self.heap.items_mut()[0] = self.heap.items()[self.len as usize];
            self.sift_down(0, tasks);
        }
    }

    pub(crate) fn entries(&self) -> &[Timer] {
        &self.heap.items()[..self.len as usize]
    }

    fn add(&mut self, timer: Timer, tasks: &mut Tasks<impl Slots<Entry<TaskSlot>>>) {
        let position = self.len;
        match self.heap.items_mut().get_mut(position as usize) {
            Some(place) => *place = timer,
            // Each task has at most one timer: a table with capacity for the tasks has capacity for their timers.
            None => assert!(self.heap.push(timer).is_ok(), "the heap has capacity for all timers"),
        }
        self.len += 1;
        self.sift_up(position, tasks);
    }

    fn sift_up(&mut self, mut position: u32, tasks: &mut Tasks<impl Slots<Entry<TaskSlot>>>) {
        let heap = self.heap.items_mut();
        let timer = heap[position as usize];
        while position > 0 {
            let parent = (position - 1) / 2;
            let above = heap[parent as usize];
            if !timer.before(above) {
                break;
            }
            heap[position as usize] = above;
            tasks.at(above.task).value.timer = position;
            position = parent;
        }
        heap[position as usize] = timer;
        tasks.at(timer.task).value.timer = position;
    }

    fn sift_down(&mut self, mut position: u32, tasks: &mut Tasks<impl Slots<Entry<TaskSlot>>>) {
        let heap = &mut self.heap.items_mut()[..self.len as usize];
        let timer = heap[position as usize];
        loop {
            let mut child = 2 * position + 1;
            if child >= self.len {
                break;
            }
            if child + 1 < self.len && heap[child as usize + 1].before(heap[child as usize]) {
                child += 1;
            }
            if !heap[child as usize].before(timer) {
                break;
            }
            heap[position as usize] = heap[child as usize];
            tasks.at(heap[child as usize].task).value.timer = position;
            position = child;
        }
        heap[position as usize] = timer;
        tasks.at(timer.task).value.timer = position;
    }
}
