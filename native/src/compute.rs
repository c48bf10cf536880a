//! Jobs of a native loop: in worker threads, or in slices on the loop itself.

use std::any::type_name;

use sinbin_core::{IdMap, Job, JobId, Limits, Slicer};

use crate::caught::caught;
use crate::host::SendJob;
use crate::pool::{Pool, Ticket};

/// The place where jobs are computed.
pub(crate) enum Compute<J: Job> {
    /// Worker threads; the table holds what became of each job.
    Workers(Pool<J>, IdMap<JobId, Given<J>>, Alone),
    /// The loop, when it would wait, and for a slice of so many units between turns.
    Slices(Slicer<J, Limits>, u32),
}

/// The way to compute on the loop, for when there can be no workers.
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

/// A job in the hands of the workers.
pub(crate) enum Given<J: Job> {
    /// The job waits or runs, and its result is wanted as long as the ticket is there.
    Running {
        _ticket: Ticket<J>,
    },
    Done(J::Output),
}

/// A job that is over.
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
            Self::Workers(pool, table, alone) => match pool.submit(id, job) {
                Ok(_ticket) => {
                    table.insert(id, Given::Running { _ticket });
                }
                // There has never been a worker, so none has a job that this would lose.
                Err(job) => {
                    tracing::warn!("without threads, jobs are computed in slices on the loop itself");
                    *self = alone.compute();
                    self.submit(id, job);
                }
            },
        }
    }

    pub(crate) fn take(&mut self, id: JobId) -> Option<J::Output> {
        match self {
            Self::Slices(slicer, _) => slicer.take(id),
            Self::Workers(_, table, _) => {
                match table.remove_if(id, |given| matches!(given, Given::Done(_)))? {
                    Given::Done(output) => Some(output),
                    Given::Running { .. } => None,
                }
            }
        }
    }

    pub(crate) fn cancel(&mut self, id: JobId) {
        match self {
            Self::Slices(slicer, _) => slicer.cancel(id),
            Self::Workers(_, table, _) => {
                drop(table.remove(id));
            }
        }
    }

    /// Returns true if the loop has computing of its own to do.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Slices(slicer, _) if !slicer.is_idle())
    }

    /// Runs a slice, if the loop computes itself.
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

    /// Returns what the workers have finished since the last call. Results that nobody wants any more are dropped.
    pub(crate) fn finished(&mut self) -> Vec<Over> {
        let Self::Workers(pool, table, _) = self else {
            return Vec::new();
        };
        let over = pool.finished().into_iter().filter_map(|(id, output)| {
            let given = table.get_mut(id)?;
            match output {
                None => {
                    table.remove(id);
                    Some(Over::Failed(id))
                }
                Some(output) => {
                    *given = Given::Done(output);
                    Some(Over::Done(id))
                }
            }
        });
        over.collect()
    }
}
