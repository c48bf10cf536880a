//! The loop of a scripted run, one round at a time.

use std::cmp::Reverse;
use std::time::Duration;

use sinbin_core::{Instant, Rest, Service, Task};

use crate::client_model::ClientModel;
use crate::rng::Rng;
use crate::run::Simulation;
use crate::world::World;

/// The duration of a round in nanoseconds.
const ROUND: u64 = 1000;

/// The duration of a job's unit in nanoseconds. The machine is slow, which leaves more time for other events.
const UNIT: u64 = 10;

impl<S, T, M> Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
    M: FnMut(&mut Rng) -> T,
{
    /// Runs a turn, and the events after it. If neither does anything, time passes until the next event or deadline,
    /// but at most until `until`. Returns true if something happened.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        let before = self.world.promises.steps;
        self.turn();
        self.settle();
        self.inject_faults();
        self.watch();
        let rest = self.executor.kernel.rest();
        let said = self.poll();
        let is_busy = self.world.work.is_busy();
        // Clients may react to the step of a task.
        let something = said || rest == Rest::Ready || self.world.promises.steps > before;
        match rest {
            _ if self.world.wrong.is_some() => false,
            Rest::Stalled => {
                self.world.wrong("promise 8: all tasks wait for each other".to_owned());
                false
            }
            _ if is_busy || something => {
                self.pass(if is_busy { self.world.slice_nanos() } else { ROUND });
                self.pass_some(8);
                true
            }
            Rest::Until(deadline) => self.jump(deadline, until),
            Rest::Ready | Rest::Empty => self.jump(Instant::NEVER, until),
        }
    }

    /// Lets time pass until the next event or the deadline, but at most until `until`. Returns true if one of them was
    /// reached.
    fn jump(&mut self, deadline: Instant, until: Instant) -> bool {
        let next = self.next_event().unwrap_or(Instant::NEVER).min(deadline);
        let is_before = next <= until && next != Instant::NEVER;
        let next = if is_before { next } else { until };
        let is_early = is_before && next == deadline && self.world.rng.strikes(self.world.plan.faults.early);
        let next = next.as_nanos().saturating_sub(is_early.into());
        self.world.now = self.world.now.max(Instant::from_nanos(next));
        self.pass(0);
        is_before
    }

    /// Returns the time of the next event, regardless of the tasks' deadlines.
    pub(crate) fn next_event(&self) -> Option<Instant> {
        let event = self.world.events.peek().map(|Reverse((at, ..))| Instant::from_nanos(*at));
        // A source is ready, and the poller is late to report it.
        let later = (!self.world.listed.is_empty()).then(|| self.world.now + Duration::from_micros(1));
        [event, later].into_iter().flatten().min()
    }
}

impl<S: Service, T: ClientModel> World<S, T> {
    /// Returns the time that a slice takes, which is 0 without a fixed slice.
    pub(crate) fn slice_nanos(&self) -> u64 {
        self.slice.map_or(0, |units| u64::from(units) * UNIT)
    }
}
