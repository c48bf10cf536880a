//! The jobs of a driven loop, which are computed by the driver, or in slices between the turns.

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
    /// The driver, if the job can be encoded.
    Driver {
        /// The budget of a slice, as with `Here`, for jobs that can't be encoded.
        slice: u32,
    },
    /// The loop itself, in slices of this budget, one per call.
    Here {
        /// The budget in the job's units, each of which takes some nanoseconds.
        slice: u32,
    },
}

/// The outcome of a slice that was computed elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Computed {
    /// The job is not done. The bytes are its present state.
    More(Vec<u8>),
    /// The job is done. The bytes are its result.
    Done(Vec<u8>),
    /// The bytes were not a job.
    Nonsense,
}

/// Computes a slice of about `budget` units of the job in `bytes`. The outcome depends on nothing else, so any instance
/// can compute the next slice.
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

/// Calls the code of a job through the guard.
fn call_of<J, R>(guarded: DriversGuard, act: impl FnOnce() -> R) -> Option<R> {
    guarded.call_of(type_name::<J>(), "a job panicked", act)
}

/// The jobs of a loop.
pub(super) struct Work<J: Job> {
    compute: Compute,
    slicer: Slicer<J, Limits>,
    /// The jobs that the driver computes, and their results.
    away: IdMap<JobId, Option<J::Output>>,
}

/// The outcome of submitting a job.
pub(super) enum Submitted {
    /// The job was passed to the driver.
    Away,
    /// The job is computed in slices by this loop.
    Here,
    /// The job panicked while it was encoded.
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

    /// Adds a job. If the driver computes it, `put` receives its bytes.
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

    /// Stores a result from the driver. Returns true if the bytes are a result, and `None` if no such job is waited
    /// for.
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

    /// Removes a job that the driver could not compute. Returns true if the job existed.
    pub(super) fn lost(&mut self, id: JobId) -> bool {
        self.away.remove(id).is_some()
    }

    pub(super) fn take(&mut self, id: JobId) -> Option<J::Output> {
        match self.away.contains(id) {
            false => self.slicer.take(id),
            true => self.away.remove_if(id, |output| output.is_some())?,
        }
    }

    /// Cancels a job. Returns true if the driver is computing it, false if this loop is, and `None` if it is done.
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

    /// Drops all jobs and results.
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

    /// Runs a slice of the next job, if any, and returns the outcome.
    pub(super) fn slice(&mut self, guarded: DriversGuard) -> Option<Sliced> {
        let next = self.slicer.next()?;
        let (Compute::Driver { slice } | Compute::Here { slice }) = self.compute;
        Some(match call_of::<J, _>(guarded, || self.slicer.run(slice)) {
            Some(None) => Sliced::More,
            Some(Some(job)) => Sliced::Done(job),
            // The job's destructor may have panicked after its last slice. The result is available nevertheless.
            None if self.slicer.is_done(next) => Sliced::Done(next),
            None => {
                call_of::<J, _>(guarded, || self.slicer.cancel(next));
                Sliced::Lost(next)
            }
        })
    }
}
