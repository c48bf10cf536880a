//! Jobs without threads: one slice a turn, the jobs in rotation.

use crate::job::{Job, Progress};
use crate::kernel::id::JobId;
use crate::kernel::slab::NONE;
use crate::kernel::storage::{Slots, Storage};

/// A job's place.
pub struct Slot<J: Job> {
    id: JobId,
    state: State<J>,
    /// Threads the rotation.
    next: u32,
    queued: bool,
}

enum State<J: Job> {
    Gone,
    Running(J),
    Done(J::Output),
}

/// Runs jobs in slices between the turns of the tasks. However many jobs there are, a turn is longer by one
/// slice at most, and each job gets its share.
pub struct Slicer<J: Job, S: Storage> {
    slots: S::Jobs<Slot<J>>,
    head: u32,
    tail: u32,
}

impl<J: Job, S: Storage> Slicer<J, S> {
    /// A slicer with a place for each job of a kernel in the same storage.
    #[must_use]
    pub fn new(storage: &S) -> Self {
        Self { slots: storage.jobs(), head: NONE, tail: NONE }
    }

    /// Whether there is nothing to run.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.head == NONE
    }

    /// Takes a job in, last in the rotation. O(1), but for places that are used for the first time.
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
        // A place whose last job was cancelled may still stand in the rotation.
        if !slot.queued {
            self.enqueue(id.index);
        }
    }

    /// The result of a job that is done, once.
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
            // The place is free whatever the destructor does.
            drop(core::mem::replace(&mut slot.state, State::Gone));
        }
    }

    /// The job that [`run`](Self::run) runs next, if there is one.
    #[expect(clippy::should_implement_trait, reason = "it does not move on")]
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

    /// Runs the next job for about `budget` of its units. Returns it if it is done.
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
                    // The job is dropped behind its result, which is there whatever that does.
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

    /// Returns true if the job is done, and its result is here.
    #[must_use]
    pub fn is_done(&self, id: JobId) -> bool {
        let slot = self.slots.items().get(id.index());
        slot.is_some_and(|slot| slot.id == id && matches!(slot.state, State::Done(_)))
    }

    /// Returns one of the jobs or results that are kept here, if there are any. O(n).
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
