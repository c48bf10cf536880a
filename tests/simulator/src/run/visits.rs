//! Visits of clients, one after another. When the plan's number is reached, the run must come to its end.

use sinbin_core::{Service, Task};

use crate::client_model::ClientModel;
use crate::peer::Phase;
use crate::report::Report;
use crate::rng::Rng;
use crate::run::Simulation;
use crate::world::World;
use crate::world::rest::tasks;

/// The most turns for each of the plan's steps before faults end. A run with more turns spins.
const MOST_TURNS: u64 = 1000;

/// The most turns without progress after faults have ended.
const PATIENCE: u64 = 2000;

impl<S, T, M> Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
    M: FnMut(&mut Rng) -> T,
{
    /// Replaces a client that has left, if another visit is due.
    pub(crate) fn welcome(&mut self, number: usize) {
        if self.visits >= self.engine.platform.plan.visits
            || self.calm_since.is_some()
            || self.engine.platform.is_to_stop
            || self.engine.platform.is_over
        {
            return;
        }
        self.visits += 1;
        let client_model = (self.talks)(&mut self.engine.platform.rng);
        self.engine.platform.next_visit(number, client_model);
    }

    /// Replaces clients that have left, and ends the faults and the service when the plan says so.
    pub(crate) fn go_on(&mut self) {
        let steps = self.engine.platform.promises.steps;
        if self.calm_since.is_none() && steps >= self.engine.platform.plan.steps {
            self.calm_down();
        }
        if self.engine.platform.plan.stops_at.is_some_and(|at| steps >= at) {
            self.engine.platform.stop();
        }
        if self.engine.platform.plan.ends_at.is_some_and(|at| steps >= at) {
            self.engine.platform.is_over = true;
        }
        for number in 0..self.engine.platform.peers.len() {
            let peer = &mut self.engine.platform.peers[number];
            if peer.phase == Phase::Connected && peer.is_over() {
                peer.phase = Phase::Over;
                self.welcome(number);
            }
        }
        let has_left = |phase| matches!(phase, Phase::Over);
        if self.engine.platform.peers.iter().all(|peer| has_left(peer.phase)) {
            self.engine.platform.stop();
        }
        self.expect_an_end();
    }

    /// Checks that there is progress: a run must not spin, and must come to its end when no more faults happen.
    fn expect_an_end(&mut self) {
        let Report { turns, received, sent, connections, jobs, .. } = self.engine.platform.report;
        let came_about = received + sent + connections + jobs;
        match &mut self.calm_since {
            None if turns / MOST_TURNS > self.engine.platform.plan.steps => {
                self.engine.platform.wrong("the run makes many turns without progress".to_owned());
            }
            None => {}
            Some((since, before)) if *before < came_about => (*since, *before) = (turns, came_about),
            Some((since, _)) if turns > *since + PATIENCE => {
                self.engine.platform.check_ends_passed_on();
                let tasks = tasks(&self.engine.executor.kernel);
                self.engine.platform.wrong(format!("no progress, although no more faults happen:{tasks}"));
            }
            Some(_) => {}
        }
    }

    pub(crate) fn calm_down(&mut self) {
        self.engine.platform.tell(|| "no more faults from here on".to_owned());
        self.calm_since = Some((self.engine.platform.report.turns, 0));
        self.engine.platform.rng.calm_down();
        self.engine.platform.calm_upstreams();
        for number in 0..self.engine.platform.peers.len() {
            self.engine.platform.peers[number].calm_down();
            self.engine.platform.peers[number].asleep_until = 0;
            self.engine.platform.rouse(number);
            if let Some(source) = self.engine.platform.peers[number].source {
                self.engine.platform.list(source);
            }
        }
    }
}
