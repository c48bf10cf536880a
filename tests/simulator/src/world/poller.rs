//! The poller: applies the kernel's changes of interest, and reports which sources are ready.

use sinbin_core::serve::Until;
use sinbin_core::{Interest, Kernel, Limits, Service, SourceId};

use crate::client_model::ClientModel;
use crate::rng::Rng;
use crate::story::ready_to;
use crate::upstream::Upstream;
use crate::world::{Role, World};

impl<S: Service, T: ClientModel> World<S, T> {
    /// Applies the kernel's changes of interest.
    pub(crate) fn watch(&mut self, kernel: &mut Kernel<Limits>) {
        while let Some((source, interest)) = kernel.next_change() {
            match self.entry(source) {
                Some(entry) => entry.watched = interest,
                None => self.wrong(format!("promise 5: source {source} is to be watched, and is gone")),
            }
            self.list(source);
        }
        let watched = |source| self.sources.get(source).map_or(Interest::NONE, |entry| entry.watched);
        if let Err(broken) = self.promises.after_changes(kernel, watched) {
            self.wrong(broken);
        }
    }

    /// Polls the sources, level-triggered. The results are true if a source was ready, and if all were polled.
    pub(crate) fn poll(&mut self, kernel: &mut Kernel<Limits>, until: Until) -> (bool, bool) {
        let mut listed = std::mem::take(&mut self.listed);
        if self.rng.strikes(self.plan.faults.disorder) {
            shuffle(&mut listed, &mut self.rng);
        }
        let (mut said, mut has_looked) = (false, true);
        listed.retain(|source| {
            let Some(entry) = self.entry(*source).map(|entry| *entry) else { return false };
            let is_watched = !entry.watched.is_empty();
            let watched = if is_watched { entry.watched | Interest::HANGUP } else { Interest::NONE };
            let report = self.readiness(entry.role) & watched;
            if report.is_empty() {
                self.entry(*source).into_iter().for_each(|entry| entry.is_listed = false);
                return false;
            }
            if self.rng.strikes(self.plan.faults.late) {
                // A poll that misses recent input counts as complete within the settle time, except when a deadline is
                // due.
                has_looked &= until != Until::Due && self.is_young(entry.role);
            } else {
                said = true;
                self.say_ready_of(kernel, *source, entry.role, report);
                if self.rng.strikes(self.plan.faults.doubled) {
                    self.say_ready_of(kernel, *source, entry.role, report);
                }
            }
            true
        });
        // Sources that were listed in the meantime are appended.
        listed.append(&mut self.listed);
        self.listed = listed;
        (said, has_looked)
    }

    /// Returns true if the source became ready within the settle time, so that the system may not have noticed yet.
    fn is_young(&self, role: Role) -> bool {
        let since = match role {
            Role::Listener => self.backlog.front().map(|number| self.peers[*number].came_at),
            Role::Peer(number) | Role::Lingering(number) => self.peers[number].known_since(),
            Role::Upstream(number) => self.outgoing.upstreams.get(&number).and_then(Upstream::ready_since),
        };
        since.is_some_and(|since| self.now < since + self.plan.settle)
    }

    /// Reports to the kernel that a source is ready, and checks that the task that waits for it becomes ready.
    pub(super) fn say_ready_of(
        &mut self,
        kernel: &mut Kernel<Limits>,
        source: SourceId,
        role: Role,
        report: Interest,
    ) {
        self.tell(|| format!("source {source} is ready: {}", ready_to(report)));
        self.story.add(source.to_bits() ^ u64::from(report.bits()) << 60);
        self.say_ready(kernel, source, report);
        self.check_ready(kernel, source, role, report);
    }

    /// Checks that no task still waits for the readiness that was reported to the kernel.
    pub(super) fn check_ready(
        &mut self,
        kernel: &Kernel<Limits>,
        source: SourceId,
        role: Role,
        report: Interest,
    ) {
        let task = match role {
            Role::Listener => self.acceptor,
            Role::Peer(number) => self.peers[number].task,
            Role::Lingering(number) => self.peers[number].lingering,
            Role::Upstream(number) => self.outgoing.upstreams.get(&number).and_then(|upstream| upstream.task),
        };
        if let Err(broken) = self.promises.after_ready(kernel, task, source, report) {
            self.wrong(broken);
        }
    }
}

fn shuffle<X>(items: &mut [X], rng: &mut Rng) {
    for last in (1..items.len()).rev() {
        // The decision 0 leaves each item at its index.
        let other = last - rng.below(u32::try_from(last + 1).unwrap_or(u32::MAX)) as usize;
        items.swap(last, other);
    }
}
