//! The implementation of [`Platform`] for the world, and the checks of the engine that runs on it.

use std::convert::Infallible;
use std::time::Duration;

use sinbin_core::kernel::TaskState;
use sinbin_core::serve::{Admission, Guarded, Platform, Unguarded, Until};
use sinbin_core::{
    Executor, Instant, Interest, Kernel, Limits, Rest, Service, SourceId, Task, TaskId, WakeReason,
};

use crate::client_model::ClientModel;
use crate::world::{Role, World};

/// The number of steps after which the engine polls the sources before the next turn.
const STEPS_PER_POLL: u64 = 64;

/// The world's record of the engine's state, with which the engine's actions are compared.
pub(crate) struct Serving {
    /// Set if an acceptor lacked capacity since acceptors last had to be woken.
    pub(crate) is_crowded: bool,
    /// Set if a connection was removed from the count since the last turn.
    pub(crate) is_relieved: bool,
    /// Set if the last attempt to accept a connection failed for lack of capacity or because of a fault.
    pub(crate) is_refused: bool,
    /// The time when the service was asked to stop.
    pub(crate) asked_at: Instant,
    /// Set if a wait has ended since the service was asked to stop.
    pub(crate) has_noticed: bool,
    /// Set if all tasks were cancelled because the program has ended.
    pub(crate) is_over: bool,
    /// The deadline of the drain.
    drain_ends: Instant,
    /// Set if the drain had begun before the last wait.
    was_draining: bool,
    /// Set if the deadline of the drain has passed and connections were cut off.
    pub(crate) is_cut: bool,
    /// The tasks that existed before the engine may have cancelled all of them, each with true if it waited.
    noted: Vec<(TaskId, bool)>,
    /// The numbers of tasks and of steps at the beginning of the current turn; `None` between turns.
    turn: Option<(usize, u64)>,
    /// True if the last wait polled all sources; `None` if no wait has ended since the last turn.
    polled: Option<bool>,
    /// The number of steps at the end of the last wait.
    steps: u64,
    /// Set if a slice of a job was computed since the end of the last wait.
    has_computed: bool,
    /// The clock reading at the beginning of the turn, which may be wrong.
    reading: Option<Instant>,
}

impl Serving {
    pub(crate) const fn new() -> Self {
        Self {
            is_crowded: false,
            is_relieved: false,
            is_refused: false,
            asked_at: Instant::ZERO,
            has_noticed: false,
            is_over: false,
            drain_ends: Instant::NEVER,
            was_draining: false,
            is_cut: false,
            noted: Vec::new(),
            turn: None,
            // The first turn runs as if all sources had been polled.
            polled: Some(true),
            steps: 0,
            has_computed: false,
            reading: None,
        }
    }
}

/// Catches no panic, so that a panic ends the run.
impl<S: Service, T: ClientModel> Guarded for World<S, T> {
    type Guard = Unguarded;
}

impl<S, T> Platform for World<S, T>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    type Service = S;
    type Closed = usize;
    type Error = Infallible;

    fn room(&mut self) -> &mut Admission<usize> {
        &mut self.room
    }

    fn now(&self) -> Instant {
        self.serving.reading.unwrap_or(self.now)
    }

    fn settle(&self) -> Duration {
        self.plan.settle
    }

    fn linger(&mut self, source: SourceId, number: usize) {
        self.insert(source, Role::Lingering(number));
        self.peers[number].source = Some(source);
    }

    fn let_go(&mut self, number: usize) {
        if self.sources.iter().count() < self.plan.capacity.sources {
            self.wrong(format!("client {number} cannot linger, although a source is free"));
        }
        self.close_socket(number);
        self.leave();
    }

    fn served(&self) -> impl Iterator<Item = SourceId> {
        let served = |role| matches!(role, Role::Peer(_) | Role::Upstream(_));
        self.sources.iter().filter(move |(_, entry)| served(entry.role)).map(|(source, _)| source)
    }

    fn is_to_stop(&self) -> bool {
        self.is_to_stop
    }

    fn begin_drain(&mut self) {
        if self.stopping || !self.is_to_stop {
            self.wrong("the drain begins at a wrong time".to_owned());
        }
        self.tell(|| "the drain begins".to_owned());
        self.stopping = true;
        self.serving.drain_ends = self.now + self.plan.drain_timeout;
    }

    fn cut_off(&mut self, connections: usize) {
        let is_early = !self.is_draining() || self.promises.seen() < self.serving.drain_ends;
        // Tasks that wait for tasks that have already ended may be cut off before the deadline.
        let may_stall = self.serving.is_over && !self.evidence.tasks_ask_nothing;
        if is_early && !may_stall || self.serving.is_cut {
            self.wrong("connections are cut off at a wrong time".to_owned());
        }
        let served: Vec<_> = self.served().collect();
        let late = served.len() + self.leaving();
        if connections != late {
            self.wrong(format!("{late} connections are to be cut off, and {connections} are reported"));
        }
        self.tell(|| format!("{late} connections are cut off"));
        self.serving.is_cut = true;
        for source in served {
            if let Some(Role::Peer(number)) = self.entry(source).map(|entry| entry.role) {
                self.peers[number].cancelled = true;
            }
        }
    }

    fn leaving(&self) -> usize {
        self.count_leaving()
    }

    /// Checks the turn; the engine calls this before and after each turn.
    fn take_wakes(&mut self, executor: &mut Executor<Self>) {
        match self.serving.turn.take() {
            None => self.begin_turn(&executor.kernel),
            Some((tasks, steps)) => self.end_turn(&executor.kernel, tasks, steps),
        }
    }

    fn between_turns(&mut self, executor: &mut Executor<Self>) -> bool {
        self.check_over();
        self.check_relief(&executor.kernel);
        let is_busy = self.work.is_busy();
        self.serving.has_computed |= is_busy;
        let Self { work, rng, slice, .. } = self;
        if let Some(job) = work.slice(*slice, rng) {
            self.say_done(&mut executor.kernel, job);
        }
        // Real hosts do this less often.
        executor.reset_peak();
        executor.decommit(usize::MAX);
        self.inject_faults(&mut executor.kernel);
        is_busy
    }

    fn is_busy(&self) -> bool {
        self.work.is_busy()
    }

    fn wait(&mut self, executor: &mut Executor<Self>, until: Until) -> Result<bool, Infallible> {
        let kernel = &mut executor.kernel;
        self.check_nudge(kernel);
        self.check_wait(kernel, until);
        self.serving.was_draining = self.is_draining();
        let has_looked =
            if self.scene.is_some() { self.rest_in_scene(kernel, until) } else { self.rest(kernel, until) };
        self.serving.polled = Some(has_looked);
        self.serving.steps = self.promises.steps;
        self.serving.has_computed = false;
        self.serving.has_noticed = self.is_to_stop;
        if self.is_draining() {
            self.note_tasks(kernel);
        }
        Ok(has_looked)
    }
}

impl<S: Service, T: ClientModel> World<S, T> {
    /// Returns the number of connections that the service has closed, with bytes that the client has not received.
    pub(crate) fn count_leaving(&self) -> usize {
        self.peers.iter().filter(|peer| peer.is_leaving()).count()
    }

    /// Returns true if the service was asked to stop and no wait has ended since then.
    pub(crate) fn is_newly_to_stop(&self) -> bool {
        self.is_to_stop && !self.serving.has_noticed
    }

    /// Checks the state after the engine has ended: no task is left, and all bytes are sent unless the drain timed out.
    pub(crate) fn check_last_round(&mut self, kernel: &Kernel<Limits>) {
        let (leaving, tasks) = (self.count_leaving(), kernel.count());
        self.tell(|| "the service has ended".to_owned());
        self.listed.clear();
        if leaving > 0 && !self.serving.is_cut {
            self.wrong(format!("the engine ends before {leaving} clients have received all bytes"));
        }
        if tasks > 0 {
            self.wrong(format!("the engine ends, and {tasks} tasks are left"));
        }
    }

    fn begin_turn(&mut self, kernel: &Kernel<Limits>) {
        self.check_drain();
        let polled = self.serving.polled.take();
        let now = if polled.is_some() {
            let reading = self.clock();
            *self.serving.reading.insert(reading)
        } else {
            let steps = self.promises.steps - self.serving.steps;
            if steps >= STEPS_PER_POLL || self.serving.has_computed {
                self.wrong(format!("the engine has not polled the sources for {steps} steps"));
            }
            // A turn without a poll of the sources does not read the clock.
            let span = self.rng.between(0, self.plan.max_pause / 8);
            self.pass_in_step(Duration::from_nanos(span.into()));
            kernel.now()
        };
        self.promises.begin_turn(kernel, now, polled == Some(true));
        self.serving.turn = Some((kernel.count(), self.promises.steps));
    }

    fn end_turn(&mut self, kernel: &Kernel<Limits>, tasks: usize, before: u64) {
        self.serving.reading = None;
        self.report.turns += 1;
        let steps = self.promises.steps - before;
        if steps > tasks as u64 {
            self.wrong(format!("promise 3: {tasks} tasks had {steps} steps in one turn"));
        }
        if let Err(broken) = self.promises.end_turn(kernel) {
            self.wrong(broken);
        }
        if self.ends_now() {
            self.note_tasks(kernel);
        }
    }

    /// Returns true if connections were asked to end, or were cancelled.
    pub(super) fn is_draining(&self) -> bool {
        self.stopping || self.serving.is_over
    }

    /// Notes which tasks exist, before the engine may cancel them all.
    fn note_tasks(&mut self, kernel: &Kernel<Limits>) {
        let tasks = kernel.tasks().map(|task| (task.id, task.state == TaskState::Waiting));
        self.serving.noted.clear();
        self.serving.noted.extend(tasks);
    }

    /// Notes that the engine has cancelled all noted tasks.
    fn ask_all_to_end(&mut self) {
        for (task, did_wait) in self.serving.noted.drain(..) {
            self.evidence.ask_as(task, WakeReason::Cancelled, did_wait);
        }
    }

    /// Returns true if a task that a step spawns now is cancelled at once, because all tasks were cancelled before.
    pub(super) fn is_spawned_too_late(&self) -> bool {
        self.serving.is_over && self.serving.turn.is_some()
    }

    /// Returns true if the program has ended since the last turn.
    fn ends_now(&self) -> bool {
        self.is_over && !self.serving.is_over
    }

    /// Notes that the engine has cancelled all tasks, if the program has ended since the last turn.
    fn check_over(&mut self) {
        if !self.ends_now() {
            return;
        }
        self.tell(|| "the program is over, and all tasks are cancelled".to_owned());
        if !self.is_draining() {
            self.serving.drain_ends = self.now + self.plan.drain_timeout;
        }
        self.serving.is_over = true;
        for peer in &mut self.peers {
            peer.cancelled = true;
        }
        // If tasks can cancel each other, some of them may have been cancelled already, without a record.
        if self.evidence.tasks_ask_nothing {
            self.serving.noted.retain(|(task, _)| !self.evidence.was_cancelled(*task));
            self.ask_all_to_end();
        }
    }

    /// Removes a connection from the count.
    pub(super) fn leave(&mut self) {
        self.room.leave(1);
        self.serving.is_relieved = true;
    }

    /// Checks that the engine has woken an acceptor that lacked capacity, if a connection was removed from the count.
    fn check_relief(&mut self, kernel: &Kernel<Limits>) {
        if std::mem::take(&mut self.serving.is_relieved)
            && std::mem::take(&mut self.serving.is_crowded)
            && let Some(listener) = self.listener
        {
            self.evidence.ready(listener, Interest::HANGUP);
            self.check_ready(kernel, listener, Role::Listener, Interest::HANGUP);
        }
    }

    /// Checks that the engine, while it drains, has woken all connections that wait to receive.
    fn check_nudge(&mut self, kernel: &Kernel<Limits>) {
        if !self.is_draining() {
            return;
        }
        for index in 0..self.sources.places() {
            if let Some((source, entry)) = self.sources.at(index)
                && let role @ (Role::Peer(_) | Role::Upstream(_)) = entry.role
            {
                self.evidence.ready(source, Interest::RECV);
                self.check_ready(kernel, source, role, Interest::RECV);
            }
        }
    }

    /// Checks that the engine does not wait beyond the deadlines of its tasks or of its drain.
    fn check_wait(&mut self, kernel: &Kernel<Limits>, until: Until) {
        let Until::At(end) = until else {
            return;
        };
        let timer = match kernel.rest() {
            Rest::Ready | Rest::Stalled => self.now,
            Rest::Until(timer) => timer,
            Rest::Empty => Instant::NEVER,
        };
        if self.work.is_busy() || end > timer {
            self.wrong(format!("promise 10: the engine waits until {end:?}, and its tasks until {timer:?}"));
        }
        let drain_ends = self.serving.drain_ends;
        if end > drain_ends {
            self.wrong(format!(
                "the engine waits until {end:?}, and the time to drain ends at {drain_ends:?}"
            ));
        }
        if self.serving.has_noticed && end == Instant::NEVER {
            self.wrong("the engine was asked to stop, and waits without a deadline".to_owned());
        }
    }

    /// Checks that the engine begins the drain when it is asked to stop, and cuts connections off at the deadline of
    /// the drain. After that, notes that the engine cancels all tasks after each wait.
    fn check_drain(&mut self) {
        let Serving { has_noticed, was_draining, is_cut, drain_ends, .. } = self.serving;
        if has_noticed && !self.is_draining() && self.plan.settle.is_zero() {
            self.wrong("the engine was asked to stop, and has not begun the drain".to_owned());
        }
        if was_draining && !is_cut && self.promises.seen() >= drain_ends {
            self.wrong("the deadline of the drain has passed, and no connection is cut off".to_owned());
        }
        if is_cut {
            self.ask_all_to_end();
        }
    }
}
