//! Jobs of a native loop: on worker threads, or in slices on the loop itself.

use std::any::type_name;

use sinbin_core::job::Slicer;
use sinbin_core::{Job, JobId, Limits};

use crate::caught::caught;
use crate::host::SendJob;
use crate::workers::Workers;

/// The way in which jobs are computed.
pub(crate) enum Compute<J: Job> {
    /// On worker threads.
    Workers(Workers<J>, Alone),
    /// On the loop: while it would otherwise wait, and one slice of the given number of units between turns.
    Slices(Slicer<J, Limits>, u32),
}

/// The parameters for computing on the loop, used if no worker thread can be started.
#[derive(Clone, Copy)]
pub(crate) struct Alone {
    pub(crate) limits: Limits,
    pub(crate) slice: u32,
}

impl Alone {
    pub(crate) fn compute<J: Job>(self) -> Compute<J> {
        Compute::Slices(Slicer::new(&self.limits), self.slice)
    }
}

/// A job that has ended.
pub(crate) enum Over {
    /// The result can be taken.
    Done(JobId),
    /// The job panicked, and has no result.
    Failed(JobId),
}

impl<J: SendJob> Compute<J> {
    pub(crate) fn submit(&mut self, id: JobId, job: J) {
        match self {
            Self::Slices(slicer, _) => slicer.submit(id, job),
            Self::Workers(workers, alone) => {
                // If no worker has ever started, no submitted job is lost when the workers are replaced.
                if let Err(job) = workers.submit(id, job) {
                    tracing::warn!("without threads, jobs are computed in slices on the loop itself");
                    *self = alone.compute();
                    self.submit(id, job);
                }
            }
        }
    }

    pub(crate) fn take(&mut self, id: JobId) -> Option<J::Output> {
        match self {
            Self::Slices(slicer, _) => slicer.take(id),
            Self::Workers(workers, _) => workers.take(id),
        }
    }

    pub(crate) fn cancel(&mut self, id: JobId) {
        match self {
            Self::Slices(slicer, _) => slicer.cancel(id),
            Self::Workers(workers, _) => workers.cancel(id),
        }
    }

    /// Returns true if the loop itself has jobs to compute.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Slices(slicer, _) if !slicer.is_idle())
    }

    /// Runs a slice if jobs are computed on the loop.
    pub(crate) fn slice(&mut self) -> Option<Over> {
        match self {
            Self::Slices(slicer, budget) => {
                let next = slicer.next()?;
                match caught(|| slicer.run(*budget)) {
                    Ok(done) => done.map(Over::Done),
                    Err(said) => {
                        tracing::error!(job = %next, "a job ({}) panicked: {said}", type_name::<J>());
                        slicer.cancel(next);
                        Some(Over::Failed(next))
                    }
                }
            }
            Self::Workers(..) => None,
        }
    }

    /// Returns the jobs that the workers have finished since the last call. Drops the results of cancelled jobs.
    pub(crate) fn finished(&mut self) -> Vec<Over> {
        match self {
            Self::Workers(workers, _) => workers.finished(),
            Self::Slices(..) => Vec::new(),
        }
    }
}
