//! The jobs that a loop has passed to a pool of threads, with their results.

use sinbin_core::kernel::IdMap;
use sinbin_core::task::BoxedJob;
use sinbin_core::{Job, JobId};

use crate::caught::Caught;
use crate::compute::Over;
use crate::host::SendJob;
use crate::pool::{Pool, PoolLimits, Ticket};
use crate::reactor::Notifier;

/// The calls that block, and their threads.
pub(crate) type Blocking = Workers<Caught<BoxedJob>>;

/// A pool, and a table with the state of each of its jobs.
pub(crate) struct Workers<J: Job> {
    pool: Pool<J>,
    table: IdMap<JobId, Given<J>>,
}

/// The state of a job that was submitted to the workers.
enum Given<J: Job> {
    /// The job waits or runs. Dropping the ticket cancels it.
    Running {
        _ticket: Ticket<J>,
    },
    Done(J::Output),
}

impl<J: SendJob> Workers<J> {
    pub(crate) fn new(limits: PoolLimits, notifier: Notifier) -> Self {
        Self { pool: Pool::new(limits, notifier), table: IdMap::new() }
    }

    /// Passes a job to the threads.
    ///
    /// # Errors
    ///
    /// Returns the job if there is no thread and none can be started.
    pub(crate) fn submit(&mut self, id: JobId, job: J) -> Result<(), J> {
        let _ticket = self.pool.submit(id, job)?;
        self.table.insert(id, Given::Running { _ticket });
        Ok(())
    }

    /// Removes and returns the result of a job, if it is available.
    pub(crate) fn take(&mut self, id: JobId) -> Option<J::Output> {
        match self.table.remove_if(id, |given| matches!(given, Given::Done(_)))? {
            Given::Done(output) => Some(output),
            Given::Running { .. } => None,
        }
    }

    /// Cancels a job. Has no effect if the job is not in the table.
    pub(crate) fn cancel(&mut self, id: JobId) {
        drop(self.table.remove(id));
    }

    /// Returns the jobs that have ended since the last call. Drops the results of cancelled jobs.
    pub(crate) fn finished(&mut self) -> Vec<Over> {
        let Self { pool, table } = self;
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
