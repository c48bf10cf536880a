//! The world as the platform of the engine that serves, and what is checked of that engine.

use std::convert::Infallible;
use std::time::Duration;

use sinbin_core::serve::{Admission, Guarded, Platform, Unguarded, Until};
use sinbin_core::{
    Executor, Instant, Interest, Kernel, Limits, Rest, Service, SourceId, Task, TaskId, TaskState, WakeReason,
};

use crate::client_model::ClientModel;
use crate::world::{Role, World};

/// The number of steps after which the engine polls the sources before the next turn.
const STEPS_PER_POLL: u64 = 64;

/// The state from which the world knows what the engine has to do next.
pub(crate) struct Serving {
    /// Set if an acceptor found no room since acceptors were last to be woken.
    pub(crate) is_crowded: bool,
    /// Set if a connection has gone since the last turn.
    pub(crate) is_relieved: bool,
    /// Set if the last connection that could have been accepted was not, for lack of room or because of a fault.
    pub(crate) is_refused: bool,
    /// The time when the service was asked to stop.
    pub(crate) asked_at: Instant,
    /// Set if a wait has ended since then.
    pub(crate) has_noticed: bool,
    /// Set if all tasks were cancelled because the program is over.
    pub(crate) is_over: bool,
    /// The deadline of the drain.
    drain_ends: Instant,
    /// Set if the drain had begun before the last wait.
    was_draining: bool,
    /// Set if that deadline has passed and connections were cut off.
    pub(crate) is_cut: bool,
    /// The tasks that existed before the engine may have cancelled all, and whether they waited.
    noted: Vec<(TaskId, bool)>,
    /// The number of tasks and of steps at the beginning of the turn, while one runs.
    turn: Option<(usize, u64)>,
    /// Set if there was a wait since the last turn: whether it polled all sources.
    polled: Option<bool>,
    /// The number of steps at the end of the last wait.
    steps: u64,
    /// Set if a slice of a job was computed since then.
    has_computed: bool,
    /// The reading of the clock at the beginning of the turn, which may be wrong.
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
            // The engine begins as after a poll.
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
            self.wrong(format!("client {number} is let go, and there is a place for it to linger"));
        }
        self.close_socket(number);
        self.leave();
    }

    fn served(&self) -> impl Iterator<Item = SourceId> {
        let served = |role| matches!(role, Role::Peer(_));
        self.sources.iter().filter(move |(_, entry)| served(entry.role)).map(|(source, _)| source)
    }

    fn is_to_stop(&self) -> bool {
        self.is_to_stop
    }

    fn begin_drain(&mut self) {
        if self.stopping || !self.is_to_stop {
            self.wrong("the drain begins, and it is not the time for that".to_owned());
        }
        self.tell(|| "the drain begins".to_owned());
        self.stopping = true;
        self.serving.drain_ends = self.now + self.plan.drain_timeout;
    }

    fn cut_off(&mut self, connections: usize) {
        let is_early = !self.is_draining() || self.promises.seen() < self.serving.drain_ends;
        // Tasks that wait for others which are gone by then may be cut off before.
        let may_stall = self.serving.is_over && !self.evidence.tasks_ask_nothing;
        if is_early && !may_stall || self.serving.is_cut {
            self.wrong("connections are cut off, and it is not the time for that".to_owned());
        }
        let served: Vec<_> = self.served().collect();
        let late = served.len() + self.leaving();
        if connections != late {
            self.wrong(format!("{late} connections are to be cut off, and {connections} are told of"));
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
        // More often than any host would.
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
    /// Returns the number of connections that the service has closed, with bytes that the client has not taken.
    pub(crate) fn count_leaving(&self) -> usize {
        self.peers.iter().filter(|peer| peer.is_leaving()).count()
    }

    /// Returns true if the service was asked to stop and no wait has ended since then.
    pub(crate) fn is_newly_to_stop(&self) -> bool {
        self.is_to_stop && !self.serving.has_noticed
    }

    /// Checks the state in which the engine has ended: all bytes are sent, unless the drain timed out.
    pub(crate) fn check_last_round(&mut self, kernel: &Kernel<Limits>) {
        let (leaving, tasks) = (self.count_leaving(), kernel.count());
        self.tell(|| "the service has ended".to_owned());
        self.listed.clear();
        if leaving > 0 && !self.serving.is_cut {
            self.wrong(format!("the engine ends, and {leaving} clients have not been sent all"));
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
                self.wrong(format!("the engine has not looked at the sources for {steps} steps"));
            }
            // A turn without a look at the sources does not look at the clock.
            let span = self.rng.between(0, self.plan.haste / 8);
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

    /// Returns true if connections are asked to end, or were cancelled.
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

    /// Returns true if a task that is spawned now by a step is cancelled as well, as all tasks were before.
    pub(super) fn is_spawned_too_late(&self) -> bool {
        self.serving.is_over && self.serving.turn.is_some()
    }

    /// Returns true if the program is over since the last turn.
    fn ends_now(&self) -> bool {
        self.is_over && !self.serving.is_over
    }

    /// Notes that the engine has cancelled all tasks, if the program is over since the last turn.
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
        // Tasks that cancel each other may have been cancelled before, which is not repeated here.
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

    /// Checks that the engine has woken the acceptor that found no room, if a connection has gone since.
    fn check_relief(&mut self, kernel: &Kernel<Limits>) {
        if std::mem::take(&mut self.serving.is_relieved)
            && std::mem::take(&mut self.serving.is_crowded)
            && let Some(listener) = self.listener
        {
            self.evidence.ready(listener, Interest::HANGUP);
            self.check_ready(kernel, listener, Role::Listener, Interest::HANGUP);
        }
    }

    /// Checks that the engine has woken all connections that wait to receive, if it drains.
    fn check_nudge(&mut self, kernel: &Kernel<Limits>) {
        if !self.is_draining() {
            return;
        }
        for index in 0..self.sources.places() {
            if let Some((source, entry)) = self.sources.at(index)
                && let Role::Peer(number) = entry.role
            {
                self.evidence.ready(source, Interest::RECV);
                self.check_ready(kernel, source, Role::Peer(number), Interest::RECV);
            }
        }
    }

    /// Checks that the engine waits no longer than its tasks and its drain permit.
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
            self.wrong("the engine was asked to stop, and waits for ever".to_owned());
        }
    }

    /// Checks that the engine has begun the drain when it was asked to stop, and cut connections off at the deadline of
    /// the drain. From then on it cancels all tasks after each wait.
    fn check_drain(&mut self) {
        let Serving { has_noticed, was_draining, is_cut, drain_ends, .. } = self.serving;
        if has_noticed && !self.is_draining() && self.plan.settle.is_zero() {
            self.wrong("the engine was asked to stop, and goes on".to_owned());
        }
        if was_draining && !is_cut && self.promises.seen() >= drain_ends {
            self.wrong("the time to drain is over, and nobody is cut off".to_owned());
        }
        if is_cut {
            self.ask_all_to_end();
        }
    }
}
