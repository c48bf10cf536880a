//! The bin: who waits for what. Each source has a place in `recv_wait`, `send_wait` and `hangup_wait`, each
//! job one in `job_wait`. A place holds at most one task, so everything here is O(1).

use crate::kernel::error::Full;
use crate::kernel::id::{JobId, SourceId};
use crate::kernel::interest::Interest;
use crate::kernel::place::{Place, Table};
use crate::kernel::slab::{Entry, NONE, Slab};
use crate::kernel::step::{Packed, What, Woken};
use crate::kernel::storage::Storage;

/// What the kernel knows of a source: who waits for it, and for what the host watches it.
#[derive(Clone, Copy)]
pub struct SourceSlot {
    /// The tasks in `recv_wait`, `send_wait` and `hangup_wait`.
    pub(crate) waiters: [u32; 3],
    /// Threads the list of sources whose interest changed.
    pub(crate) next: u32,
    pub(crate) changed: bool,
    pub(crate) watched: Interest,
}

/// What the kernel knows of a job.
#[derive(Clone, Copy)]
pub struct JobSlot {
    /// The task in `job_wait`.
    pub(crate) waiter: u32,
    /// For those who come to wait for it.
    pub(crate) done: bool,
}

impl SourceSlot {
    const NEW: Self = Self { waiters: [NONE; 3], next: NONE, changed: false, watched: Interest::NONE };

    fn wanted(&self) -> Interest {
        let bit = |table: usize| u8::from(self.waiters[table] != NONE) << table;
        Interest::from_bits(bit(0) | bit(1) | bit(2))
    }

    /// A host that watches a source at all hears of its hangup.
    fn is_watched(&self, table: Table) -> bool {
        match table {
            Table::Hangup => !self.watched.is_empty(),
            _ => self.watched.contains(Interest::from_bits(1 << table as u8)),
        }
    }
}

/// The wait tables.
pub(crate) struct Bin<S: Storage> {
    pub(crate) sources: Slab<SourceSlot, S::Sources<Entry<SourceSlot>>>,
    pub(crate) jobs: Slab<JobSlot, S::Jobs<Entry<JobSlot>>>,
    pub(crate) first_changed: u32,
}

impl<S: Storage> Bin<S> {
    pub(crate) fn new(storage: &S) -> Self {
        let (sources, jobs) = (Slab::new(storage.sources()), Slab::new(storage.jobs()));
        Self { sources, jobs, first_changed: NONE }
    }

    pub(crate) fn open(&mut self) -> Result<SourceId, Full> {
        // A place that is on the list of changes stays on it, whoever moves in.
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

    /// The place where one waits for `what`, if that is there.
    #[inline]
    pub(crate) fn place(&self, what: Packed) -> Option<Place> {
        let Packed { place, generation } = what;
        match place.table() {
            Table::Job => self.jobs.get(place.index(), generation).map(|_| place),
            _ => self.sources.get(place.index(), generation).map(|_| place),
        }
    }

    /// Who waits at a place, or [`NONE`].
    #[inline]
    pub(crate) fn waiter(&mut self, place: Place) -> &mut u32 {
        match place.table() {
            Table::Job => &mut self.jobs.at(place.index()).value.waiter,
            table => &mut self.sources.at(place.index()).value.waiters[table as usize],
        }
    }

    /// Lets `task` wait for `what`, unless that is ready, or gone, or waited for.
    #[inline]
    pub(crate) fn enter(&mut self, task: u32, what: Packed) -> Result<Place, Woken> {
        let Packed { place, generation } = what;
        match place.table() {
            Table::Job => {
                let slot = self.jobs.get_mut(place.index(), generation).ok_or(Woken::Closed)?;
                if slot.done {
                    return Err(Woken::Ready);
                }
                take(&mut slot.waiter, task)?;
            }
            table => {
                let slot = self.sources.get_mut(place.index(), generation).ok_or(Woken::Closed)?;
                take(&mut slot.waiters[table as usize], task)?;
                if !slot.is_watched(table) {
                    self.note_change(place.index());
                }
            }
        }
        Ok(place)
    }

    /// What nobody waits for was ready: unless somebody does when the host next asks, it is told to stop
    /// watching for it.
    #[cold]
    pub(crate) fn unheard(&mut self, what: What) {
        if let Some(place) = self.place(Packed::new(what))
            && self.sources.at(place.index()).value.is_watched(place.table())
        {
            self.note_change(place.index());
        }
    }

    /// The next source that the host should watch for something else than it does.
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

fn take(waiter: &mut u32, task: u32) -> Result<(), Woken> {
    if *waiter != NONE {
        return Err(Woken::Busy);
    }
    *waiter = task;
    Ok(())
}
