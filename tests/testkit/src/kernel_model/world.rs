//! A kernel and its model, side by side.

mod filling;
mod misuse;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sinbin_core::kernel::{ExpectedWaker, Failure, Op as Tried, Storage, TaskState, TaskView};
use sinbin_core::{
    Full, Instant, Interest, IoError, JobId, Kernel, Rest, SourceId, TaskId, Wait, WaitTarget, WakeReason,
};

use crate::kernel_model::heap::{Heap, Limits};
use crate::kernel_model::model::{Model, Step};
use crate::kernel_model::ops::{Kind, Op, Ops, Pick, Plan, When, Who};

/// The observable state of a kernel.
#[derive(Clone, PartialEq, Debug)]
pub struct Sight {
    pub now: Instant,
    pub next: Option<TaskId>,
    pub rest: Rest,
    pub tasks: Vec<(TaskView, Option<WakeReason>)>,
}

pub struct World<S: Storage> {
    pub kernel: Kernel<S>,
    pub model: Model,
    pub limits: Limits,
    /// All ids so far of tasks, sources and jobs.
    pub ever: [Vec<u64>; 3],
    /// All changes of interest that the kernel has returned.
    pub changes: Vec<(SourceId, Interest)>,
    /// For each ready task, the tasks that have run since it became ready.
    ran_before: BTreeMap<TaskId, BTreeSet<TaskId>>,
    /// True if the operations are a repetition, so that the checks can be skipped.
    pub again: bool,
}

impl World<Heap> {
    /// Creates a small world, in which every limit is reached.
    pub fn small() -> Self {
        Self::of(Limits { tasks: 5, sources: 3, jobs: 2 })
    }

    pub fn of(limits: Limits) -> Self {
        World::new(&Heap::new(limits), limits)
    }

    /// Returns a small world after these operations.
    pub fn after(ops: &Ops) -> Self {
        let mut world = Self::small();
        ops.0.iter().for_each(|op| world.apply(op));
        world
    }
}

impl<S: Storage> World<S> {
    pub fn new(storage: &S, limits: Limits) -> Self {
        Self {
            kernel: Kernel::new(storage),
            model: Model::new(),
            limits,
            ever: [const { Vec::new() }; 3],
            changes: Vec::new(),
            ran_before: BTreeMap::new(),
            again: false,
        }
    }

    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Spawn => drop(self.spawn()),
            Op::Advance(when) => self.advance(self.moment(*when)),
            Op::AdvanceUnseen(when) => self.advance_unpolled(self.moment(*when)),
            Op::Run(plan) => drop(self.run(&self.step(plan))),
            Op::Park(pick, plan) => self.park(self.task(pick), &self.step(plan)),
            Op::Wake(pick) => self.wake(self.task(pick)),
            Op::Cancel(pick) => self.cancel(self.task(pick)),
            Op::Open => drop(self.open()),
            Op::Close(pick) => self.close(self.source(pick)),
            Op::Ready(pick, bits) => self.ready(self.source(pick), Interest::from_bits(*bits)),
            Op::BeginJob => drop(self.begin_job()),
            Op::JobDone(pick) => self.job_done(self.job(pick)),
            Op::EndJob(pick) => self.end_job(self.job(pick)),
            Op::Changes => self.drain_changes(),
        }
    }

    pub fn spawn(&mut self) -> Result<TaskId, Full> {
        let spawned = self.kernel.spawn();
        self.promise_7_full_at_the_limit(spawned, self.model.tasks().count(), self.limits.tasks);
        if let Ok(id) = spawned {
            self.promise_5_an_id_is_new(0, id.to_bits());
            self.model.spawn(id);
        }
        self.agree();
        spawned
    }

    pub fn advance(&mut self, now: Instant) {
        self.kernel.advance(now);
        self.model.advance(now);
        self.agree();
    }

    pub fn advance_unpolled(&mut self, now: Instant) {
        self.kernel.advance_unpolled(now);
        self.model.advance_unpolled(now);
        self.agree();
    }

    /// Advances to `now` twice, with a poll in between, so that all deadlines up to `now` expire.
    pub fn pass(&mut self, now: Instant) {
        self.advance(now);
        self.advance(now);
    }

    /// Runs the next task, if the turn has one.
    pub fn run(&mut self, step: &Step) -> Option<(TaskId, WakeReason)> {
        let id = self.kernel.next()?;
        let wake_reason = self.kernel.wake_reason(id).expect("the next task exists");
        self.park(id, step);
        Some((id, wake_reason))
    }

    pub fn park(&mut self, id: TaskId, step: &Step) {
        if !self.again && self.kernel.next() == Some(id) {
            self.promise_3_nobody_else_waits_twice_as_long(id);
        }
        self.kernel.park(id, in_kernel(step));
        self.model.park(id, step);
        self.agree();
    }

    pub fn wake(&mut self, id: TaskId) {
        assert_eq!(self.kernel.wake(id), self.model.wake(id), "a task is woken if it is there");
        self.agree();
    }

    pub fn cancel(&mut self, id: TaskId) {
        assert_eq!(self.kernel.cancel(id), self.model.cancel(id), "a task is cancelled if it is there");
        self.agree();
    }

    pub fn open(&mut self) -> Result<SourceId, Full> {
        let opened = self.kernel.open();
        self.promise_7_full_at_the_limit(opened, self.model.sources().count(), self.limits.sources);
        if let Ok(id) = opened {
            self.promise_5_an_id_is_new(1, id.to_bits());
            self.model.open(id);
        }
        self.agree();
        opened
    }

    pub fn close(&mut self, id: SourceId) {
        assert_eq!(self.kernel.close(id), self.model.close(id), "a source is closed if it is there");
        self.agree();
    }

    pub fn ready(&mut self, id: SourceId, readiness: Interest) {
        self.kernel.ready(id, readiness);
        self.model.ready(id, readiness);
        self.agree();
    }

    pub fn begin_job(&mut self) -> Result<JobId, Full> {
        let begun = self.kernel.begin_job();
        self.promise_7_full_at_the_limit(begun, self.model.jobs().count(), self.limits.jobs);
        if let Ok(id) = begun {
            self.promise_5_an_id_is_new(2, id.to_bits());
            self.model.begin_job(id);
        }
        self.agree();
        begun
    }

    pub fn job_done(&mut self, id: JobId) {
        self.kernel.job_done(id);
        self.model.job_done(id);
        self.agree();
    }

    pub fn end_job(&mut self, id: JobId) {
        assert_eq!(self.kernel.end_job(id), self.model.end_job(id), "a job is ended if it is there");
        self.agree();
    }

    /// Asks for changes of interest until none is left.
    pub fn drain_changes(&mut self) {
        for asked in 0.. {
            let Some((id, interest)) = self.kernel.next_change() else { break };
            assert!(asked < self.limits.sources, "a source changes at most once");
            self.model.changed(id, interest);
            self.changes.push((id, interest));
        }
        self.model.all_changes_told();
        self.agree();
    }

    pub fn see(&mut self) -> Sight {
        let tasks = self.kernel.tasks().map(|view| (view, self.kernel.wake_reason(view.id))).collect();
        Sight { now: self.kernel.now(), next: self.kernel.next(), rest: self.kernel.rest(), tasks }
    }

    /// Checks that kernel and model are in the same state. Called after each step, this covers each promise.
    fn agree(&mut self) {
        if self.again {
            return;
        }
        assert_eq!(self.kernel.audit(), Ok(()));
        let sight = self.see();
        self.promises_1_and_2_a_task_is_where_it_should_be(&sight);
        assert_eq!(sight.next, self.model.next(), "promise 3: the oldest is next");
        assert!(self.kernel.queue().eq(self.model.queue.iter().copied()), "promise 3: first in, first out");
        assert_eq!(sight.now, self.model.now, "promise 4: time is what the host says");
        assert_eq!(
            self.kernel.seen(),
            self.model.seen,
            "promise 10: what is seen is from before the last look"
        );
        self.promise_7_full_is_told_in_advance(&sight);
        self.promise_8_the_host_knows_how_long_to_rest(sight.rest);
    }

    fn promises_1_and_2_a_task_is_where_it_should_be(&self, sight: &Sight) {
        let views = self.model.views().into_iter();
        let expected: Vec<_> = views.map(|view| (view, self.model.wake_reason(view.id))).collect();
        assert_eq!(
            sight.tasks, expected,
            "promises 1 and 2: each task is where it should be, and woken by that"
        );
        assert_eq!(self.kernel.count(), expected.len());
        for (view, _) in &expected {
            assert_eq!(self.kernel.state(view.id), Some(view.state));
            assert_eq!(self.kernel.audit_task(view.id), Ok(()));
        }
    }

    /// Checks that no task runs twice while another one is ready and has not run.
    fn promise_3_nobody_else_waits_twice_as_long(&mut self, running: TaskId) {
        let ready = |view: &TaskView| view.state == TaskState::Ready;
        let ready: BTreeSet<_> = self.kernel.tasks().filter(ready).map(|view| view.id).collect();
        self.ran_before.retain(|task, _| ready.contains(task) && *task != running);
        for task in ready.into_iter().filter(|task| *task != running) {
            let is_first = self.ran_before.entry(task).or_default().insert(running);
            assert!(is_first, "promise 3: {running} has two turns while {task} has none");
        }
    }

    fn promise_5_an_id_is_new(&mut self, kind: usize, bits: u64) {
        let first = TaskId::from_bits(bits).index() as u64 | 1 << 32;
        let expected = last(bits, &self.ever[kind]).map_or(first, |id| id + (2 << 32));
        assert_eq!(bits, expected, "promise 5: no id comes back");
        self.ever[kind].push(bits);
    }

    fn promise_7_full_at_the_limit<T>(&self, made: Result<T, Full>, count: usize, limit: usize) {
        assert_eq!(made.is_err(), count >= limit, "promise 7: there is room for {limit}");
    }

    fn promise_7_full_is_told_in_advance(&self, sight: &Sight) {
        assert_eq!(self.kernel.is_full(), sight.tasks.len() >= self.limits.tasks, "promise 7");
    }

    fn promise_8_the_host_knows_how_long_to_rest(&self, rest: Rest) {
        match (rest, self.model.rest()) {
            (Rest::Until(at), Rest::Until(deadline)) => {
                assert!(at <= deadline, "a host may be early, never late");
                let has_come = at <= self.model.now && at != Instant::NEVER;
                assert!(!has_come, "promise 10: what has come is never waited for");
            }
            // The timer of a wait that has already ended may have come.
            (Rest::Ready, Rest::Until(_)) if !self.kernel.has_ready() => {}
            (rest, expected) => assert_eq!(rest, expected, "promise 8"),
        }
    }

    pub fn moment(&self, when: When) -> Instant {
        let now = self.model.now;
        match when {
            When::Ago(span) => Instant::from_nanos(now.as_nanos().saturating_sub(span)),
            When::In(span) => now + Duration::from_nanos(span),
            When::Never => Instant::NEVER,
            When::Due => self.model.deadlines().min().map_or(now, |(at, ..)| at),
        }
    }

    pub fn step(&self, plan: &Plan) -> Step {
        match plan {
            Plan::Yield => Step::Yield,
            Plan::Done => Step::Done,
            Plan::Fail => Step::Fail,
            Plan::Wait(targets, until) => {
                Step::Wait(targets.iter().map(|what| self.what(what)).collect(), self.moment(*until))
            }
            Plan::WaitFor(Who::Task(pick)) => Step::WaitFor(ExpectedWaker::Task(self.task(pick))),
            Plan::WaitFor(Who::Outside) => Step::WaitFor(ExpectedWaker::Outside),
        }
    }

    fn what(&self, (kind, pick): &(Kind, Pick)) -> WaitTarget {
        match kind {
            Kind::Recv => WaitTarget::Recv(self.source(pick)),
            Kind::Send => WaitTarget::Send(self.source(pick)),
            Kind::Hangup => WaitTarget::Hangup(self.source(pick)),
            Kind::Job => WaitTarget::Job(self.job(pick)),
        }
    }

    pub fn task(&self, pick: &Pick) -> TaskId {
        TaskId::from_bits(find(pick, self.model.tasks().map(TaskId::to_bits), &self.ever[0]))
    }

    pub fn source(&self, pick: &Pick) -> SourceId {
        SourceId::from_bits(find(pick, self.model.sources().map(SourceId::to_bits), &self.ever[1]))
    }

    pub fn job(&self, pick: &Pick) -> JobId {
        JobId::from_bits(find(pick, self.model.jobs().map(JobId::to_bits), &self.ever[2]))
    }
}

fn find(pick: &Pick, live: impl Iterator<Item = u64>, ever: &[u64]) -> u64 {
    let choose = |number: &u16, ids: &[u64]| match ids.len() {
        0 => 0,
        count => ids[usize::from(*number) % count],
    };
    match pick {
        Pick::Live(number) => choose(number, &live.collect::<Vec<_>>()),
        Pick::Ever(number) => choose(number, ever),
        Pick::Almost(number, bit) => choose(number, &live.collect::<Vec<_>>()) ^ (1 << bit),
        Pick::Any(bits) => *bits,
        Pick::Last(place) => last(*place as u64, ever).unwrap_or(*place as u64 | 1 << 32),
        Pick::BeforeLast(place) => last(*place as u64, ever).unwrap_or(0).wrapping_sub(2 << 32),
    }
}

/// Returns the last id with the index of `bits`.
fn last(bits: u64, ever: &[u64]) -> Option<u64> {
    let index = |bits: u64| bits & u64::from(u32::MAX);
    ever.iter().rfind(|id| index(**id) == index(bits)).copied()
}

fn in_kernel(step: &Step) -> sinbin_core::Step {
    let nothing = SourceId::from_bits(0);
    match step {
        Step::Yield => sinbin_core::Step::Yield,
        Step::Done => sinbin_core::Step::Done,
        Step::Fail => {
            sinbin_core::Step::Fail(Failure { op: Tried::Wait, source: nothing, error: IoError::Reset })
        }
        Step::Wait(targets, until) => {
            let wait = targets.iter().fold(Wait::wake(), |wait, what| wait.or(*what));
            sinbin_core::Step::Wait(wait.until(*until))
        }
        Step::WaitFor(by) => sinbin_core::Step::Wait(Wait::wake().woken_by(*by)),
    }
}
