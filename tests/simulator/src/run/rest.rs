//! The rest between two turns, in which time passes until something happens.

use std::cmp::Reverse;
use std::time::Duration;

use sinbin_core::{Instant, Rest, Service, Task};

use crate::client_model::ClientModel;
use crate::rng::Rng;
use crate::run::Simulation;
use crate::world::{Event, World};

/// The duration of slow operations, in nanoseconds: longer than most deadlines.
pub(crate) const LONG: u32 = 10_000_000;

impl<S, T, M> Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
    M: FnMut(&mut Rng) -> T,
{
    /// Waits for the next event, and reports it to the kernel.
    pub(crate) fn wait(&mut self) {
        loop {
            self.watch();
            let rest = self.executor.kernel.rest();
            let said = self.poll();
            match rest {
                _ if self.world.wrong.is_some() => return,
                Rest::Ready => return self.come_back(),
                _ if said || self.world.work.is_busy() => return self.come_back(),
                Rest::Empty if self.world.events.is_empty() => return,
                Rest::Stalled => {
                    return self.world.wrong("promise 8: all tasks wait for each other".to_owned());
                }
                Rest::Until(_) | Rest::Empty => {}
            }
            let deadline = if let Rest::Until(deadline) = rest { deadline } else { Instant::NEVER };
            if !self.sleep(deadline) {
                return;
            }
        }
    }

    /// Lets time pass until the deadline, or until the next event. Returns true if the sources must be polled again
    /// first. Otherwise the deadline has passed, the wait was interrupted, or there is nothing to wait for.
    fn sleep(&mut self, deadline: Instant) -> bool {
        let event = self.world.events.peek().map(|Reverse((at, ..))| Instant::from_nanos(*at));
        let is_listed = !self.world.listed.is_empty();
        let later = is_listed.then(|| self.world.now + Duration::from_micros(1));
        let next = [event, later].into_iter().flatten().min().unwrap_or(Instant::NEVER).min(deadline);
        if next == Instant::NEVER {
            // The remaining tasks wait for clients that never send anything again.
            if self.world.stopping {
                let tasks = self.tasks();
                self.world
                    .wrong(format!("the service was asked to stop, and these tasks wait for ever:{tasks}"));
            }
            self.stop();
            return false;
        }
        let rng = &mut self.world.rng;
        if rng.strikes(self.world.plan.faults.interrupted) {
            let span = u32::try_from(next.since(self.world.now).as_nanos()).unwrap_or(u32::MAX);
            let span = rng.below(span);
            self.pass(span.into());
            return false;
        }
        if rng.strikes(self.world.plan.faults.oversleeps) {
            let late = rng.between(1, LONG);
            let span = next.since(self.world.now) + Duration::from_nanos(late.into());
            self.world.tell(|| "the host sleeps for longer than it should".to_owned());
            self.pass(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
            return false;
        }
        let is_early = next == deadline && self.world.rng.strikes(self.world.plan.faults.early);
        let next = if is_early { Instant::from_nanos(next.as_nanos().saturating_sub(1)) } else { next };
        self.world.now = self.world.now.max(next);
        if is_early {
            return false;
        }
        if deadline <= self.world.now {
            return false;
        }
        self.pass_some(1);
        true
    }

    /// Ends the wait after the poll, so that the next turn can begin.
    fn come_back(&mut self) {
        if self.world.rng.strikes(self.world.plan.faults.slow_looks) {
            let span = self.world.rng.between(1, LONG);
            self.world.tell(|| format!("the host takes {} µs after its poll", span / 1000));
            self.pass(span.into());
        }
        self.pass_some(8);
    }

    /// Lets a random time pass, at most the plan's `haste` divided by `share`.
    pub(crate) fn pass_some(&mut self, share: u32) {
        let haste = self.world.plan.haste / share;
        let nanos = self.world.rng.between(0, haste);
        self.pass(nanos.into());
    }

    /// Lets this number of nanoseconds pass, and runs the events that are due in that time.
    pub(crate) fn pass(&mut self, nanos: u64) {
        let until = self.world.now.as_nanos().saturating_add(nanos);
        while let Some(Reverse((at, _, event))) = self.world.events.peek().copied()
            && at <= until
        {
            self.world.events.pop();
            self.world.now = self.world.now.max(Instant::from_nanos(at));
            match event {
                Event::Act(number) => self.world.act(number),
                Event::Job(job) => self.world.end_job(&mut self.executor.kernel, job),
            }
        }
        self.world.now = self.world.now.max(Instant::from_nanos(until));
    }
}
