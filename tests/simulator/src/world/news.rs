//! What the host says to the kernel: all but the time, and news of what is gone, which must change nothing. It is written
//! down as [`Evidence`](crate::evidence::Evidence).

use sinbin_core::{Interest, JobId, Kernel, Limits, Service, SourceId, TaskId, WakeReason};

use crate::client_model::ClientModel;
use crate::world::World;

impl<S: Service, T: ClientModel> World<S, T> {
    /// What an open source is ready for.
    pub(crate) fn say_ready(&mut self, kernel: &mut Kernel<Limits>, source: SourceId, readiness: Interest) {
        self.evidence.ready(source, readiness);
        kernel.ready(source, readiness);
    }

    /// A source is closed by the host, and not by a task.
    pub(crate) fn say_closed(&mut self, kernel: &mut Kernel<Limits>, source: SourceId) {
        self.forget(source);
        kernel.close(source);
    }

    pub(crate) fn say_done(&mut self, kernel: &mut Kernel<Limits>, job: JobId) {
        self.evidence.job_done(job);
        kernel.job_done(job);
    }

    /// Whoever computed the job has failed.
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
