//! What tasks see of a run: sockets that are queues in memory, and a clock that is a number.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use sinbin_core::{
    Failure, Host, Instant, Interest, IoError, JobId, Jobs, Limits, Readiness, Serves, Service, SourceId,
    TaskId,
};

use crate::evidence::Evidence;
use crate::luck::Luck;
use crate::owed::Read;
use crate::peer::{Peer, Phase};
use crate::plan::{Computes, Plan};
use crate::promises::Promises;
use crate::report::Report;
use crate::story::Story;
use crate::talk::Talk;
use crate::tasks::SimTask;
use crate::work::Work;

/// Something that will happen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Event {
    /// A client does something.
    Act(usize),
    /// A job's time is over.
    Job(JobId),
}

/// Whose end a source is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Listener,
    Peer(usize),
    /// The server has closed it; what still comes in is thrown away.
    Lingering(usize),
}

/// A source, as a level-triggered poller knows it.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) id: SourceId,
    pub(crate) role: Role,
    pub(crate) watched: Interest,
    /// It is on the list of those that may be ready.
    pub(crate) is_listed: bool,
}

/// The host of a simulated run of the service `S`, whose clients talk as `T` does. A service's tasks can run here if
/// they ask no more of a host than [`Host`], [`Serves`] and [`Jobs`] (or, for `async fn`s,
/// [`AsyncHost`](sinbin_core::task::AsyncHost)).
pub struct World<S: Service, T> {
    pub(crate) service: S,
    pub(crate) plan: Plan,
    pub(crate) luck: Luck,
    /// What the clock says, which may be wrong; and what time it is.
    pub(crate) now: Instant,
    /// The time of the turn, as the kernel has it.
    pub(crate) turn_at: Instant,
    pub(crate) events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    pub(crate) peers: Vec<Peer<T>>,
    pub(crate) backlog: VecDeque<usize>,
    pub(crate) listener: Option<SourceId>,
    pub(crate) sources: Vec<Option<Entry>>,
    /// Sources that may be ready.
    pub(crate) listed: Vec<SourceId>,
    pub(crate) to_linger: Vec<usize>,
    pub(crate) work: Work<S::Job>,
    /// How much of a job is computed before the clock goes on, in the job's units; else luck says.
    pub(crate) slice: Option<u32>,
    pub(crate) old_jobs: VecDeque<JobId>,
    pub(crate) stopping: bool,
    /// An acceptor found no room; a connection has gone since.
    pub(crate) crowded: bool,
    pub(crate) relieved: bool,
    /// A task may find out by itself that its deadline has come.
    pub(crate) tasks_read_clocks: bool,
    pub(crate) promises: Promises,
    /// What the kernel was told.
    pub(crate) evidence: Evidence,
    pub(crate) story: Story,
    pub(crate) report: Report,
    /// The first thing that was wrong.
    pub(crate) wrong: Option<String>,
}

/// How many jobs of the past are remembered, to be told of again.
const OLD_JOBS: usize = 64;

impl<S: Service, T: Talk> World<S, T> {
    pub(crate) fn new(service: S, plan: &Plan, luck: Luck, story: Story) -> Self {
        let work = match plan.computes {
            Computes::Slices => Work::slices(&plan.rooms.limits()),
            Computes::Workers(threads) => Work::threads(threads),
        };
        Self {
            service,
            plan: plan.clone(),
            luck,
            now: Instant::ZERO,
            turn_at: Instant::ZERO,
            events: BinaryHeap::new(),
            scheduled: 0,
            peers: Vec::new(),
            backlog: VecDeque::new(),
            listener: None,
            sources: Vec::new(),
            listed: Vec::new(),
            to_linger: Vec::new(),
            work,
            slice: None,
            old_jobs: VecDeque::new(),
            stopping: false,
            crowded: false,
            relieved: false,
            tasks_read_clocks: false,
            promises: Promises::default(),
            evidence: Evidence::default(),
            story,
            report: Report::default(),
            wrong: None,
        }
    }

    /// Something is wrong, and the run ends with this turn.
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

    /// Has a client do something soon, as the server has done something.
    pub(crate) fn rouse(&mut self, number: usize) {
        if self.peers[number].is_scripted() {
            return self.after_the_server(number);
        }
        if !self.peers[number].is_scheduled {
            self.peers[number].is_scheduled = true;
            let after = u64::from(self.luck.between(1, 30_000));
            let asleep = self.peers[number].asleep_until.saturating_sub(self.now.as_nanos());
            self.schedule(after.max(asleep), Event::Act(number));
        }
    }

    pub(crate) fn insert(&mut self, id: SourceId, role: Role) {
        if self.sources.len() <= id.index() {
            self.sources.resize(id.index() + 1, None);
        }
        self.sources[id.index()] = Some(Entry { id, role, watched: Interest::NONE, is_listed: false });
        self.evidence.opened(id);
    }

    /// A source is closed. What it was, if it was there.
    pub(crate) fn forget(&mut self, id: SourceId) -> Option<Entry> {
        let entry = self.sources.get_mut(id.index())?.take_if(|entry| entry.id == id);
        self.evidence.closed(id);
        entry
    }

    pub(crate) fn entry(&mut self, id: SourceId) -> Option<&mut Entry> {
        self.sources.get_mut(id.index())?.as_mut().filter(|entry| entry.id == id)
    }

    pub(crate) fn readiness(&self, role: Role) -> Readiness {
        match role {
            Role::Listener if self.backlog.is_empty() => Interest::NONE,
            Role::Listener => Interest::RECV,
            Role::Peer(number) | Role::Lingering(number) => self.peers[number].readiness(),
        }
    }

    /// Has the poller look at a source.
    pub(crate) fn list(&mut self, id: SourceId) {
        if let Some(entry) = self.entry(id)
            && !entry.is_listed
        {
            entry.is_listed = true;
            self.listed.push(id);
        }
    }

    /// The client at the other end, unless it has broken the connection off.
    fn number(&mut self, source: SourceId) -> Result<(usize, bool), IoError> {
        let (number, lingers) = match self.entry(source).map(|entry| entry.role) {
            Some(Role::Peer(number)) => (number, false),
            Some(Role::Lingering(number)) => (number, true),
            Some(Role::Listener) | None => {
                self.wrong(format!("a task uses source {source}, which is no connection of its own"));
                return Err(IoError::Closed);
            }
        };
        if self.peers[number].reset { Err(IoError::Reset) } else { Ok((number, lingers)) }
    }

    /// Remembers a job that is over.
    fn bury(&mut self, id: JobId) {
        if self.old_jobs.len() == OLD_JOBS {
            self.old_jobs.pop_front();
        }
        self.old_jobs.push_back(id);
    }

    /// The server has read something, or tried to.
    fn heard(&mut self, number: usize, read: Read<'_>) {
        let block = self.plan.rooms.block_size;
        let peer = &mut self.peers[number];
        if let Read::Bytes { bytes, .. } = read {
            peer.owed.take(bytes.len());
        }
        let limit = block + peer.talk.may_keep();
        peer.talk.heard(read, &mut peer.owed);
        let kept = peer.owed.kept();
        if kept > limit as u64 {
            self.wrong(format!(
                "backpressure: client {number} has {kept} bytes read and not answered, over {limit}"
            ));
        }
    }
}

impl<S: Service, T: Talk> Host for World<S, T> {
    type Storage = Limits;
    type Task = SimTask<S>;

    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        if self.listener != Some(listener) {
            return Err(IoError::Closed);
        }
        let Some(number) = self.backlog.front().copied() else { return Err(IoError::WouldBlock) };
        if self.luck.strikes(self.plan.faults.accepts) {
            let error = *self.luck.pick(&[IoError::NoRoom, IoError::Os(24), IoError::WouldBlock]);
            self.crowded = true;
            self.tell(|| format!("accept fails: {error}"));
            return Err(error);
        }
        self.backlog.pop_front();
        if self.peers[number].reset {
            self.peers[number].closed = true;
            return Err(IoError::Reset);
        }
        let peer = &mut self.peers[number];
        peer.source = Some(new);
        (peer.began_at, peer.moved_at) = (self.turn_at, self.turn_at);
        self.insert(new, Role::Peer(number));
        self.report.connections += 1;
        self.tell(|| format!("accepted client {number} as source {new}"));
        Ok(())
    }

    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let (number, lingers) = self.number(source)?;
        let owed = &self.peers[number].owed;
        if !lingers && owed.is_at_its_end() {
            self.wrong(format!("client {number} is read from behind its last answer"));
        }
        let rate = self.plan.faults.short_reads;
        let peer = &mut self.peers[number];
        if peer.inbox.is_empty() && peer.finished {
            if !lingers && !peer.saw_end {
                peer.saw_end = true;
                self.heard(number, Read::End);
                self.tell(|| format!("recv from client {number}: the end"));
            }
            return Ok(0);
        }
        let count = self.luck.part(buffer.len().min(peer.inbox.len()), rate);
        if count == 0 {
            if !lingers {
                self.heard(number, Read::Nothing);
            }
            let is_stopping = self.stopping && !lingers && self.peers[number].inbox.is_empty();
            return Err(if is_stopping { IoError::Stopping } else { IoError::WouldBlock });
        }
        for (place, byte) in buffer.iter_mut().zip(peer.inbox.drain(..count)) {
            *place = byte;
        }
        self.rouse(number);
        if lingers {
            return Ok(count);
        }
        self.report.received += count as u64;
        self.peers[number].moved_at = self.turn_at;
        let bytes = &buffer[..count];
        self.tell(|| format!("recv from client {number}: \"{}\"", bytes.escape_ascii()));
        self.heard(number, Read::Bytes { bytes, is_cut: count == buffer.len() });
        Ok(count)
    }

    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let (number, _) = self.number(source)?;
        let peer = &mut self.peers[number];
        self.report.empty_sends += u64::from(bytes.is_empty());
        let room = peer.room.saturating_sub(peer.outbox.len());
        let count = self.luck.part(bytes.len().min(room), self.plan.faults.short_sends);
        if count == 0 && !bytes.is_empty() {
            return Err(IoError::WouldBlock);
        }
        let sent = &bytes[..count];
        peer.outbox.extend(sent);
        peer.moved_at = self.turn_at;
        self.report.sent += count as u64;
        let before = peer.owed.count();
        let is_right = peer.owed.send(sent);
        self.report.answers += peer.owed.count() - before;
        self.tell(|| format!("send to client {number}: \"{}\"", sent.escape_ascii()));
        if let Err(wrong) = is_right {
            self.wrong(format!("client {number}: {wrong}"));
        }
        self.rouse(number);
        Ok(count)
    }

    fn close(&mut self, source: SourceId) {
        let Some(entry) = self.forget(source) else {
            return self.wrong(format!("source {source} is closed, and is not there"));
        };
        match entry.role {
            Role::Listener => self.listener = None,
            Role::Peer(number) => {
                self.tell(|| format!("close client {number}"));
                self.check_close(number);
                self.relieved = true;
                let peer = &mut self.peers[number];
                peer.shut = true;
                // Were a socket closed with something unread, the peer might lose what was sent to it last.
                if peer.saw_end || peer.reset {
                    peer.closed = true;
                } else {
                    self.to_linger.push(number);
                }
                self.rouse(number);
            }
            Role::Lingering(number) => {
                self.peers[number].closed = true;
                self.rouse(number);
            }
        }
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> SimTask<S> {
        SimTask::Serve(self.service.connect(connection), connection)
    }

    fn ended(&mut self, task: TaskId, failure: Option<Failure>) {
        self.tell(|| match failure {
            None => format!("task {task} ends"),
            Some(failure) => format!("task {task} fails: {failure}"),
        });
    }
}

impl<S: Service, T: Talk> World<S, T> {
    /// The server closes a connection: has it a reason to?
    fn check_close(&mut self, number: usize) {
        let peer = &self.peers[number];
        if peer.reset || peer.cancelled || peer.timed_out {
            return;
        }
        let is_answered = peer.owed.is_settled();
        let has_all = peer.saw_end || peer.owed.is_over() || self.stopping;
        if !is_answered {
            self.wrong(format!("client {number} is closed without the answers that it is owed"));
        } else if !has_all {
            self.wrong(format!("client {number} is closed before it has said all"));
        }
    }

    /// A client comes, if there is still one to come.
    pub(crate) fn next_visit(&mut self, number: usize, talk: T) {
        let peer = Peer::new(talk, &self.plan, &mut self.luck);
        if number < self.peers.len() {
            self.peers[number] = peer;
        } else {
            self.peers.push(peer);
        }
        self.rouse(number);
    }

    pub(crate) fn connect(&mut self, number: usize) {
        self.peers[number].phase = Phase::Connected;
        match self.listener {
            Some(listener) => {
                self.tell(|| format!("client {number} connects"));
                self.backlog.push_back(number);
                self.list(listener);
            }
            // Refused.
            None => {
                self.peers[number].reset = true;
                self.peers[number].closed = true;
            }
        }
    }
}

impl<S: Service, T: Talk> Serves<S> for World<S, T> {
    fn service(&self) -> &S {
        &self.service
    }
}

impl<S: Service, T: Talk> Jobs<S::Job> for World<S, T> {
    fn submit(&mut self, id: JobId, job: S::Job) {
        self.report.jobs += 1;
        self.tell(|| format!("job {id} begins"));
        self.evidence.job_begins(id);
        if self.work.submit(id, job, &mut self.luck) {
            let slow = self.luck.strikes(self.plan.faults.slow_jobs);
            let most = if slow { 10_000_000 } else { 50_000 };
            let after = u64::from(self.luck.between(1, most));
            self.schedule(after, Event::Job(id));
        }
    }

    fn take(&mut self, id: JobId) -> Option<<S::Job as sinbin_core::Job>::Output> {
        let output = self.work.take(id)?;
        self.evidence.job_ends(id);
        self.bury(id);
        Some(output)
    }

    fn cancel(&mut self, id: JobId) {
        self.tell(|| format!("job {id} is cancelled"));
        self.evidence.job_ends(id);
        self.bury(id);
        self.work.cancel(id);
    }
}
