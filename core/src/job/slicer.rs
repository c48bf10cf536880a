//! Jobs without threads: one slice per turn, the jobs in rotation.

use crate::job::{Job, Progress};
use crate::kernel::id::JobId;
use crate::kernel::slab::NONE;
use crate::kernel::storage::{Slots, Storage};

/// The slot of a job.
pub struct Slot<J: Job> {
    id: JobId,
    state: State<J>,
    /// The next entry of the rotation.
    next: u32,
    queued: bool,
}

enum State<J: Job> {
    Gone,
    Running(J),
    Done(J::Output),
}

/// Runs jobs in slices between the turns of the tasks. Any number of jobs prolongs a turn by at most one slice, and all
/// jobs get equal shares.
pub struct Slicer<J: Job, S: Storage> {
    slots: S::Jobs<Slot<J>>,
    head: u32,
    tail: u32,
}

impl<J: Job, S: Storage> Slicer<J, S> {
    /// Creates a slicer with capacity for each job of a kernel in the same storage.
    #[must_use]
    pub fn new(storage: &S) -> Self {
        Self { slots: storage.jobs(), head: NONE, tail: NONE }
    }

    /// Returns true if no job is to run.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.head == NONE
    }

    /// Adds a job, last in the rotation. O(1), except for slots that are used for the first time.
    pub fn submit(&mut self, id: JobId, job: J) {
        while self.slots.items().len() <= id.index() {
            let gone = Slot { id, state: State::Gone, next: NONE, queued: false };
            if self.slots.push(gone).is_err() {
                debug_assert!(false, "as many places as the kernel has jobs");
                return;
            }
        }
        let slot = &mut self.slots.items_mut()[id.index()];
        slot.id = id;
        slot.state = State::Running(job);
        // A slot whose last job was cancelled may still be in the rotation.
        if !slot.queued {
            self.enqueue(id.index);
        }
    }

    /// Removes and returns the result of a job, if the job is done.
    pub fn take(&mut self, id: JobId) -> Option<J::Output> {
        let slot = self.slot(id)?;
        match core::mem::replace(&mut slot.state, State::Gone) {
            State::Done(output) => Some(output),
            other => {
                slot.state = other;
                None
            }
        }
    }

    /// Drops a job, or its result.
    pub fn cancel(&mut self, id: JobId) {
        if let Some(slot) = self.slot(id) {
            // The slot is free even if the destructor panics.
            drop(core::mem::replace(&mut slot.state, State::Gone));
        }
    }

    /// Returns the job that [`run`](Self::run) runs next, if any.
    #[expect(clippy::should_implement_trait, reason = "the call does not advance the rotation")]
    pub fn next(&mut self) -> Option<JobId> {
        while self.head != NONE {
            let slot = &self.slots.items()[self.head as usize];
            if matches!(slot.state, State::Running(_)) {
                return Some(slot.id);
            }
            self.dequeue();
        }
        None
    }

    /// Runs the next job for about `budget` of its units. Returns the job's id if it is done.
    pub fn run(&mut self, budget: u32) -> Option<JobId> {
        while self.head != NONE {
            let index = self.dequeue();
            let slot = &mut self.slots.items_mut()[index as usize];
            let State::Running(job) = &mut slot.state else {
                continue;
            };
            return match job.run(budget) {
                Progress::Done(output) => {
                    let id = slot.id;
                    // The job is dropped after its result is stored, so that the result survives a panic of the
                    // destructor.
                    drop(core::mem::replace(&mut slot.state, State::Done(output)));
                    Some(id)
                }
                Progress::More => {
                    self.enqueue(index);
                    None
                }
            };
        }
        None
    }

    /// Returns true if the job is done and its result is stored here.
    #[must_use]
    pub fn is_done(&self, id: JobId) -> bool {
        let slot = self.slots.items().get(id.index());
        slot.is_some_and(|slot| slot.id == id && matches!(slot.state, State::Done(_)))
    }

    /// Returns the id of one of the jobs or results that are stored here, if any. O(n).
    #[cfg(feature = "alloc")]
    pub(crate) fn first(&self) -> Option<JobId> {
        let there = |slot: &&Slot<J>| !matches!(slot.state, State::Gone);
        self.slots.items().iter().find(there).map(|slot| slot.id)
    }

    fn slot(&mut self, id: JobId) -> Option<&mut Slot<J>> {
        let slot = self.slots.items_mut().get_mut(id.index())?;
        (slot.id == id).then_some(slot)
    }

    fn enqueue(&mut self, index: u32) {
        let slots = self.slots.items_mut();
        slots[index as usize].next = NONE;
        slots[index as usize].queued = true;
        if self.head == NONE {
            self.head = index;
        } else {
            slots[self.tail as usize].next = index;
        }
        self.tail = index;
    }

    fn dequeue(&mut self) -> u32 {
        let index = self.head;
        let slot = &mut self.slots.items_mut()[index as usize];
        slot.queued = false;
        self.head = slot.next;
        index
    }
}
