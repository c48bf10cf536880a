//! The poller: the interests of the kernel, and the readiness of sources.

use sinbin_core::{Interest, Service, SourceId, Task};

use crate::client_model::ClientModel;
use crate::rng::Rng;
use crate::run::Simulation;
use crate::story::ready_to;
use crate::world::{Role, World};

impl<S, T, M> Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
    M: FnMut(&mut Rng) -> T,
{
    /// Applies the kernel's changes of interest to its sources.
    pub(crate) fn watch(&mut self) {
        while let Some((source, interest)) = self.executor.kernel.next_change() {
            match self.world.entry(source) {
                Some(entry) => entry.watched = interest,
                None => self
                    .world
                    .wrong(format!("promise 5: the kernel watches source {source}, which is closed")),
            }
            self.world.list(source);
        }
        let World { promises, sources, .. } = &self.world;
        let watched = |source| sources.get(source).map_or(Interest::NONE, |entry| entry.watched);
        if let Err(broken) = promises.after_changes(&self.executor.kernel, watched) {
            self.world.wrong(broken);
        }
    }

    /// Polls the sources, level-triggered. Returns true if readiness was reported.
    pub(crate) fn poll(&mut self) -> bool {
        let mut listed = std::mem::take(&mut self.world.listed);
        if self.world.rng.strikes(self.world.plan.faults.disorder) {
            shuffle(&mut listed, &mut self.world.rng);
        }
        let (mut said, mut has_looked) = (false, true);
        listed.retain(|source| {
            let Some(entry) = self.world.entry(*source).map(|entry| *entry) else { return false };
            let is_watched = !entry.watched.is_empty();
            let watched = if is_watched { entry.watched | Interest::HANGUP } else { Interest::NONE };
            let report = self.world.readiness(entry.role) & watched;
            if report.is_empty() {
                self.world.entry(*source).into_iter().for_each(|entry| entry.is_listed = false);
                return false;
            }
            if self.world.rng.strikes(self.world.plan.faults.late) {
                has_looked = false;
            } else {
                said = true;
                self.say_ready(*source, entry.role, report);
                if self.world.rng.strikes(self.world.plan.faults.doubled) {
                    self.say_ready(*source, entry.role, report);
                }
            }
            true
        });
        // Append the sources that were listed meanwhile.
        listed.append(&mut self.world.listed);
        self.world.listed = listed;
        self.has_looked |= has_looked;
        said
    }

    /// Reports the readiness of a source to the kernel, and checks that the task that waits for it becomes ready.
    pub(crate) fn say_ready(&mut self, source: SourceId, role: Role, report: Interest) {
        let Self { executor, world, acceptor, .. } = self;
        world.tell(|| format!("source {source} is ready: {}", ready_to(report)));
        world.story.add(source.to_bits() ^ u64::from(report.bits()) << 60);
        world.say_ready(&mut executor.kernel, source, report);
        let task = match role {
            Role::Listener => Some(*acceptor),
            Role::Peer(number) => world.peers[number].task,
            Role::Lingering(number) => world.peers[number].lingering,
        };
        if let Err(broken) = world.promises.after_ready(&executor.kernel, task, source, report) {
            world.wrong(broken);
        }
    }
}

fn shuffle<X>(items: &mut [X], rng: &mut Rng) {
    for last in (1..items.len()).rev() {
        // The decision 0 leaves the order unchanged.
        let other = last - rng.below(u32::try_from(last + 1).unwrap_or(u32::MAX)) as usize;
        items.swap(last, other);
    }
}
