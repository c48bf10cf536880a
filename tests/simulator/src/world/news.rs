//! Reports of events to the kernel, recorded as [`Evidence`](crate::evidence::Evidence). The time is not recorded, nor
//! are reports about sources and jobs that no longer exist, which must have no effect.

use sinbin_core::{Interest, JobId, Kernel, Limits, Service, SourceId, TaskId, WakeReason};

use crate::client_model::ClientModel;
use crate::world::World;

impl<S: Service, T: ClientModel> World<S, T> {
    /// Reports the readiness of an open source.
    pub(crate) fn say_ready(&mut self, kernel: &mut Kernel<Limits>, source: SourceId, readiness: Interest) {
        self.evidence.ready(source, readiness);
        kernel.ready(source, readiness);
    }

    /// Closes a source on behalf of the host rather than of a task.
    pub(crate) fn say_closed(&mut self, kernel: &mut Kernel<Limits>, source: SourceId) {
        self.forget(source);
        kernel.close(source);
    }

    pub(crate) fn say_done(&mut self, kernel: &mut Kernel<Limits>, job: JobId) {
        self.evidence.job_done(job);
        kernel.job_done(job);
    }

    /// Reports that a job is lost, because its worker has failed.
    pub(crate) fn say_lost(&mut self, kernel: &mut Kernel<Limits>, job: JobId) {
        self.evidence.job_ends(job);
        kernel.end_job(job);
    }

    pub(crate) fn say_name(&mut self, kernel: &mut Kernel<Limits>, task: TaskId) {
        self.evidence.ask(kernel, task, WakeReason::Named);
        kernel.wake(task);
    }

    pub(crate) fn say_cancel(&mut self, kernel: &mut Kernel<Limits>, task: TaskId) {
        self.evidence.ask(kernel, task, WakeReason::Cancelled);
        kernel.cancel(task);
    }
}
