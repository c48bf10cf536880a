//! The host interface for jobs, and the faults of jobs.

use sinbin_core::exec::Jobs;
use sinbin_core::{JobId, Kernel, Limits, Serves, Service};

use crate::client_model::ClientModel;
use crate::world::{Event, World};

/// The number of past jobs that are remembered for stale reports.
const OLD_JOBS: usize = 64;

impl<S: Service, T: ClientModel> Serves<S> for World<S, T> {
    fn service(&self) -> &S {
        &self.service
    }
}

impl<S: Service, T: ClientModel> Jobs<S::Job> for World<S, T> {
    fn submit(&mut self, id: JobId, job: S::Job) {
        self.report.jobs += 1;
        self.tell(|| format!("job {id} begins"));
        self.evidence.job_begins(id);
        if self.work.submit(id, job, &mut self.rng) {
            let slow = self.rng.strikes(self.plan.faults.slow_jobs);
            let most = if slow { 10_000_000 } else { 50_000 };
            let after = u64::from(self.rng.between(1, most));
            self.schedule(after, Event::Job(id));
        }
    }

    fn take(&mut self, id: JobId) -> Option<<S::Job as sinbin_core::Job>::Output> {
        let output = self.work.take(id)?;
        self.evidence.job_ends(id);
        self.bury(id);
        Some(output)
    }

    fn cancel(&mut self, id: JobId) {
        self.tell(|| format!("job {id} is cancelled"));
        self.evidence.job_ends(id);
        self.bury(id);
        self.work.cancel(id);
    }
}

impl<S: Service, T: ClientModel> World<S, T> {
    /// Remembers a job that has ended.
    fn bury(&mut self, id: JobId) {
        if self.old_jobs.len() == OLD_JOBS {
            self.old_jobs.pop_front();
        }
        self.old_jobs.push_back(id);
    }

    /// Completes, fails or continues a job whose computing time has passed.
    pub(crate) fn end_job(&mut self, kernel: &mut Kernel<Limits>, job: JobId) {
        if self.rng.strikes(self.plan.faults.failing_jobs) {
            if self.work.fail(job) {
                self.tell(|| format!("job {job} fails"));
                self.say_lost(kernel, job);
            }
        } else if self.work.finish(job, self.slice, &mut self.rng) {
            self.tell(|| format!("job {job} is done"));
            self.say_done(kernel, job);
        } else if self.work.is_running(job) {
            self.schedule(self.slice_nanos(), Event::Job(job));
        }
    }
}
