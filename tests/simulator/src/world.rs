//! The world of a run: sources, clients, jobs and scheduled events.
//!
//! Tasks see [`sockets`], which are queues in memory, [`jobs`], and a clock, which is a number. The peers of the
//! sockets are [`clients`], and the upstreams of outgoing [`calls`], whose [`names`] the service may resolve itself and
//! whose sockets are [`upstream_sockets`]; [`relay`] is the oracle of services that call out. The engine uses the world as
//! its [`platform`]: a [`poller`], and a wait ([`rest`]) in which time passes. Events are reported to the kernel as
//! [`news`]. Faults are injected between turns ([`fault_injection`]), and the promises are checked around each of the
//! tasks' [`steps`].

pub(crate) mod calls;
mod clients;
mod fault_injection;
mod jobs;
mod names;
mod news;
mod platform;
mod poller;
pub(crate) mod relay;
pub(crate) mod rest;
mod sockets;
mod steps;
mod upstream_sockets;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use sinbin_core::kernel::IdMap;
use sinbin_core::serve::Admission;
use sinbin_core::{Instant, Interest, JobId, Readiness, Service, SourceId, TaskId, WakeReason};

use crate::client_model::ClientModel;
use crate::evidence::Evidence;
use crate::network::Flaw;
use crate::peer::Peer;
use crate::plan::{Computes, Plan};
use crate::promises::Promises;
use crate::report::Report;
use crate::rng::Rng;
use crate::scripted::Scene;
use crate::story::Story;
use crate::upstream::{Line, Upstream};
use crate::work::Work;
use crate::world::calls::{Outgoing, UpstreamId};
use crate::world::platform::Serving;
use crate::world::steps::Owner;

/// A scheduled event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Event {
    /// A client acts.
    Act(usize),
    /// A job's computing time has passed.
    Job(JobId),
    /// An upstream acts, or an attempt to connect to it goes on.
    Upstream(UpstreamId),
}

/// The role of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Listener,
    Peer(usize),
    /// The server has closed the connection. Further input is discarded.
    Lingering(usize),
    /// A connection that the service has requested, or an attempt to connect.
    Upstream(UpstreamId),
}

/// A source, as a level-triggered poller knows it.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) role: Role,
    pub(crate) watched: Interest,
    /// True if the source is on the list of those that may be ready.
    pub(crate) is_listed: bool,
}

/// The host of a simulated run of the service `S`, whose clients follow the model `T`. A service can run here if its
/// tasks require no more of a host than [`Host`](sinbin_core::Host), [`Serves`](sinbin_core::Serves) and
/// [`Jobs`](sinbin_core::exec::Jobs) (or, for `async fn`s, [`AsyncHost`](sinbin_core::task::AsyncHost)).
pub struct World<S: Service, T> {
    pub(crate) service: S,
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    /// The virtual time.
    pub(crate) now: Instant,
    pub(crate) events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    pub(crate) peers: Vec<Peer<T>>,
    pub(crate) backlog: VecDeque<usize>,
    pub(crate) outgoing: Outgoing,
    pub(crate) listener: Option<SourceId>,
    pub(crate) sources: IdMap<SourceId, Entry>,
    /// Sources that may be ready.
    pub(crate) listed: Vec<SourceId>,
    /// The purpose of each task, and the task that accepts.
    owners: IdMap<TaskId, Owner>,
    acceptor: Option<TaskId>,
    /// The task that runs a step, and its wake reason.
    running: Option<(TaskId, WakeReason)>,
    /// The count of connections, for the engine.
    room: Admission<usize>,
    /// The state of the engine, as the world knows it.
    serving: Serving,
    /// The current round of a script.
    pub(crate) scene: Option<Scene>,
    pub(crate) work: Work<S::Job>,
    /// The units of a job that are computed before time passes, or `None` for a random number.
    pub(crate) slice: Option<u32>,
    pub(crate) old_jobs: VecDeque<JobId>,
    /// Set if the program has ended.
    pub(crate) is_over: bool,
    /// Set if the service was asked to stop, and set once the drain has begun.
    pub(crate) is_to_stop: bool,
    pub(crate) stopping: bool,
    /// True if tasks may read the clock, and notice in any step that a deadline has passed.
    pub(crate) tasks_read_clocks: bool,
    pub(crate) promises: Promises,
    /// The news that the kernel has received.
    pub(crate) evidence: Evidence,
    pub(crate) story: Story,
    pub(crate) report: Report,
    /// The first violation.
    pub(crate) wrong: Option<String>,
}

impl<S: Service, T: ClientModel> World<S, T> {
    pub(crate) fn new(service: S, plan: &Plan, rng: Rng, story: Story) -> Self {
        let work = match plan.computes {
            Computes::Slices => Work::slices(&plan.capacity.limits()),
            Computes::Workers(threads) => Work::threads(threads),
        };
        Self {
            service,
            plan: plan.clone(),
            rng,
            now: Instant::ZERO,
            events: BinaryHeap::new(),
            scheduled: 0,
            peers: Vec::new(),
            backlog: VecDeque::new(),
            outgoing: Outgoing::default(),
            listener: None,
            sources: IdMap::new(),
            listed: Vec::new(),
            owners: IdMap::new(),
            acceptor: None,
            running: None,
            room: Admission::new(plan.capacity.connections),
            serving: Serving::new(),
            scene: None,
            work,
            slice: None,
            old_jobs: VecDeque::new(),
            is_over: false,
            is_to_stop: false,
            stopping: false,
            tasks_read_clocks: true,
            promises: Promises::default(),
            evidence: Evidence::default(),
            story,
            report: Report::default(),
            wrong: None,
        }
    }

    /// Records a violation, which ends the run after this turn.
    #[cold]
    pub(crate) fn wrong(&mut self, what: String) {
        self.story.tell(self.now, || format!("WRONG: {what}"));
        self.wrong.get_or_insert(what);
    }

    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        self.story.tell(self.now, what);
    }

    pub(crate) fn schedule(&mut self, after: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((self.now.as_nanos().saturating_add(after), self.scheduled, event)));
    }

    pub(crate) fn insert(&mut self, id: SourceId, role: Role) {
        self.sources.insert(id, Entry { role, watched: Interest::NONE, is_listed: false });
        self.evidence.opened(id);
    }

    /// Removes a source that is closed. Returns its entry if the source was open.
    pub(crate) fn forget(&mut self, id: SourceId) -> Option<Entry> {
        let entry = self.sources.remove(id);
        self.evidence.closed(id);
        entry
    }

    pub(crate) fn entry(&mut self, id: SourceId) -> Option<&mut Entry> {
        self.sources.get_mut(id)
    }

    pub(crate) fn readiness(&self, role: Role) -> Readiness {
        match role {
            Role::Listener if self.backlog.is_empty() => Interest::NONE,
            Role::Listener => Interest::RECV,
            Role::Peer(number) | Role::Lingering(number) => self.peers[number].readiness(),
            Role::Upstream(number) => {
                let upstream = self.outgoing.upstreams.get(&number);
                let is_forgotten =
                    |line| matches!(line, Line::Failed(_)) && self.outgoing.has_flaw(Flaw::ForgetsFailures);
                let upstream = upstream.filter(|upstream| !is_forgotten(upstream.line));
                upstream.map_or(Interest::NONE, Upstream::readiness)
            }
        }
    }

    /// Lists a source that has changed for the next poll.
    pub(crate) fn list(&mut self, id: SourceId) {
        let now = self.now;
        match self.entry(id).map(|entry| entry.role) {
            Some(Role::Peer(number) | Role::Lingering(number)) => self.peers[number].note(now),
            Some(Role::Upstream(number)) => {
                self.outgoing.upstreams.get_mut(&number).into_iter().for_each(|upstream| upstream.note(now));
            }
            Some(Role::Listener) | None => {}
        }
        if let Some(entry) = self.entry(id)
            && !entry.is_listed
        {
            entry.is_listed = true;
            self.listed.push(id);
        }
    }
}
