//! A world that is filled to its limits, and emptied.

use sinbin_core::kernel::Storage;
use sinbin_core::{Rest, TaskId};

use crate::kernel_model::model::Step;
use crate::kernel_model::world::World;

impl<S: Storage> World<S> {
    /// Runs one turn in which each task does `step`. Returns the tasks that ran, in order.
    pub fn turn(&mut self, step: &Step) -> Vec<TaskId> {
        self.advance(self.model.now);
        std::iter::from_fn(|| self.run(step)).map(|(id, _)| id).collect()
    }

    /// Cancels, closes and ends all tasks, sources and jobs.
    pub fn end_everything(&mut self) {
        for id in self.model.tasks().collect::<Vec<_>>() {
            self.cancel(id);
        }
        self.turn(&Step::Done);
        assert_eq!(self.kernel.rest(), Rest::Empty);
        for id in self.model.sources().collect::<Vec<_>>() {
            self.close(id);
        }
        for id in self.model.jobs().collect::<Vec<_>>() {
            self.end_job(id);
        }
        self.drain_changes();
    }

    /// Creates as many tasks, sources and jobs as the limits allow. A leak would reduce their number.
    pub fn fill_up(&mut self) {
        while self.spawn().is_ok() {}
        while self.open().is_ok() {}
        while self.begin_job().is_ok() {}
    }
}
