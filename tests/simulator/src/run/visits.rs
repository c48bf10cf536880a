//! Clients come one after another, until it is enough; then everything has to come to an end.

use sinbin_core::{Service, Task};

use crate::client_model::ClientModel;
use crate::peer::Phase;
use crate::report::Report;
use crate::rng::Rng;
use crate::run::Simulation;
use crate::world::World;

/// Turns for each step that a run may have before luck turns: with more, it spins.
const MOST_TURNS: u64 = 1000;

/// After luck has turned, something comes about in so many turns.
const PATIENCE: u64 = 2000;

impl<S, T, M> Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
    M: FnMut(&mut Rng) -> T,
{
    /// A client in the place of one that has gone, if there is still one to come.
    pub(crate) fn welcome(&mut self, number: usize) {
        if self.visits >= self.world.plan.visits || self.calm_since.is_some() || self.world.stopping {
            return;
        }
        self.visits += 1;
        let client_model = (self.talks)(&mut self.world.rng);
        self.world.next_visit(number, client_model);
    }

    /// New clients for those who have gone; and what the plan says of the end.
    pub(crate) fn go_on(&mut self) {
        let steps = self.world.promises.steps;
        if self.calm_since.is_none() && steps >= self.world.plan.steps {
            self.calm_down();
        }
        if self.world.plan.stops_at.is_some_and(|at| steps >= at) {
            self.stop();
        }
        for number in 0..self.world.peers.len() {
            let peer = &mut self.world.peers[number];
            if peer.phase == Phase::Connected && peer.is_over() {
                peer.phase = Phase::Over;
                self.welcome(number);
            }
        }
        let has_left = |phase| matches!(phase, Phase::Over);
        if self.world.peers.iter().all(|peer| has_left(peer.phase)) {
            self.stop();
        }
        self.expect_an_end();
    }

    /// When nothing is in the way, everything comes to an end.
    fn expect_an_end(&mut self) {
        let Report { turns, received, sent, connections, jobs, .. } = self.world.report;
        let came_about = received + sent + connections + jobs;
        match &mut self.calm_since {
            None if turns / MOST_TURNS > self.world.plan.steps => {
                self.world.wrong("turn after turn, and nothing is done".to_owned());
            }
            None => {}
            Some((since, before)) if *before < came_about => (*since, *before) = (turns, came_about),
            Some((since, _)) if turns > *since + PATIENCE => {
                let tasks = self.tasks();
                self.world
                    .wrong(format!("nothing comes to an end, though nothing is in the way any more:{tasks}"));
            }
            Some(_) => {}
        }
    }

    pub(crate) fn calm_down(&mut self) {
        self.world.tell(|| "from here on, nothing goes wrong".to_owned());
        self.calm_since = Some((self.world.report.turns, 0));
        self.world.rng.calm_down();
        for number in 0..self.world.peers.len() {
            self.world.peers[number].calm_down();
            self.world.peers[number].asleep_until = 0;
            self.world.rouse(number);
            if let Some(source) = self.world.peers[number].source {
                self.world.list(source);
            }
        }
    }

    pub(crate) fn stop(&mut self) {
        if !self.world.stopping {
            self.world.tell(|| "the service is to stop".to_owned());
            self.world.stopping = true;
            self.drain();
        }
    }
}
