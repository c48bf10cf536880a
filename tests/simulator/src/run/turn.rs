//! A turn of the tasks, and the work of a host between the turn and the poll of its sources.

use sinbin_core::{Instant, Interest, Linger, Service, Task};

use crate::client_model::ClientModel;
use crate::rng::Rng;
use crate::run::Simulation;
use crate::tasks::SimTask;
use crate::world::{Role, World};

impl<S, T, M> Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
    M: FnMut(&mut Rng) -> T,
{
    /// Runs a turn of the tasks, and checks the promises around it.
    pub(crate) fn turn(&mut self) {
        let has_looked = std::mem::take(&mut self.has_looked);
        let Self { executor, world, .. } = self;
        let now = world.clock();
        let tasks = executor.kernel.count();
        world.promises.begin_turn(&executor.kernel, now, has_looked);
        let steps = if has_looked { executor.turn(now, world) } else { executor.turn_unpolled(now, world) };
        world.report.turns += 1;
        if steps > tasks {
            world.wrong(format!("promise 3: {tasks} tasks had {steps} steps in one turn"));
        }
        if let Err(broken) = world.promises.end_turn(&executor.kernel) {
            world.wrong(broken);
        }
    }

    /// Does the work of a host between two turns: lingering connections, slices of jobs, and acceptors that wait for
    /// capacity.
    pub(crate) fn settle(&mut self) {
        let now = self.world.now;
        for number in std::mem::take(&mut self.world.to_linger) {
            if !self.linger(number, now) {
                // Without capacity for lingering, the socket is closed at once.
                self.world.close_socket(number);
            }
        }
        let World { work, rng, slice, .. } = &mut self.world;
        if let Some(job) = work.slice(*slice, rng) {
            self.world.say_done(&mut self.executor.kernel, job);
        }
        // A real host would do this less often.
        self.executor.reset_peak();
        self.executor.decommit(usize::MAX);
        self.relieve();
        if self.world.stopping {
            self.drain();
        }
    }

    /// Notifies an acceptor that found no capacity when a connection has been closed since.
    fn relieve(&mut self) {
        let is_relieved = std::mem::take(&mut self.world.relieved);
        if is_relieved
            && std::mem::take(&mut self.world.crowded)
            && let Some(listener) = self.world.listener
        {
            self.world.say_ready(&mut self.executor.kernel, listener, Interest::HANGUP);
        }
    }

    fn linger(&mut self, number: usize, now: Instant) -> bool {
        let Ok(source) = self.executor.kernel.open() else { return false };
        self.world.insert(source, Role::Lingering(number));
        let Ok(task) = self.executor.spawn(SimTask::Linger(Linger::new(source, now), source)) else {
            self.world.say_closed(&mut self.executor.kernel, source);
            return false;
        };
        let peer = &mut self.world.peers[number];
        (peer.source, peer.lingering) = (Some(source), Some(task));
        peer.lingers_until = now + Linger::PATIENCE;
        true
    }

    /// Drains the service: closes the listener when the backlog is empty, and wakes connections that wait for input, so
    /// that idle ones close.
    pub(crate) fn drain(&mut self) {
        if let Some(listener) = self.world.listener.filter(|_| self.world.backlog.is_empty()) {
            self.world.say_closed(&mut self.executor.kernel, listener);
            self.world.listener = None;
        }
        for index in 0..self.world.sources.places() {
            if let Some((id, entry)) = self.world.sources.at(index) {
                let is_served = matches!(entry.role, Role::Peer(_));
                if is_served {
                    self.world.say_ready(&mut self.executor.kernel, id, Interest::RECV);
                }
            }
        }
    }
}
