//! Jobs of a driven loop: the driver's, or slices between the turns.

use alloc::vec::Vec;
use core::any::type_name;

use crate::driven::guard::DriversGuard;
use crate::job::slicer::Slicer;
use crate::job::{Job, Progress, WireJob};
use crate::kernel::id::JobId;
use crate::kernel::id_map::IdMap;
use crate::kernel::storage::Limits;
use crate::serve::guard::Guard as _;

/// The place where jobs are computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compute {
    /// The driver, as far as jobs can travel.
    Driver {
        /// Of those that can't: the budget of a slice, as with `Here`.
        slice: u32,
    },
    /// The loop itself, in slices of this budget, one a call.
    Here {
        /// In the job's units, some nanoseconds each.
        slice: u32,
    },
}

/// How far a slice got that was computed elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Computed {
    /// There is more to do: the job as it stands now.
    More(Vec<u8>),
    /// The bytes of the result.
    Done(Vec<u8>),
    /// The bytes were no job.
    Nonsense,
}

/// Computes a slice of about `budget` units of the job in `bytes`. It depends on nothing else, so any instance can do
/// the next one.
#[must_use]
pub fn compute<J: WireJob>(bytes: &[u8], budget: u32) -> Computed {
    let Some(mut job) = J::decode(bytes) else { return Computed::Nonsense };
    let progress = job.run(budget);
    let mut bytes = Vec::new();
    let mut put = |part: &[u8]| bytes.extend_from_slice(part);
    match progress {
        Progress::Done(output) => {
            J::encode_output(&output, &mut put);
            Computed::Done(bytes)
        }
        Progress::More if job.encode(&mut put) => Computed::More(bytes),
        Progress::More => Computed::Nonsense,
    }
}

/// Calls the code of a job.
fn call_of<J, R>(guarded: DriversGuard, act: impl FnOnce() -> R) -> Option<R> {
    guarded.call_of(type_name::<J>(), "a job panicked", act)
}

/// The jobs there are.
pub(super) struct Work<J: Job> {
    compute: Compute,
    slicer: Slicer<J, Limits>,
    /// The jobs that the driver has, and their results.
    away: IdMap<JobId, Option<J::Output>>,
}

/// The outcome of submitting a job.
pub(super) enum Submitted {
    /// The job was handed to the driver.
    Away,
    /// The job is computed in slices by this loop.
    Here,
    /// The job panicked when it was asked for its bytes.
    Lost,
}

/// The outcome of a slice of a job.
pub(super) enum Sliced {
    More,
    Done(JobId),
    /// The job panicked.
    Lost(JobId),
}

impl<J: WireJob> Work<J> {
    pub(super) fn new(limits: &Limits, compute: Compute) -> Self {
        Self { compute, slicer: Slicer::new(limits), away: IdMap::new() }
    }

    /// Takes a job in. If it is the driver's, `put` has got its bytes.
    pub(super) fn submit(
        &mut self,
        id: JobId,
        job: J,
        guarded: DriversGuard,
        put: &mut dyn FnMut(&[u8]),
    ) -> Submitted {
        let is_here = matches!(self.compute, Compute::Here { .. });
        let encoded = if is_here { Some(false) } else { call_of::<J, _>(guarded, || job.encode(put)) };
        if encoded == Some(false) {
            self.slicer.submit(id, job);
            return Submitted::Here;
        }
        guarded.drop(job);
        if encoded.is_none() {
            return Submitted::Lost;
        }
        self.away.insert(id, None);
        Submitted::Away
    }

    /// Takes a result of the driver's. Returns whether the bytes are one; `None` if nobody waits for it.
    pub(super) fn computed(&mut self, id: JobId, bytes: &[u8], guarded: DriversGuard) -> Option<bool> {
        let place = self.away.get_mut(id)?;
        let output = call_of::<J, _>(guarded, || J::decode_output(bytes)).flatten();
        let is_one = output.is_some();
        *place = output;
        if !is_one {
            self.away.remove(id);
        }
        Some(is_one)
    }

    /// The driver has no result. Whether there was such a job.
    pub(super) fn lost(&mut self, id: JobId) -> bool {
        self.away.remove(id).is_some()
    }

    pub(super) fn take(&mut self, id: JobId) -> Option<J::Output> {
        match self.away.contains(id) {
            false => self.slicer.take(id),
            true => self.away.remove_if(id, |output| output.is_some())?,
        }
    }

    /// Forgets a job that is not done. Whether the driver computes it; `None` if nobody does any more.
    pub(super) fn cancel(&mut self, id: JobId, guarded: DriversGuard) -> Option<bool> {
        match self.away.remove(id) {
            None => {
                call_of::<J, _>(guarded, || self.slicer.cancel(id));
                Some(false)
            }
            Some(output) => {
                let was_under_way = output.is_none();
                guarded.drop(output);
                was_under_way.then_some(true)
            }
        }
    }

    /// Drops all jobs and results there are.
    pub(super) fn clear(&mut self, guarded: DriversGuard) {
        for (_, output) in self.away.drain() {
            guarded.drop(output);
        }
        while let Some(job) = self.slicer.first() {
            call_of::<J, _>(guarded, || self.slicer.cancel(job));
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.slicer.is_idle()
    }

    /// Runs a slice, if there is one to run, and says what became of the job.
    pub(super) fn slice(&mut self, guarded: DriversGuard) -> Option<Sliced> {
        let next = self.slicer.next()?;
        let (Compute::Driver { slice } | Compute::Here { slice }) = self.compute;
        Some(match call_of::<J, _>(guarded, || self.slicer.run(slice)) {
            Some(None) => Sliced::More,
            Some(Some(job)) => Sliced::Done(job),
            // The job's destructor may have panicked after its last slice: its result is there all the same.
            None if self.slicer.is_done(next) => Sliced::Done(next),
            None => {
                call_of::<J, _>(guarded, || self.slicer.cancel(next));
                Sliced::Lost(next)
            }
        })
    }
}
