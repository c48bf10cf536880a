//! A straightforward model of the kernel, made of lists that are searched from end to end.

use std::collections::{BTreeMap, VecDeque};

use sinbin_core::kernel::{ExpectedWaker, MAX_WAITS, TaskState, TaskView};
use sinbin_core::{Instant, Interest, JobId, Rest, SourceId, TaskId, WaitTarget, WakeReason};

/// A step whose fields are accessible.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    Yield,
    Done,
    Fail,
    Wait(Vec<WaitTarget>, Instant),
    /// A wait to be woken by name.
    WaitFor(ExpectedWaker),
}

/// The state of a task.
#[derive(Clone, PartialEq, Debug)]
pub enum At {
    Queue,
    WaitTables { targets: Vec<WaitTarget>, deadline: Instant, by: ExpectedWaker, order: usize },
}

pub struct Task {
    pub at: At,
    since: Instant,
    pub wake_reason: WakeReason,
    pub named: bool,
    pub cancelled: bool,
}

impl Task {
    /// Returns true if the task waits and only another task can end the wait.
    fn is_open_ended(&self) -> bool {
        match &self.at {
            At::Queue => false,
            At::WaitTables { targets, deadline, by, .. } => {
                targets.is_empty() && *deadline == Instant::NEVER && *by != ExpectedWaker::Outside
            }
        }
    }
}

/// A source: the interest that the host was asked to watch, and the readiness that was reported without a waiter.
#[derive(Clone, Copy, Default)]
pub struct Source {
    pub watched: Interest,
    pub unheard: Interest,
}

/// The model. The ids come from the kernel and serve only as names here.
pub struct Model {
    pub now: Instant,
    /// The beginning of the last turn that followed a poll.
    looked: Instant,
    /// The time up to which all events have been reported.
    pub seen: Instant,
    pub queue: VecDeque<TaskId>,
    /// The number of steps left in the turn.
    pub turn: usize,
    pub tasks: BTreeMap<TaskId, Task>,
    pub sources: BTreeMap<SourceId, Source>,
    /// The jobs, each with true if the job is done.
    pub jobs: BTreeMap<JobId, bool>,
    waits: usize,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::ZERO,
            looked: Instant::ZERO,
            seen: Instant::ZERO,
            queue: VecDeque::new(),
            turn: 0,
            tasks: BTreeMap::new(),
            sources: BTreeMap::new(),
            jobs: BTreeMap::new(),
            waits: 0,
        }
    }

    pub fn spawn(&mut self, id: TaskId) {
        let task = Task {
            at: At::Queue,
            since: self.now,
            wake_reason: WakeReason::Spawned,
            named: false,
            cancelled: false,
        };
        self.tasks.insert(id, task);
        self.queue.push_back(id);
    }

    /// Begins a turn after a poll of the sources.
    pub fn advance(&mut self, now: Instant) {
        self.seen = self.looked;
        self.now = self.now.max(now);
        self.looked = self.now;
        self.begin_turn();
    }

    pub fn advance_unpolled(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.begin_turn();
    }

    fn begin_turn(&mut self) {
        while let Some((_, _, id)) = self.deadlines().filter(|(at, ..)| *at <= self.seen).min() {
            self.enqueue(id, WakeReason::TimedOut);
        }
        self.turn = self.queue.len();
    }

    pub fn next(&self) -> Option<TaskId> {
        (self.turn > 0).then(|| self.queue[0])
    }

    pub fn park(&mut self, id: TaskId, step: &Step) {
        if self.next() != Some(id) {
            return;
        }
        self.turn -= 1;
        self.queue.pop_front();
        match step {
            Step::Yield => self.requeue(id),
            Step::Done | Step::Fail => drop(self.tasks.remove(&id)),
            // Waits past the limit are ignored.
            Step::Wait(targets, deadline) => {
                self.wait(id, &targets[..targets.len().min(MAX_WAITS)], *deadline, ExpectedWaker::Anyone);
            }
            Step::WaitFor(by) => self.wait(id, &[], Instant::NEVER, *by),
        }
    }

    fn wait(&mut self, id: TaskId, targets: &[WaitTarget], deadline: Instant, by: ExpectedWaker) {
        match self.refusal(id, targets) {
            Some(wake_reason) => self.enqueue(id, wake_reason),
            None => self.enter_wait_tables(id, targets.to_vec(), deadline, by),
        }
    }

    /// The task has been ready all the time, so its wake reason is a yield, unless it was cancelled.
    fn requeue(&mut self, id: TaskId) {
        let task = self.task(id);
        if task.cancelled {
            return self.enqueue(id, WakeReason::Cancelled);
        }
        task.wake_reason = WakeReason::Yielded;
        self.queue.push_back(id);
    }

    /// Returns the reason if a wait ends before it begins.
    fn refusal(&mut self, id: TaskId, targets: &[WaitTarget]) -> Option<WakeReason> {
        let task = self.task(id);
        if task.cancelled {
            return Some(WakeReason::Cancelled);
        }
        if std::mem::take(&mut task.named) {
            return Some(WakeReason::Named);
        }
        let refused = |(number, what): (usize, &WaitTarget)| match what {
            WaitTarget::Job(job) if !self.jobs.contains_key(job) => Some(WakeReason::Closed),
            WaitTarget::Job(job) if self.jobs[job] => Some(WakeReason::Ready),
            WaitTarget::Recv(source) | WaitTarget::Send(source) | WaitTarget::Hangup(source)
                if !self.sources.contains_key(source) =>
            {
                Some(WakeReason::Closed)
            }
            // A task that names one target twice conflicts with itself.
            what => {
                (self.waiter(*what).is_some() || targets[..number].contains(what)).then_some(WakeReason::Busy)
            }
        };
        targets.iter().enumerate().find_map(refused)
    }

    fn enter_wait_tables(
        &mut self,
        id: TaskId,
        targets: Vec<WaitTarget>,
        deadline: Instant,
        by: ExpectedWaker,
    ) {
        let (now, order) = (self.now, self.waits);
        self.waits += 1;
        let task = self.task(id);
        task.at = At::WaitTables { targets, deadline, by, order };
        task.since = now;
    }

    fn enqueue(&mut self, id: TaskId, wake_reason: WakeReason) {
        let now = self.now;
        let task = self.task(id);
        task.at = At::Queue;
        task.wake_reason = wake_reason;
        task.since = now;
        task.cancelled &= wake_reason != WakeReason::Cancelled;
        self.queue.push_back(id);
    }

    pub fn wake(&mut self, id: TaskId) -> bool {
        match self.tasks.get_mut(&id) {
            None => return false,
            Some(task) if task.at == At::Queue => task.named = true,
            Some(_) => self.enqueue(id, WakeReason::Named),
        }
        true
    }

    pub fn cancel(&mut self, id: TaskId) -> bool {
        match self.tasks.get_mut(&id) {
            None => return false,
            Some(task) if task.at == At::Queue => task.cancelled = true,
            Some(_) => self.enqueue(id, WakeReason::Cancelled),
        }
        true
    }

    pub fn open(&mut self, id: SourceId) {
        self.sources.insert(id, Source::default());
    }

    pub fn close(&mut self, id: SourceId) -> bool {
        self.wake_all(id, WakeReason::Closed);
        self.sources.remove(&id).is_some()
    }

    pub fn ready(&mut self, id: SourceId, readiness: Interest) {
        if readiness.contains(Interest::HANGUP) {
            if !self.wake_all(id, WakeReason::Hangup) {
                self.unheard(id, Interest::HANGUP);
            }
            return;
        }
        for (interest, what) in
            [(Interest::RECV, WaitTarget::Recv(id)), (Interest::SEND, WaitTarget::Send(id))]
        {
            if readiness.contains(interest) && !self.wake_waiter(what, WakeReason::Ready) {
                self.unheard(id, interest);
            }
        }
    }

    pub fn begin_job(&mut self, id: JobId) {
        self.jobs.insert(id, false);
    }

    pub fn job_done(&mut self, id: JobId) {
        self.wake_waiter(WaitTarget::Job(id), WakeReason::Ready);
        self.jobs.entry(id).and_modify(|done| *done = true);
    }

    pub fn end_job(&mut self, id: JobId) -> bool {
        self.wake_waiter(WaitTarget::Job(id), WakeReason::Closed);
        self.jobs.remove(&id).is_some()
    }

    /// The host was asked to watch `id` for `interest`.
    pub fn changed(&mut self, id: SourceId, interest: Interest) {
        assert!(self.sources.contains_key(&id), "a change is about a source that is there");
        assert_eq!(interest, self.wanted(id), "a change says what is wanted now");
        assert_ne!(interest, self.sources[&id].watched, "a change is one");
        self.sources.entry(id).and_modify(|source| source.watched = interest);
    }

    /// The host has received all changes of interest: every wait is watched, and no readiness that was reported without
    /// a waiter is watched any more.
    pub fn all_changes_told(&mut self) {
        for (id, source) in self.sources.clone() {
            let (wanted, watched) = (self.wanted(id), source.watched);
            // A host that watches a source at all also receives its hangup.
            let watches = |interest| match interest {
                Interest::HANGUP => !watched.is_empty(),
                _ => watched.contains(interest),
            };
            for interest in [Interest::RECV, Interest::SEND, Interest::HANGUP] {
                let wants =
                    if interest == Interest::HANGUP { !wanted.is_empty() } else { wanted.contains(interest) };
                assert!(watches(interest) || !wanted.contains(interest), "{id} is waited for unwatched");
                assert!(
                    wants || !watches(interest) || !source.unheard.contains(interest),
                    "{id} is watched in vain"
                );
            }
        }
        self.sources.values_mut().for_each(|source| source.unheard = Interest::NONE);
    }

    pub fn rest(&self) -> Rest {
        if !self.queue.is_empty() {
            Rest::Ready
        } else if self.tasks.is_empty() {
            Rest::Empty
        } else if self.tasks.values().all(Task::is_open_ended) {
            Rest::Stalled
        } else {
            match self.deadlines().min() {
                Some((at, ..)) if at <= self.now => Rest::Ready,
                first => Rest::Until(first.map_or(Instant::NEVER, |(at, ..)| at)),
            }
        }
    }

    pub fn wake_reason(&self, id: TaskId) -> Option<WakeReason> {
        self.tasks.get(&id).map(|task| task.wake_reason)
    }

    pub fn views(&self) -> Vec<TaskView> {
        let view = |(id, task): (&TaskId, &Task)| {
            let mut view = TaskView {
                id: *id,
                state: TaskState::Ready,
                since: task.since,
                waits: [None; MAX_WAITS],
                deadline: Instant::NEVER,
                by: ExpectedWaker::Anyone,
            };
            if let At::WaitTables { targets, deadline, by, .. } = &task.at {
                view.state = TaskState::Waiting;
                view.deadline = *deadline;
                view.by = self.who(*by);
                view.waits.iter_mut().zip(targets).for_each(|(wait, what)| *wait = Some(*what));
            }
            view
        };
        self.tasks.iter().map(view).collect()
    }

    /// Returns the task in the slot of the named task, or `Anyone` if the slot is free.
    fn who(&self, by: ExpectedWaker) -> ExpectedWaker {
        match by {
            ExpectedWaker::Task(id) => self
                .tasks()
                .find(|task| task.index() == id.index())
                .map_or(ExpectedWaker::Anyone, ExpectedWaker::Task),
            by => by,
        }
    }

    pub fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.tasks.keys().copied()
    }

    pub fn sources(&self) -> impl Iterator<Item = SourceId> {
        self.sources.keys().copied()
    }

    pub fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.jobs.keys().copied()
    }

    fn task(&mut self, id: TaskId) -> &mut Task {
        self.tasks.get_mut(&id).expect("the task is there")
    }

    fn waiter(&self, what: WaitTarget) -> Option<TaskId> {
        let waits =
            |task: &Task| matches!(&task.at, At::WaitTables { targets, .. } if targets.contains(&what));
        self.tasks.iter().find(|(_, task)| waits(task)).map(|(id, _)| *id)
    }

    fn wake_waiter(&mut self, what: WaitTarget, wake_reason: WakeReason) -> bool {
        let waiter = self.waiter(what);
        waiter.into_iter().for_each(|id| self.enqueue(id, wake_reason));
        waiter.is_some()
    }

    fn wake_all(&mut self, id: SourceId, wake_reason: WakeReason) -> bool {
        let targets = [WaitTarget::Recv(id), WaitTarget::Send(id), WaitTarget::Hangup(id)];
        targets.map(|what| self.wake_waiter(what, wake_reason)).contains(&true)
    }

    fn unheard(&mut self, id: SourceId, interest: Interest) {
        self.sources.entry(id).and_modify(|source| source.unheard = source.unheard | interest);
    }

    fn wanted(&self, id: SourceId) -> Interest {
        let interest = |what, interest| self.waiter(what).map_or(Interest::NONE, |_| interest);
        interest(WaitTarget::Recv(id), Interest::RECV)
            | interest(WaitTarget::Send(id), Interest::SEND)
            | interest(WaitTarget::Hangup(id), Interest::HANGUP)
    }

    /// Returns every deadline with the number of its wait. Of two equal deadlines, the earlier wait ends first.
    pub fn deadlines(&self) -> impl Iterator<Item = (Instant, usize, TaskId)> {
        self.tasks.iter().filter_map(|(id, task)| match task.at {
            At::WaitTables { deadline, order, .. } if deadline != Instant::NEVER => {
                Some((deadline, order, *id))
            }
            _ => None,
        })
    }
}
