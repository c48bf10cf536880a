//! Faults other than those of sockets: false and stale news, cancelled tasks, dying workers, clocks that jump.

use std::time::Duration;

use sinbin_core::{Instant, Interest, Kernel, Limits, Service, SourceId, Task, TaskId, TaskState};

use crate::client_model::ClientModel;
use crate::rng::Rng;
use crate::run::{LONG, Simulation};
use crate::world::World;

impl<S, T, M> Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
    M: FnMut(&mut Rng) -> T,
{
    /// Applies random faults between two turns.
    pub(crate) fn inject_faults(&mut self) {
        let faults = self.world.plan.faults;
        if self.world.rng.strikes(faults.spurious) {
            self.say_something_is_ready();
        }
        if self.world.rng.strikes(faults.wakes) {
            self.name_somebody();
        }
        if self.world.rng.strikes(faults.cancels) {
            self.cancel_somebody();
        }
        if self.world.rng.strikes(faults.stale_jobs) {
            self.end_what_is_gone();
        }
        if self.world.rng.strikes(faults.dying_workers) {
            let (kernel, world) = self.kernel();
            let World { work, rng, .. } = world;
            for job in work.die(rng) {
                world.tell(|| format!("job {job} is lost with its worker"));
                world.say_lost(kernel, job);
            }
        }
        if self.world.rng.strikes(faults.jumps) {
            let ahead = *self.world.rng.pick(&[1_u32, 1000, 3_600_000]);
            self.world.now = self.world.now + Duration::from_millis(u64::from(ahead));
            self.world.tell(|| format!("the clock jumps ahead by {ahead} ms"));
        }
    }

    /// Reports readiness of a source that is open, or was open, or never will be.
    fn say_something_is_ready(&mut self) {
        let rng = &mut self.world.rng;
        let most = u32::try_from(self.world.sources.places()).unwrap_or(u32::MAX);
        let index = rng.below(most.saturating_add(2));
        let interest = *rng.pick(&[Interest::RECV, Interest::SEND, Interest::RECV | Interest::SEND]);
        let there = self.world.sources.at(index as usize).map(|(id, entry)| (id, *entry));
        let (source, role) = match there {
            Some((id, entry)) if self.world.rng.below(2) == 0 => (id, Some(entry.role)),
            // The id of an earlier or later source in this slot.
            Some((id, _)) => (SourceId::from_bits(id.to_bits() ^ 2 << 32), None),
            None => (SourceId::from_bits(u64::from(index) | 1 << 32), None),
        };
        match role {
            Some(role) => self.say_ready(source, role, interest),
            None => self.expect_nothing("promise 5: news of a closed source", |kernel| {
                kernel.ready(source, interest | Interest::HANGUP);
            }),
        }
    }

    fn name_somebody(&mut self) {
        let (kernel, world) = self.kernel();
        if let Some(task) = nth_task(kernel, world) {
            world.tell(|| format!("task {task} is named without a reason"));
            world.say_name(kernel, task);
        }
    }

    fn cancel_somebody(&mut self) {
        let acceptor = self.acceptor();
        let (kernel, world) = self.kernel();
        let Some(task) = nth_task(kernel, world).filter(|task| *task != acceptor) else { return };
        // A lingering task is skipped: no `Peer` has it as its `task`.
        let Some(peer) = world.peers.iter_mut().find(|peer| peer.task == Some(task)) else { return };
        peer.cancelled = true;
        world.tell(|| format!("task {task} is cancelled"));
        world.say_cancel(kernel, task);
        let said_so = kernel.state(task) == Some(TaskState::Ready);
        if !said_so {
            world.wrong(format!("promise 6: task {task} is cancelled, and still waits"));
        }
    }

    fn end_what_is_gone(&mut self) {
        let count = u32::try_from(self.world.old_jobs.len()).unwrap_or(0);
        if count == 0 {
            return;
        }
        let job = self.world.old_jobs[self.world.rng.below(count) as usize];
        self.expect_nothing("promise 5: news of a job that has ended", |kernel| kernel.job_done(job));
    }

    /// Runs `act`, which must not change the state of any task.
    fn expect_nothing(&mut self, what: &str, act: impl FnOnce(&mut Kernel<Limits>)) {
        let (kernel, world) = self.kernel();
        let before: Vec<_> = kernel.tasks().map(|task| (task.id, task.state)).collect();
        act(kernel);
        let after = kernel.tasks().map(|task| (task.id, task.state));
        if !after.eq(before) {
            world.wrong(format!("{what} has changed the state of a task"));
        }
    }
}

/// Returns a random task.
fn nth_task<S: Service, T: ClientModel>(kernel: &Kernel<Limits>, world: &mut World<S, T>) -> Option<TaskId> {
    let count = u32::try_from(kernel.count()).unwrap_or(0);
    kernel.tasks().nth(world.rng.below(count) as usize).map(|task| task.id)
}

impl<S: Service, T: ClientModel> World<S, T> {
    /// Lets time pass in the middle of a slow step.
    pub(crate) fn dawdle(&mut self) {
        if self.rng.strikes(self.plan.faults.slow_steps) {
            // The span is longer than most deadlines, or shorter than most.
            let most = *self.rng.pick(&[LONG, LONG / 10, LONG / 100]);
            let span = Duration::from_nanos(self.rng.between(1, most).into());
            self.tell(|| format!("the step takes {} µs", span.as_micros()));
            self.pass_in_step(span);
        }
    }

    /// Returns the time of the clock, which goes back at times.
    pub(crate) fn clock(&mut self) -> Instant {
        if self.rng.strikes(self.plan.faults.jumps) {
            let back = u64::from(self.rng.below(1_000_000_000));
            return Instant::from_nanos(self.now.as_nanos().saturating_sub(back));
        }
        self.now
    }
}
