//! Jobs of a driven loop: the driver's, or slices between the turns.

use alloc::vec::Vec;

use crate::id::JobId;
use crate::job::{Job, Progress, WireJob};
use crate::slicer::Slicer;
use crate::storage::Limits;

/// Who computes.
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

/// A job that the driver has, and its result.
type Away<J> = (JobId, Option<<J as Job>::Output>);

/// The jobs there are.
pub(super) struct Work<J: Job> {
    compute: Compute,
    slicer: Slicer<J, Limits>,
    /// Those that the driver has, by the index of their ids, and their results.
    away: Vec<Option<Away<J>>>,
}

impl<J: WireJob> Work<J> {
    pub(super) fn new(limits: &Limits, compute: Compute) -> Self {
        Self { compute, slicer: Slicer::new(limits), away: Vec::new() }
    }

    /// Takes a job in. Whether it is the driver's, and `put` has got its bytes.
    pub(super) fn submit(&mut self, id: JobId, job: J, put: &mut dyn FnMut(&[u8])) -> bool {
        if matches!(self.compute, Compute::Here { .. }) || !job.encode(put) {
            self.slicer.submit(id, job);
            return false;
        }
        if self.away.len() <= id.index() {
            self.away.resize_with(id.index() + 1, || None);
        }
        self.away[id.index()] = Some((id, None));
        true
    }

    /// The driver has a result. Whether it is one; `None` if nobody waits for it.
    pub(super) fn computed(&mut self, id: JobId, bytes: &[u8]) -> Option<bool> {
        let place = self.place(id)?;
        let output = J::decode_output(bytes);
        let is_one = output.is_some();
        *place = output.map(|output| (id, Some(output)));
        Some(is_one)
    }

    /// The driver has no result. Whether there was such a job.
    pub(super) fn lost(&mut self, id: JobId) -> bool {
        self.place(id).is_some_and(|place| place.take().is_some())
    }

    pub(super) fn take(&mut self, id: JobId) -> Option<J::Output> {
        match self.place(id) {
            None => self.slicer.take(id),
            Some(place) => place.take_if(|(_, output)| output.is_some())?.1,
        }
    }

    /// Forgets a job that is not done. Whether the driver computes it; `None` if nobody does any more.
    pub(super) fn cancel(&mut self, id: JobId) -> Option<bool> {
        match self.place(id) {
            None => {
                self.slicer.cancel(id);
                Some(false)
            }
            Some(place) => place.take().is_some_and(|(_, output)| output.is_none()).then_some(true),
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.slicer.is_idle()
    }

    /// Runs a slice, and says whose result is there. Whether there was one to run.
    pub(super) fn slice(&mut self, done: impl FnOnce(JobId)) -> bool {
        if self.slicer.is_idle() {
            return false;
        }
        let (Compute::Driver { slice } | Compute::Here { slice }) = self.compute;
        if let Some(job) = self.slicer.run(slice) {
            done(job);
        }
        true
    }

    /// The place of a job that the driver has.
    fn place(&mut self, id: JobId) -> Option<&mut Option<Away<J>>> {
        let place = self.away.get_mut(id.index())?;
        place.as_ref().is_some_and(|(away, _)| *away == id).then_some(place)
    }
}
