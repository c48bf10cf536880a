//! The promises of the kernel, checked before each step of a task and around each turn.
//!
//! The checks have two sources. [`Kernel::audit`] compares the kernel's structures with each other: all of them if
//! there are few tasks, and once in each turn; otherwise only those that a step can have changed. Besides, the kernel's
//! behaviour is compared with the record in this module (what each task waits for, and the order of the run queue) and
//! with [`Evidence`] (the news that the kernel has received). A violation is a sentence that begins with the number of
//! the promise.

use sinbin_core::kernel::{Broken, IdMap, TaskState};
use sinbin_core::{
    Instant, Interest, Kernel, Limits, Rest, SourceId, Step, TaskId, Wait, WaitTarget, WakeReason,
};

use crate::evidence::Evidence;

/// The record with which the kernel's behaviour is compared.
pub(crate) struct Promises {
    /// The run queue when a task last began a step.
    queue: Vec<TaskId>,
    /// The present run queue; the vector is reused to save allocations.
    fresh: Vec<TaskId>,
    /// True if the first task of `queue` has had its step.
    first_ran: bool,
    /// The last wait or yield of each task.
    said: IdMap<TaskId, Said>,
    /// Tasks whose deadline passes with this turn.
    due: Vec<TaskId>,
    turn: u64,
    /// The time at which the turn began.
    now: Instant,
    /// The start of the last turn that followed a complete poll of the sources.
    looked: Instant,
    /// The kernel has received all news up to this time, because the poll before this turn began after it.
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

/// The largest number of tasks for which the whole kernel is audited before each step.
const FEW: usize = 32;

#[derive(Clone, Copy)]
struct Said {
    /// The wait, or `None` if the task yielded.
    wait: Option<Wait>,
    turn: u64,
    /// The number of the last news of [`Evidence`] at that time.
    news: u64,
    /// The time.
    at: Instant,
}

impl Promises {
    /// Notes that a turn begins at `now`, before the kernel receives that time.
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

    /// Checks the kernel before a step of the task.
    pub(crate) fn before_step(
        &mut self,
        kernel: &Kernel<Limits>,
        evidence: &mut Evidence,
        task: TaskId,
    ) -> Result<(), String> {
        self.steps += 1;
        let last = self.queue.first().copied().filter(|_| self.first_ran);
        let queued = self.check_queue(kernel, task)?;
        self.audit(kernel, last, queued)
            .map_err(|broken| format!("the audit failed, this does not hold: {}", broken.0))?;
        let wake_reason = kernel.wake_reason(task).ok_or("promise 1: a task runs that has ended")?;
        evidence.check_asked(task, wake_reason)?;
        self.check_woken(evidence, task, wake_reason)
    }

    /// Checks that the wake reason of the task is true.
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
            (None, _) => Err(format!("promise 2: task {task} has yielded, and is woken as {wake_reason:?}")),
            (Some(_), WakeReason::Yielded) => {
                Err(format!("promise 2: task {task} waits, and runs without a reason"))
            }
            (Some(wait), WakeReason::TimedOut) if wait.deadline() > self.now => {
                Err(format!("promise 2: task {task} is woken by a deadline that has not passed"))
            }
            (Some(wait), WakeReason::TimedOut) if wait.deadline() > self.seen => {
                Err(format!("promise 10: task {task} is woken by a deadline before the sources were polled"))
            }
            (Some(_), WakeReason::TimedOut) => Ok(()),
            (Some(wait), WakeReason::Busy) if self.is_taken(task, wait) => Ok(()),
            (Some(wait), _) if evidence.is_for(wake_reason, wait, said.news) => Ok(()),
            (Some(wait), _) => {
                let targets: Vec<_> = wait.targets().collect();
                Err(format!(
                    "promise 2: task {task} waits for {targets:?}, and is woken as {wake_reason:?} without news of that"
                ))
            }
        }
    }

    /// Returns true if another task waits for a target of this task, or if this task waits for a target twice. The
    /// record of the other task is current: that task is behind this one in the queue, or still waits.
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

    /// Audits the whole kernel: before each step if there are few tasks, otherwise only before the first step of each
    /// turn. The other steps have changed no tasks except the `last` one that ran and the `queued` ones.
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

    /// Returns true if the deadline of the task's last wait has passed, whatever woke the task.
    pub(crate) fn is_late(&self, task: TaskId) -> bool {
        let wait = self.said(task).and_then(|said| said.wait.as_ref());
        wait.is_some_and(|wait| wait.deadline() <= self.seen)
    }

    /// Returns the last wait of the task, if the wait began before its deadline.
    pub(crate) fn timely_wait(&self, task: TaskId) -> Option<Wait> {
        let said = self.said(task)?;
        said.wait.filter(|wait| wait.deadline() > said.at)
    }

    /// Records a step of a task.
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

    /// Checks the kernel at the end of a turn.
    pub(crate) fn end_turn(&mut self, kernel: &Kernel<Limits>) -> Result<(), String> {
        for task in &self.due {
            if self.said(*task).is_some_and(|said| said.turn != self.turn) {
                return Err(format!("promise 2: task {task} was not woken by its deadline"));
            }
        }
        let Rest::Until(until) = kernel.rest() else { return Ok(()) };
        let waiting = self.said.iter().filter(|(task, _)| waits(kernel, *task));
        let first = waiting.filter_map(|(_, said)| Some(said.wait?.deadline())).min();
        if until <= kernel.now() {
            return Err(format!("promise 10: the host should wait until {until:?}, which has passed"));
        }
        match first {
            Some(first) if first < until => Err(format!(
                "promise 2: the host may sleep until {until:?}, although a deadline is at {first:?}"
            )),
            _ => Ok(()),
        }
    }

    /// Checks, after the host has received all changes of interest, that the host watches every source for the
    /// readiness that a task waits for. `watched` returns the watched interest of a source.
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
                    "promise 2: task {task} waits for {what:?}, which the host does not watch"
                ));
            }
        }
        Ok(())
    }

    /// Checks, after the kernel has learnt that `source` is ready, that the task that waited for that is ready now. A
    /// hangup ends every wait for the source.
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

    /// Checks that the queue is unchanged, except that the first task is removed after its step, and new tasks are
    /// appended. Returns the number of new tasks.
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

    /// Returns the record of a task.
    fn said(&self, task: TaskId) -> Option<&Said> {
        self.said.get(task)
    }
}

fn waits(kernel: &Kernel<Limits>, task: TaskId) -> bool {
    kernel.state(task) == Some(TaskState::Waiting)
}
