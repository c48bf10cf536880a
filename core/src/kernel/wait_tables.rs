//! The wait tables: which task waits for what. Each source has a slot in the tables
//! `Recv`, `Send` and `Hangup`, each job one in `Job`. A slot holds at most one task, so every operation is O(1).

use crate::kernel::error::Full;
use crate::kernel::id::{JobId, SourceId};
use crate::kernel::interest::Interest;
use crate::kernel::slab::{Entry, NONE, Slab};
use crate::kernel::step::{WaitKey, WaitTarget, WakeReason};
use crate::kernel::storage::Storage;
use crate::kernel::wait_slot::{Table, WaitSlot};

/// The kernel's record of a source: its waiting tasks, and the conditions that the host watches it for.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct SourceSlot {
    /// The tasks in the tables `Recv`, `Send` and `Hangup`.
    pub(crate) waiters: [u32; 3],
    /// The next entry of the list of sources whose interest changed.
    pub(crate) next: u32,
    pub(crate) changed: bool,
    pub(crate) watched: Interest,
}

/// The kernel's record of a job.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct JobSlot {
    /// The task in the table `Job`.
    pub(crate) waiter: u32,
    /// Set when the job is done, for a task that waits for it later.
    pub(crate) done: bool,
}

impl SourceSlot {
    pub(crate) const NEW: Self =
        Self { waiters: [NONE; 3], next: NONE, changed: false, watched: Interest::NONE };

    fn wanted(&self) -> Interest {
        let bit = |table: usize| u8::from(self.waiters[table] != NONE) << table;
        Interest::from_bits(bit(0) | bit(1) | bit(2))
    }

    /// Returns true if the host watches the source for the condition of `table`. A host that watches a source for
    /// anything also reports a hangup.
    fn is_watched(&self, table: Table) -> bool {
        match table {
            Table::Hangup => !self.watched.is_empty(),
            _ => self.watched.contains(Interest::from_bits(1 << table as u8)),
        }
    }
}

/// The wait tables.
pub(crate) struct WaitTables<S: Storage> {
    pub(crate) sources: Slab<SourceSlot, S::Sources<Entry<SourceSlot>>>,
    pub(crate) jobs: Slab<JobSlot, S::Jobs<Entry<JobSlot>>>,
    pub(crate) first_changed: u32,
}

impl<S: Storage> WaitTables<S> {
    pub(crate) fn new(storage: &S) -> Self {
        let (sources, jobs) = (Slab::new(storage.sources()), Slab::new(storage.jobs()));
        Self { sources, jobs, first_changed: NONE }
    }

    pub(crate) fn open(&mut self) -> Result<SourceId, Full> {
        // A slot on the list of changed sources stays there when a new source reuses it.
        let reuse = |old: &mut SourceSlot| {
            let (next, changed) = (old.next, old.changed);
            *old = SourceSlot { next, changed, ..SourceSlot::NEW };
        };
        let (index, generation) = self.sources.insert(SourceSlot::NEW, reuse)?;
        Ok(SourceId::new(index, generation))
    }

    pub(crate) fn begin(&mut self) -> Result<JobId, Full> {
        let slot = JobSlot { waiter: NONE, done: false };
        let (index, generation) = self.jobs.insert(slot, |old| *old = slot)?;
        Ok(JobId::new(index, generation))
    }

    /// Returns the slot of the tables in which a task waits for `target`, or `None` if the source or job is gone.
    #[inline]
    pub(crate) fn wait_slot(&self, target: WaitKey) -> Option<WaitSlot> {
        let WaitKey { wait_slot, generation } = target;
        match wait_slot.table() {
            Table::Job => self.jobs.get(wait_slot.index(), generation).map(|_| wait_slot),
            _ => self.sources.get(wait_slot.index(), generation).map(|_| wait_slot),
        }
    }

    /// Returns the task that waits in the slot, or [`NONE`].
    #[inline]
    pub(crate) fn waiter(&mut self, wait_slot: WaitSlot) -> &mut u32 {
        match wait_slot.table() {
            Table::Job => &mut self.jobs.at(wait_slot.index()).value.waiter,
            table => &mut self.sources.at(wait_slot.index()).value.waiters[table as usize],
        }
    }

    /// Adds `task` as the waiter for `target`.
    ///
    /// # Errors
    ///
    /// Fails with [`WakeReason::Ready`] if the job is done, [`WakeReason::Closed`] if the source or job is gone, and
    /// [`WakeReason::Busy`] if another task waits for it.
    #[inline]
    pub(crate) fn enter(&mut self, task: u32, target: WaitKey) -> Result<WaitSlot, WakeReason> {
        let WaitKey { wait_slot, generation } = target;
        match wait_slot.table() {
            Table::Job => {
                let slot = self.jobs.get_mut(wait_slot.index(), generation).ok_or(WakeReason::Closed)?;
                if slot.done {
                    return Err(WakeReason::Ready);
                }
                take(&mut slot.waiter, task)?;
            }
            table => {
                let slot = self.sources.get_mut(wait_slot.index(), generation).ok_or(WakeReason::Closed)?;
                take(&mut slot.waiters[table as usize], task)?;
                if !slot.is_watched(table) {
                    self.note_change(wait_slot.index());
                }
            }
        }
        Ok(wait_slot)
    }

    /// Notes that the host reported a condition that no task waits for. Unless a task waits for it when the host next
    /// asks for changes, the host is asked to stop watching for it.
    #[cold]
    pub(crate) fn mark_unwatched(&mut self, target: WaitTarget) {
        if let Some(wait_slot) = self.wait_slot(WaitKey::new(target))
            && self.sources.at(wait_slot.index()).value.is_watched(wait_slot.table())
        {
            self.note_change(wait_slot.index());
        }
    }

    /// Returns the next source whose interest differs from what the host watches it for.
    pub(crate) fn next_change(&mut self) -> Option<(SourceId, Interest)> {
        while self.first_changed != NONE {
            let index = self.first_changed;
            let entry = self.sources.at(index);
            let (live, generation, slot) = (entry.is_live(), entry.generation, &mut entry.value);
            self.first_changed = slot.next;
            slot.changed = false;
            let wanted = slot.wanted();
            if live && wanted != slot.watched {
                slot.watched = wanted;
                return Some((SourceId::new(index, generation), wanted));
            }
        }
        None
    }

    fn note_change(&mut self, index: u32) {
        let slot = &mut self.sources.at(index).value;
        if !slot.changed {
            slot.changed = true;
            slot.next = self.first_changed;
            self.first_changed = index;
        }
    }
}

fn take(waiter: &mut u32, task: u32) -> Result<(), WakeReason> {
    if *waiter != NONE {
        return Err(WakeReason::Busy);
    }
    *waiter = task;
    Ok(())
}
