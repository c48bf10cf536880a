//! Faults outside of the sockets: false and stale reports, cancelled tasks, dying workers, and clocks that jump.

use std::time::Duration;

use sinbin_core::kernel::TaskState;
use sinbin_core::{Instant, Interest, Kernel, Limits, Service, SourceId, TaskId};

use crate::client_model::ClientModel;
use crate::world::World;
use crate::world::rest::LONG;

impl<S: Service, T: ClientModel> World<S, T> {
    /// Injects faults between two turns.
    pub(super) fn inject_faults(&mut self, kernel: &mut Kernel<Limits>) {
        let faults = self.plan.faults;
        if self.rng.strikes(faults.spurious) {
            self.say_something_is_ready(kernel);
        }
        if self.rng.strikes(faults.wakes) {
            self.name_somebody(kernel);
        }
        if self.rng.strikes(faults.cancels) {
            self.cancel_somebody(kernel);
        }
        if self.rng.strikes(faults.stale_jobs) {
            self.end_what_is_gone(kernel);
        }
        if self.rng.strikes(faults.dying_workers) {
            let Self { work, rng, .. } = self;
            for job in work.die(rng) {
                self.tell(|| format!("job {job} is lost with its worker"));
                self.say_lost(kernel, job);
            }
        }
        if self.rng.strikes(faults.jumps) {
            let ahead = *self.rng.pick(&[1_u32, 1000, 3_600_000]);
            self.now = self.now + Duration::from_millis(u64::from(ahead));
            self.tell(|| format!("the clock jumps ahead by {ahead} ms"));
        }
    }

    /// Reports that a source is ready that exists, has been closed, or was never opened.
    fn say_something_is_ready(&mut self, kernel: &mut Kernel<Limits>) {
        let rng = &mut self.rng;
        let most = u32::try_from(self.sources.places()).unwrap_or(u32::MAX);
        let index = rng.below(most.saturating_add(2));
        let interest = *rng.pick(&[Interest::RECV, Interest::SEND, Interest::RECV | Interest::SEND]);
        let there = self.sources.at(index as usize).map(|(id, entry)| (id, *entry));
        let (source, role) = match there {
            Some((id, entry)) if self.rng.below(2) == 0 => (id, Some(entry.role)),
            // An id of another generation in the same slot.
            Some((id, _)) => (SourceId::from_bits(id.to_bits() ^ 2 << 32), None),
            None => (SourceId::from_bits(u64::from(index) | 1 << 32), None),
        };
        match role {
            Some(role) => self.say_ready_of(kernel, source, role, interest),
            None => self.expect_nothing(kernel, "promise 5: news of a source that is gone", |kernel| {
                kernel.ready(source, interest | Interest::HANGUP);
            }),
        }
    }

    fn name_somebody(&mut self, kernel: &mut Kernel<Limits>) {
        if let Some(task) = nth_task(kernel, self) {
            self.tell(|| format!("task {task} is named without a reason"));
            self.say_name(kernel, task);
        }
    }

    fn cancel_somebody(&mut self, kernel: &mut Kernel<Limits>) {
        let acceptor = self.acceptor;
        let Some(task) = nth_task(kernel, self).filter(|task| Some(*task) != acceptor) else { return };
        // Lingering tasks are not the task of any client, and are not cancelled.
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.task == Some(task)) else { return };
        peer.cancelled = true;
        self.tell(|| format!("task {task} is cancelled"));
        self.say_cancel(kernel, task);
        let said_so = kernel.state(task) == Some(TaskState::Ready);
        if !said_so {
            self.wrong(format!("promise 6: task {task} is cancelled, and still waits"));
        }
    }

    fn end_what_is_gone(&mut self, kernel: &mut Kernel<Limits>) {
        let count = u32::try_from(self.old_jobs.len()).unwrap_or(0);
        if count == 0 {
            return;
        }
        let job = self.old_jobs[self.rng.below(count) as usize];
        self.expect_nothing(kernel, "promise 5: news of a job that is gone", |kernel| kernel.job_done(job));
    }

    /// Checks that `act` does not change the state of any task.
    fn expect_nothing(
        &mut self,
        kernel: &mut Kernel<Limits>,
        what: &str,
        act: impl FnOnce(&mut Kernel<Limits>),
    ) {
        let before: Vec<_> = kernel.tasks().map(|task| (task.id, task.state)).collect();
        act(kernel);
        let after = kernel.tasks().map(|task| (task.id, task.state));
        if !after.eq(before) {
            self.wrong(format!("{what} has changed something"));
        }
    }
}

/// Returns a random task.
fn nth_task<S: Service, T: ClientModel>(kernel: &Kernel<Limits>, world: &mut World<S, T>) -> Option<TaskId> {
    let count = u32::try_from(kernel.count()).unwrap_or(0);
    kernel.tasks().nth(world.rng.below(count) as usize).map(|task| task.id)
}

impl<S: Service, T: ClientModel> World<S, T> {
    /// Lets time pass in the middle of a step, if the step is a slow one.
    pub(super) fn dawdle(&mut self) {
        if self.rng.strikes(self.plan.faults.slow_steps) {
            // The step takes longer than most deadlines, or than a few.
            let most = *self.rng.pick(&[LONG, LONG / 10, LONG / 100]);
            let span = Duration::from_nanos(self.rng.between(1, most).into());
            self.tell(|| format!("the step takes {} µs", span.as_micros()));
            self.pass_in_step(span);
        }
    }

    /// Returns the reading of the clock, which sometimes goes back.
    pub(super) fn clock(&mut self) -> Instant {
        if self.rng.strikes(self.plan.faults.jumps) {
            let back = u64::from(self.rng.below(1_000_000_000));
            return Instant::from_nanos(self.now.as_nanos().saturating_sub(back));
        }
        self.now
    }
}
