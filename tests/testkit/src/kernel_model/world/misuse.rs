//! Uses of ids whose task, source or job is gone: none has an effect (promise 5).

use sinbin_core::kernel::Storage;
use sinbin_core::{Interest, JobId, SourceId, TaskId};

use crate::kernel_model::model::Step;
use crate::kernel_model::world::World;

impl<S: Storage> World<S> {
    /// Returns all ids that are no longer in use.
    pub fn gone(&self) -> [Vec<u64>; 3] {
        let live: [Vec<u64>; 3] = [
            self.model.tasks().map(TaskId::to_bits).collect(),
            self.model.sources().map(SourceId::to_bits).collect(),
            self.model.jobs().map(JobId::to_bits).collect(),
        ];
        let mut gone = self.ever.clone();
        gone.iter_mut().zip(live).for_each(|(ever, live)| ever.retain(|id| !live.contains(id)));
        gone
    }

    pub fn misuse_task(&mut self, id: TaskId) {
        let before = self.see();
        self.wake(id);
        self.cancel(id);
        self.park(id, &Step::Done);
        assert_eq!(self.kernel.wake_reason(id), None);
        assert_eq!(self.see(), before, "promise 5: task {id}");
    }

    pub fn misuse_source(&mut self, id: SourceId) {
        let before = self.see();
        (0..8).for_each(|bits| self.ready(id, Interest::from_bits(bits)));
        self.close(id);
        assert_eq!(self.see(), before, "promise 5: source {id}");
    }

    pub fn misuse_job(&mut self, id: JobId) {
        let before = self.see();
        self.job_done(id);
        self.end_job(id);
        assert_eq!(self.see(), before, "promise 5: job {id}");
    }
}
