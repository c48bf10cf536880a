//! The loop of a scripted run, one round at a time.

use sinbin_core::serve::Until;
use sinbin_core::{Instant, Kernel, Limits, Service, Task};

use crate::client_model::ClientModel;
use crate::rng::Rng;
use crate::run::Simulation;
use crate::world::World;

/// The duration of a round in nanoseconds.
const ROUND: u64 = 1000;

/// The duration of a job's unit in nanoseconds. The machine is slow, which leaves more time for other events.
const UNIT: u64 = 10;

/// A round of a script.
#[derive(Clone, Copy)]
pub(crate) struct Scene {
    /// The time at which the round ends at the latest.
    until: Instant,
    /// The number of steps before the round.
    steps: u64,
    /// Set if something has happened, or if more work is pending.
    has_moved: bool,
}

impl<S, T, M> Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
    M: FnMut(&mut Rng) -> T,
{
    /// Runs a turn, and the events after it. If neither does anything, time passes until the next event or deadline,
    /// but at most until `until`. Returns true if something happened.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        let steps = self.engine.platform.promises.steps;
        self.engine.platform.scene = Some(Scene { until, steps, has_moved: true });
        let is_served = self.round();
        let scene = self.engine.platform.scene.take();
        if !is_served {
            let kernel = &mut self.engine.executor.kernel;
            return self.engine.platform.jump(kernel, Instant::NEVER, until);
        }
        scene.is_some_and(|scene| scene.has_moved) && self.engine.platform.wrong.is_none()
    }
}

impl<S: Service, T: ClientModel> World<S, T> {
    /// Waits in a round of a script: only for a moment if something has happened, since clients may respond to that.
    pub(crate) fn rest_in_scene(&mut self, kernel: &mut Kernel<Limits>, until: Until) -> bool {
        self.watch(kernel);
        let (said, has_looked) = self.poll(kernel, until);
        let Some(scene) = self.scene else { return has_looked };
        let is_busy = self.work.is_busy();
        let something = said || self.promises.steps > scene.steps || self.is_newly_to_stop();
        let has_moved = match until {
            _ if self.wrong.is_some() => false,
            Until::At(deadline) if !is_busy && !something => self.jump(kernel, deadline, scene.until),
            _ => {
                self.pass(kernel, if is_busy { self.slice_nanos() } else { ROUND });
                self.pass_some(kernel, 8);
                true
            }
        };
        self.scene = Some(Scene { has_moved, ..scene });
        has_looked
    }

    /// Lets time pass until the next event or the deadline, but at most until `until`. Returns true if either has come.
    fn jump(&mut self, kernel: &mut Kernel<Limits>, deadline: Instant, until: Instant) -> bool {
        let next = self.next_event().unwrap_or(Instant::NEVER).min(deadline);
        let is_before = next <= until && next != Instant::NEVER;
        let next = if is_before { next } else { until };
        let is_early = is_before && next == deadline && self.rng.strikes(self.plan.faults.early);
        let next = next.as_nanos().saturating_sub(is_early.into());
        self.now = self.now.max(Instant::from_nanos(next));
        self.pass(kernel, 0);
        is_before
    }

    /// Returns the virtual time that a slice takes; 0 if slices take no time.
    pub(crate) fn slice_nanos(&self) -> u64 {
        self.slice.map_or(0, |units| u64::from(units) * UNIT)
    }
}
