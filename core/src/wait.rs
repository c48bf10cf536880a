//! The bin: who waits for what. `recv_wait`, `send_wait` and `hangup_wait` have a place for each source,
//! `job_wait` one for each job; each place holds at most one task, so every operation is O(1).

use crate::error::Full;
use crate::id::{JobId, SourceId};
use crate::interest::Interest;
use crate::slab::{Entry, NONE, Slab};
use crate::step::What;
use crate::storage::Storage;

/// What the kernel knows of a source: who waits for it, and for what the host watches it.
#[derive(Clone, Copy)]
pub struct SourceSlot {
    recv_wait: u32,
    send_wait: u32,
    hangup_wait: u32,
    /// Threads the list of sources whose interest changed.
    next_changed: u32,
    changed: bool,
    watched: Interest,
}

impl SourceSlot {
    const NEW: Self = Self {
        recv_wait: NONE,
        send_wait: NONE,
        hangup_wait: NONE,
        next_changed: NONE,
        changed: false,
        watched: Interest::NONE,
    };

    /// What somebody waits for.
    fn wanted(&self) -> Interest {
        let mut wanted = Interest::NONE;
        if self.recv_wait != NONE {
            wanted = wanted | Interest::RECV;
        }
        if self.send_wait != NONE {
            wanted = wanted | Interest::SEND;
        }
        if self.hangup_wait != NONE {
            wanted = wanted | Interest::HANGUP;
        }
        wanted
    }

    /// A host that watches a source at all hears of its hangup.
    #[inline]
    fn is_watched_for(&self, direction: Direction) -> bool {
        match direction {
            Direction::Hangup => !self.watched.is_empty(),
            Direction::Recv | Direction::Send => self.watched.contains(direction.interest()),
        }
    }

    #[inline]
    fn waiter(&mut self, direction: Direction) -> &mut u32 {
        match direction {
            Direction::Recv => &mut self.recv_wait,
            Direction::Send => &mut self.send_wait,
            Direction::Hangup => &mut self.hangup_wait,
        }
    }
}

/// What the kernel knows of a job.
#[derive(Clone, Copy)]
pub struct JobSlot {
    job_wait: u32,
    done: bool,
}

/// One of a source's three tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Recv,
    Send,
    Hangup,
}

impl Direction {
    pub(crate) const ALL: [Self; 3] = [Self::Recv, Self::Send, Self::Hangup];

    pub(crate) const fn interest(self) -> Interest {
        match self {
            Self::Recv => Interest::RECV,
            Self::Send => Interest::SEND,
            Self::Hangup => Interest::HANGUP,
        }
    }
}

/// A place of the bin in four bytes: two bits for the table, thirty for the index.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    pub(crate) const NOWHERE: Self = Self(NONE);

    fn new(table: u32, index: u32) -> Self {
        Self(table << 30 | index)
    }

    pub(crate) fn decode(self) -> (Option<Direction>, u32) {
        let direction = match self.0 >> 30 {
            0 => Some(Direction::Recv),
            1 => Some(Direction::Send),
            2 => Some(Direction::Hangup),
            _ => None,
        };
        (direction, self.0 & ((1 << 30) - 1))
    }
}

/// Why a task was not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// What it wants is there already.
    Ready,
    /// What it wants is gone.
    Closed,
    /// Another task waits for it.
    Busy,
}

/// The wait tables.
pub(crate) struct Bin<S: Storage> {
    sources: Slab<SourceSlot, S::Sources<Entry<SourceSlot>>>,
    jobs: Slab<JobSlot, S::Jobs<Entry<JobSlot>>>,
    changed_head: u32,
}

impl<S: Storage> Bin<S> {
    pub(crate) fn new(storage: &S) -> Self {
        Self {
            sources: Slab::new(storage.sources()),
            jobs: Slab::new(storage.jobs()),
            changed_head: NONE,
        }
    }

    pub(crate) fn open(&mut self) -> Result<SourceId, Full> {
        // A place that is still on the list of changes stays on it.
        let reuse = |slot: &mut SourceSlot| {
            *slot = SourceSlot {
                next_changed: slot.next_changed,
                changed: slot.changed,
                ..SourceSlot::NEW
            };
        };
        let (index, generation) = self.sources.insert(SourceSlot::NEW, reuse)?;
        Ok(SourceId::new(index, generation))
    }

    pub(crate) fn begin(&mut self) -> Result<JobId, Full> {
        let slot = JobSlot {
            job_wait: NONE,
            done: false,
        };
        let (index, generation) = self.jobs.insert(slot, |old| *old = slot)?;
        Ok(JobId::new(index, generation))
    }

    pub(crate) fn is_open(&self, source: SourceId) -> bool {
        self.sources.get(source.index, source.generation).is_some()
    }

    /// Takes the source out; its waiters must have left.
    pub(crate) fn close(&mut self, source: SourceId) {
        debug_assert!(
            self.sources
                .get(source.index, source.generation)
                .is_some_and(|slot| slot.wanted().is_empty()),
            "nobody waits for what goes"
        );
        self.sources.remove(source.index);
    }

    /// Takes the job out; its waiter must have left.
    pub(crate) fn end(&mut self, job: JobId) {
        self.jobs.remove(job.index);
    }

    /// Lets `task` wait for `what`.
    pub(crate) fn enter(&mut self, task: u32, what: What) -> Result<Place, Refused> {
        match what {
            What::Recv(source) => self.enter_source(task, source, Direction::Recv),
            What::Send(source) => self.enter_source(task, source, Direction::Send),
            What::Hangup(source) => self.enter_source(task, source, Direction::Hangup),
            What::Job(job) => self.enter_job(task, job),
        }
    }

    fn enter_source(
        &mut self,
        task: u32,
        source: SourceId,
        direction: Direction,
    ) -> Result<Place, Refused> {
        let slot = self
            .sources
            .get_mut(source.index, source.generation)
            .ok_or(Refused::Closed)?;
        let waiter = slot.waiter(direction);
        if *waiter != NONE {
            return Err(Refused::Busy);
        }
        *waiter = task;
        if !slot.is_watched_for(direction) {
            self.note_change(source.index);
        }
        Ok(Place::new(direction as u32, source.index))
    }

    fn enter_job(&mut self, task: u32, job: JobId) -> Result<Place, Refused> {
        let slot = self
            .jobs
            .get_mut(job.index, job.generation)
            .ok_or(Refused::Closed)?;
        if slot.done {
            return Err(Refused::Ready);
        }
        if slot.job_wait != NONE {
            return Err(Refused::Busy);
        }
        slot.job_wait = task;
        Ok(Place::new(3, job.index))
    }

    /// Lets whoever is at `place` out.
    pub(crate) fn leave(&mut self, place: Place) {
        match place.decode() {
            (Some(direction), index) => *self.sources.at(index).value.waiter(direction) = NONE,
            (None, index) => self.jobs.at(index).value.job_wait = NONE,
        }
    }

    /// Who waits for `direction` of `source`.
    #[inline]
    pub(crate) fn waiter(&mut self, source: SourceId, direction: Direction) -> Option<u32> {
        let slot = self.sources.get_mut(source.index, source.generation)?;
        let task = *slot.waiter(direction);
        (task != NONE).then_some(task)
    }

    /// Who waits for `job`.
    pub(crate) fn job_waiter(&self, job: JobId) -> Option<u32> {
        let task = self.jobs.get(job.index, job.generation)?.job_wait;
        (task != NONE).then_some(task)
    }

    /// Whether the job is there and has ended.
    pub(crate) fn is_done(&self, job: JobId) -> Option<bool> {
        self.jobs
            .get(job.index, job.generation)
            .map(|slot| slot.done)
    }

    pub(crate) fn set_done(&mut self, job: JobId) {
        if let Some(slot) = self.jobs.get_mut(job.index, job.generation) {
            slot.done = true;
        }
    }

    /// Nobody waited for `direction` when it was ready: unless that has changed when the host next asks, it
    /// is told to stop watching for it.
    pub(crate) fn unheard(&mut self, source: SourceId, direction: Direction) {
        let slot = self.sources.get(source.index, source.generation);
        if slot.is_some_and(|slot| slot.is_watched_for(direction)) {
            self.note_change(source.index);
        }
    }

    fn note_change(&mut self, index: u32) {
        let head = self.changed_head;
        let slot = &mut self.sources.at(index).value;
        if !slot.changed {
            slot.changed = true;
            slot.next_changed = head;
            self.changed_head = index;
        }
    }

    /// The next source that the host should watch for something else than it does.
    pub(crate) fn next_change(&mut self) -> Option<(SourceId, Interest)> {
        while self.changed_head != NONE {
            let index = self.changed_head;
            let entry = self.sources.at(index);
            let (live, slot) = (entry.is_live(), &mut entry.value);
            self.changed_head = slot.next_changed;
            slot.changed = false;
            let wanted = slot.wanted();
            if live && wanted != slot.watched {
                slot.watched = wanted;
                return Some((SourceId::new(index, entry.generation), wanted));
            }
        }
        None
    }

    /// Who waits at the place.
    pub(crate) fn at(&self, place: Place) -> u32 {
        let (direction, index) = place.decode();
        let Some(direction) = direction else {
            return self.jobs.entries()[index as usize].value.job_wait;
        };
        let mut slot = self.sources.entries()[index as usize].value;
        *slot.waiter(direction)
    }

    /// How many places of all tables are taken.
    pub(crate) fn waiters(&self) -> usize {
        let sources = self
            .sources
            .entries()
            .iter()
            .filter(|entry| entry.is_live());
        let places = sources.flat_map(|entry| {
            let slot = entry.value;
            [slot.recv_wait, slot.send_wait, slot.hangup_wait]
        });
        let jobs = self.jobs.entries().iter().filter(|entry| entry.is_live());
        let all = places.chain(jobs.map(|entry| entry.value.job_wait));
        all.filter(|task| *task != NONE).count()
    }

    /// What the place stands for, with the id that its generation makes.
    pub(crate) fn describe(&self, place: Place) -> What {
        let (direction, index) = place.decode();
        let Some(direction) = direction else {
            return What::Job(JobId::new(
                index,
                self.jobs.entries()[index as usize].generation,
            ));
        };
        let source = SourceId::new(index, self.sources.entries()[index as usize].generation);
        match direction {
            Direction::Recv => What::Recv(source),
            Direction::Send => What::Send(source),
            Direction::Hangup => What::Hangup(source),
        }
    }
}
