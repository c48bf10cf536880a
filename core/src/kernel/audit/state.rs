//! The whole state of a kernel as a sequence of numbers, for tests that visit every reachable state.

use crate::kernel::Kernel;
use crate::kernel::instant::Instant;
use crate::kernel::slab::{Entry, NONE, Slab};
use crate::kernel::storage::{Slots, Storage};
use crate::kernel::task_slot::{TaskSlot, TaskState};

impl<S: Storage> Kernel<S> {
    /// Emits as numbers all state that the kernel's future behavior depends on: two kernels that emit equal sequences
    /// behave alike.
    ///
    /// Moments are relative to now, waits with a deadline are given by their order, and a generation only as odd or
    /// even, because nothing else about these values is ever compared. The caller has to rename its ids in the same
    /// way. The sequence leaves out values that are written before they are read again, values that are only displayed
    /// (the time at which a task entered its state), whether a task was ever cancelled, and whether all tasks are being
    /// ended; the last two matter only to callers of `cancel_once`, `cancel_all` and `end_all`. The audit must hold.
    #[doc(hidden)]
    pub fn put_state(&self, put: &mut impl FnMut(u64)) {
        self.tasks_and_queue(put);
        self.wait_tables(put);
        put(self.timers.entries().len() as u64);
        for timer in self.timers.entries() {
            put(self.away(timer.at));
            put(self.rank(timer.order));
            put(timer.task.into());
        }
        put(self.away(self.looked));
        put(self.away(self.seen));
        put(self.last.into());
        put(self.open_ended.into());
        put(self.cancelling.into());
    }

    fn tasks_and_queue(&self, put: &mut impl FnMut(u64)) {
        put(self.slots().len() as u64);
        for entry in self.slots() {
            put(entry.is_live().into());
            put(entry.value.timer.into());
            if entry.is_live() {
                self.task(&entry.value, put);
            }
        }
        free(&self.tasks, put);
        put(self.ready.len.into());
        let mut index = self.ready.head;
        for _ in 0..self.ready.len {
            put(index.into());
            index = self.slots()[index as usize].link;
        }
        if self.ready.len > 0 {
            put(self.ready.tail.into());
            put(index.into());
        }
    }

    fn task(&self, slot: &TaskSlot, put: &mut impl FnMut(u64)) {
        let waits = slot.state == TaskState::Waiting;
        put(waits.into());
        put(slot.wake_reason as u64);
        put(slot.named.into());
        put(slot.stage_of_cancel().into());
        put(slot.by.into());
        slot.wait_slots.iter().for_each(|wait_slot| put(wait_slot.0.into()));
        // A ready task may later wait for a deadline past that of its timer, and then keeps that timer.
        if waits || slot.timer != NONE {
            put(self.away(slot.deadline));
        }
        if waits && slot.deadline != Instant::NEVER {
            put(self.rank(slot.order));
        }
    }

    fn wait_tables(&self, put: &mut impl FnMut(u64)) {
        put(self.wait_tables.sources.entries().len() as u64);
        for entry in self.wait_tables.sources.entries() {
            let slot = &entry.value;
            put(entry.is_live().into());
            put(slot.changed.into());
            if slot.changed {
                put(slot.next.into());
            }
            if entry.is_live() {
                slot.waiters.iter().for_each(|task| put((*task).into()));
                put(slot.watched.bits().into());
            }
        }
        put(self.wait_tables.first_changed.into());
        free(&self.wait_tables.sources, put);
        put(self.wait_tables.jobs.entries().len() as u64);
        for entry in self.wait_tables.jobs.entries() {
            put(entry.is_live().into());
            if entry.is_live() {
                put(entry.value.waiter.into());
                put(entry.value.done.into());
            }
        }
        free(&self.wait_tables.jobs, put);
    }

    /// Returns the distance from now to `at`; it wraps for a past moment. [`Instant::NEVER`] is half of the range, a
    /// distance that no other moment has.
    fn away(&self, at: Instant) -> u64 {
        if at == Instant::NEVER { 1 << 63 } else { at.as_nanos().wrapping_sub(self.now.as_nanos()) }
    }

    /// Returns how many of the waits that a timer or a deadline refers to are older than the wait `order`.
    fn rank(&self, order: u32) -> u64 {
        let waits = |entry: &&Entry<TaskSlot>| {
            entry.is_live()
                && entry.value.state == TaskState::Waiting
                && entry.value.deadline != Instant::NEVER
        };
        let of_tasks = self.slots().iter().filter(waits).map(|entry| entry.value.order);
        let known = self.timers.entries().iter().map(|timer| timer.order).chain(of_tasks);
        let age = |order: u32| self.deadlines.wrapping_sub(order);
        known.filter(|other| age(*other) > age(order)).count() as u64
    }
}

/// Emits the free slots of a table, in the order in which they will be reused.
fn free<T, V: Slots<Entry<T>>>(slab: &Slab<T, V>, put: &mut impl FnMut(u64)) {
    let mut index = slab.free;
    for _ in 0..slab.entries().len() as u64 - u64::from(slab.live()) {
        put(index.into());
        index = slab.entries()[index as usize].link;
    }
    put(index.into());
}
