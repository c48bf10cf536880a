//! The promises of the kernel, checked before each step of a task and around each turn.
//!
//! What is checked comes from two sides: [`Kernel::audit`] compares the kernel's structures with each other (the
//! whole of it where tasks are few, and once a turn, and otherwise what a step can have changed), and what
//! is written down here (who said it waits for what, who was next on the queue) and as [`Evidence`] (what the kernel was
//! told) is compared with what the kernel does. What is wrong is a sentence, with the number of the promise.

use sinbin_core::{
    Broken, IdMap, Instant, Interest, Kernel, Limits, Rest, SourceId, Step, TaskId, TaskState, Wait,
    WaitTarget, WakeReason,
};

use crate::evidence::Evidence;

/// What the promises are held against.
pub(crate) struct Promises {
    /// The run queue, as it was when a task last began a step.
    queue: Vec<TaskId>,
    /// The same, as it is now; kept for its memory.
    fresh: Vec<TaskId>,
    /// Whether the first of the queue has had its step.
    first_ran: bool,
    /// What each task said last.
    said: IdMap<TaskId, Said>,
    /// Tasks whose deadline comes with this turn.
    due: Vec<TaskId>,
    turn: u64,
    /// When it began.
    now: Instant,
    /// When the last turn began that a look at all sources came before.
    looked: Instant,
    /// All that happened before this moment has been told: the look before this turn began after it.
    seen: Instant,
    /// The turn in which the whole kernel was last audited.
    audited: u64,
    pub(crate) steps: u64,
}

impl Default for Promises {
    fn default() -> Self {
        Self {
            queue: Vec::new(),
            fresh: Vec::new(),
            first_ran: false,
            said: IdMap::new(),
            due: Vec::new(),
            turn: 0,
            now: Instant::ZERO,
            looked: Instant::ZERO,
            seen: Instant::ZERO,
            audited: 0,
            steps: 0,
        }
    }
}

/// So many tasks are few.
const FEW: usize = 32;

#[derive(Clone, Copy)]
struct Said {
    /// `None` if it yielded.
    wait: Option<Wait>,
    turn: u64,
    /// The number of the last news of [`Evidence`] then.
    news: u64,
    /// When that was.
    at: Instant,
}

impl Promises {
    /// Notes that a turn begins at `now`, of which the kernel has not heard yet.
    pub(crate) fn begin_turn(&mut self, kernel: &Kernel<Limits>, now: Instant, has_looked: bool) {
        self.turn += 1;
        self.due.clear();
        self.now = self.now.max(now);
        if has_looked {
            self.seen = std::mem::replace(&mut self.looked, self.now);
        }
        for (task, said) in self.said.iter() {
            let is_due = said.wait.is_some_and(|wait| wait.deadline() <= self.seen);
            if is_due && kernel.state(task) == Some(TaskState::Waiting) {
                self.due.push(task);
            }
        }
    }

    /// The task is about to have a step.
    pub(crate) fn before_step(
        &mut self,
        kernel: &Kernel<Limits>,
        evidence: &mut Evidence,
        task: TaskId,
    ) -> Result<(), String> {
        self.steps += 1;
        let last = self.queue.first().copied().filter(|_| self.first_ran);
        let queued = self.check_queue(kernel, task)?;
        self.audit(kernel, last, queued).map_err(|broken| format!("the audit says: not so: {}", broken.0))?;
        let wake_reason = kernel.wake_reason(task).ok_or("promise 1: a task runs that is gone")?;
        evidence.check_asked(task, wake_reason)?;
        self.check_woken(evidence, task, wake_reason)
    }

    /// What the task is told is so, and it is why it runs.
    fn check_woken(&self, evidence: &Evidence, task: TaskId, wake_reason: WakeReason) -> Result<(), String> {
        let Some(said) = self.said(task) else {
            let is_first = wake_reason == WakeReason::Spawned;
            return if is_first {
                Ok(())
            } else {
                Err(format!("promise 1: task {task} begins as {wake_reason:?}"))
            };
        };
        if said.turn == self.turn {
            return Err(format!("promise 3: task {task} has two steps in one turn"));
        }
        match (&said.wait, wake_reason) {
            (_, WakeReason::Spawned) => Err(format!("promise 1: task {task} begins twice")),
            (None, WakeReason::Yielded | WakeReason::Cancelled) => Ok(()),
            (None, _) => {
                Err(format!("promise 2: task {task} waits for nothing, and is told {wake_reason:?}"))
            }
            (Some(_), WakeReason::Yielded) => {
                Err(format!("promise 2: task {task} waits, and runs for nothing"))
            }
            (Some(wait), WakeReason::TimedOut) if wait.deadline() > self.now => {
                Err(format!("promise 2: task {task} is told of a deadline that has not come"))
            }
            (Some(wait), WakeReason::TimedOut) if wait.deadline() > self.seen => Err(format!(
                "promise 10: task {task} is told of a deadline before the sources were looked at"
            )),
            (Some(_), WakeReason::TimedOut) => Ok(()),
            (Some(wait), WakeReason::Busy) if self.is_taken(task, wait) => Ok(()),
            (Some(wait), _) if evidence.is_for(wake_reason, wait, said.news) => Ok(()),
            (Some(wait), _) => {
                let targets: Vec<_> = wait.targets().collect();
                Err(format!(
                    "promise 2: task {task} waits for {targets:?}, and is told {wake_reason:?} without news of that"
                ))
            }
        }
    }

    /// Whether something that the task waits for is waited for already: by another task, or by itself. Who was in its way
    /// is behind it in the queue, or still waits, and has said nothing since.
    #[cold]
    fn is_taken(&self, task: TaskId, wait: &Wait) -> bool {
        let others = self.said.iter().filter(|(other, _)| *other != task);
        let theirs: Vec<_> =
            others.filter_map(|(_, said)| said.wait).flat_map(|wait| wait.targets()).collect();
        let mut its = wait.targets();
        let mut before = Vec::new();
        its.any(|what| {
            let is_taken = theirs.contains(&what) || before.contains(&what);
            before.push(what);
            is_taken
        })
    }

    /// Audits the whole kernel before each step where tasks are few, and before the first of each turn where they are
    /// many: the other steps have changed no task but the `last` that ran, and those who were queued since.
    fn audit(&mut self, kernel: &Kernel<Limits>, last: Option<TaskId>, queued: usize) -> Result<(), Broken> {
        if kernel.count() <= FEW || self.audited != self.turn {
            self.audited = self.turn;
            return kernel.audit();
        }
        let mut fresh = self.queue[self.queue.len() - queued..].iter().chain(&last);
        fresh.try_for_each(|task| kernel.audit_task(*task))
    }

    /// Returns the moment up to which all events are known.
    pub(crate) fn seen(&self) -> Instant {
        self.seen
    }

    /// Whether the deadline of its last wait has come, whatever woke it.
    pub(crate) fn is_late(&self, task: TaskId) -> bool {
        let wait = self.said(task).and_then(|said| said.wait.as_ref());
        wait.is_some_and(|wait| wait.deadline() <= self.seen)
    }

    /// Returns the last wait of the task, if that began before its deadline.
    pub(crate) fn timely_wait(&self, task: TaskId) -> Option<Wait> {
        let said = self.said(task)?;
        said.wait.filter(|wait| wait.deadline() > said.at)
    }

    /// Notes the step that a task has had.
    pub(crate) fn after_step(&mut self, evidence: &mut Evidence, task: TaskId, step: &Step, at: Instant) {
        self.first_ran = true;
        let wait = match step {
            Step::Wait(wait) => Some(*wait),
            Step::Yield => None,
            Step::Done | Step::Fail(_) => {
                self.said.remove(task);
                return evidence.forget(task);
            }
        };
        evidence.after_step(task, wait.is_some());
        self.said.insert(task, Said { wait, turn: self.turn, news: evidence.news(), at });
    }

    /// The turn is over, and so many steps were had.
    pub(crate) fn end_turn(&mut self, kernel: &Kernel<Limits>) -> Result<(), String> {
        for task in &self.due {
            if self.said(*task).is_some_and(|said| said.turn != self.turn) {
                return Err(format!("promise 2: task {task} was not told that its deadline has come"));
            }
        }
        let Rest::Until(until) = kernel.rest() else { return Ok(()) };
        let waiting = self.said.iter().filter(|(task, _)| waits(kernel, *task));
        let first = waiting.filter_map(|(_, said)| Some(said.wait?.deadline())).min();
        if until <= kernel.now() {
            return Err(format!("promise 10: the host is to wait until {until:?}, which has passed"));
        }
        match first {
            Some(first) if first < until => Err(format!(
                "promise 2: the host may sleep until {until:?}, and a deadline comes at {first:?}"
            )),
            _ => Ok(()),
        }
    }

    /// The host has heard of all changes: whoever waits for readiness is watched for that. `watched` says for what a
    /// source is.
    pub(crate) fn after_changes(
        &self,
        kernel: &Kernel<Limits>,
        watched: impl Fn(SourceId) -> Interest,
    ) -> Result<(), String> {
        for (task, said) in self.said.iter().filter(|(task, _)| waits(kernel, *task)) {
            let is_lost = |what: &WaitTarget| match what {
                WaitTarget::Recv(source) => !watched(*source).contains(Interest::RECV),
                WaitTarget::Send(source) => !watched(*source).contains(Interest::SEND),
                WaitTarget::Hangup(source) => watched(*source).is_empty(),
                WaitTarget::Job(_) => false,
            };
            if let Some(what) = said.wait.and_then(|wait| wait.targets().find(is_lost)) {
                return Err(format!(
                    "promise 2: task {task} waits for {what:?}, and the host does not watch"
                ));
            }
        }
        Ok(())
    }

    /// The kernel was told that `source` is ready, and who waited for that is ready now. A hangup ends every wait for it.
    pub(crate) fn after_ready(
        &self,
        kernel: &Kernel<Limits>,
        task: Option<TaskId>,
        source: SourceId,
        readiness: Interest,
    ) -> Result<(), String> {
        let Some((task, said)) = task.and_then(|task| Some((task, self.said(task)?))) else { return Ok(()) };
        if kernel.state(task) != Some(TaskState::Waiting) {
            return Ok(());
        }
        let is_ready = |interest| readiness.contains(interest) || readiness.contains(Interest::HANGUP);
        let is_for = |what| match what {
            WaitTarget::Recv(of) => of == source && is_ready(Interest::RECV),
            WaitTarget::Send(of) => of == source && is_ready(Interest::SEND),
            WaitTarget::Hangup(of) => of == source && is_ready(Interest::HANGUP),
            WaitTarget::Job(_) => false,
        };
        match said.wait.and_then(|wait| wait.targets().find(|what| is_for(*what))) {
            Some(what) => Err(format!("promise 2: {what:?} is ready, and task {task} still waits for it")),
            None => Ok(()),
        }
    }

    /// The queue is what it was, but for the first, which has had its step, and for new ones at the end.
    /// Returns how many those are.
    fn check_queue(&mut self, kernel: &Kernel<Limits>, task: TaskId) -> Result<usize, String> {
        self.fresh.clear();
        self.fresh.extend(kernel.queue());
        let left = self.queue.get(usize::from(self.first_ran)..).unwrap_or_default();
        if !self.fresh.starts_with(left) {
            return Err(format!("promise 3: the queue was {left:?}, and became {:?}", self.fresh));
        }
        if self.fresh.first() != Some(&task) {
            return Err(format!("promise 3: task {task} runs, and {:?} is first", self.fresh.first()));
        }
        let queued = self.fresh.len() - left.len();
        std::mem::swap(&mut self.queue, &mut self.fresh);
        self.first_ran = false;
        Ok(queued)
    }

    /// What a task that is there said last.
    fn said(&self, task: TaskId) -> Option<&Said> {
        self.said.get(task)
    }
}

fn waits(kernel: &Kernel<Limits>, task: TaskId) -> bool {
    kernel.state(task) == Some(TaskState::Waiting)
}
