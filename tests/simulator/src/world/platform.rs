//! The world as the platform of the engine that serves, and what is checked of that engine.

use std::convert::Infallible;
use std::time::Duration;

use sinbin_core::serve::{Admission, Guarded, Platform, Unguarded, Until};
use sinbin_core::{
    Executor, Instant, Interest, Kernel, Limits, Rest, Service, SourceId, Task, TaskId, TaskState, WakeReason,
};

use crate::client_model::ClientModel;
use crate::world::{Role, World};

/// What the engine has to do, as far as the world knows.
pub(crate) struct Serving {
    /// An acceptor found no room since acceptors were last to be woken.
    pub(crate) is_crowded: bool,
    /// A connection has gone since the last turn.
    pub(crate) is_relieved: bool,
    /// The last connection that could have been accepted was not, for want of room or by bad luck.
    pub(crate) is_refused: bool,
    /// When the service was asked to stop.
    pub(crate) asked_at: Instant,
    /// A wait has ended since then.
    pub(crate) has_noticed: bool,
    /// When the time to drain is over.
    drain_ends: Instant,
    /// The drain had begun before the last wait.
    was_draining: bool,
    /// The time to drain was over, and connections were cut off.
    pub(crate) is_cut: bool,
    /// Tasks that waited when the last wait of a drain ended.
    waiting: Vec<TaskId>,
    /// A turn has begun; so many tasks there were then, and so many steps.
    turn: Option<(usize, u64)>,
    /// Whether the last wait has looked at all sources, if there was one since the last turn.
    polled: Option<bool>,
    /// What the clock says, where that is wrong.
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
            drain_ends: Instant::NEVER,
            was_draining: false,
            is_cut: false,
            waiting: Vec::new(),
            turn: None,
            // A loop begins as if it had looked.
            polled: Some(true),
            reading: None,
        }
    }
}

/// A panic ends the run.
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
        let is_early = !self.stopping || self.promises.seen() < self.serving.drain_ends;
        if is_early || self.serving.is_cut {
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

    /// Is called before each turn and after it.
    fn take_wakes(&mut self, executor: &mut Executor<Self>) {
        match self.serving.turn.take() {
            None => self.begin_turn(&executor.kernel),
            Some((tasks, steps)) => self.end_turn(&executor.kernel, tasks, steps),
        }
    }

    fn between_turns(&mut self, executor: &mut Executor<Self>) -> bool {
        self.check_relief(&executor.kernel);
        let is_busy = self.work.is_busy();
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
        self.serving.was_draining = self.stopping;
        let has_looked =
            if self.scene.is_some() { self.rest_in_scene(kernel, until) } else { self.rest(kernel, until) };
        self.serving.polled = Some(has_looked);
        self.serving.has_noticed = self.is_to_stop;
        self.serving.waiting.clear();
        if self.stopping {
            let waiting = kernel.tasks().filter(|task| task.state == TaskState::Waiting);
            self.serving.waiting.extend(waiting.map(|task| task.id));
        }
        Ok(has_looked)
    }
}

impl<S: Service, T: ClientModel> World<S, T> {
    /// How many connections are closed by the service, and have bytes in them that the client has not taken.
    pub(crate) fn count_leaving(&self) -> usize {
        self.peers.iter().filter(|peer| peer.is_leaving()).count()
    }

    /// The service was asked to stop, and no wait has ended since then.
    pub(crate) fn is_newly_to_stop(&self) -> bool {
        self.is_to_stop && !self.serving.has_noticed
    }

    /// The engine has come to its end. All has been sent, or else its time was over.
    pub(crate) fn check_last_round(&mut self, kernel: &Kernel<Limits>) {
        let (leaving, tasks) = (self.count_leaving(), kernel.count());
        self.tell(|| "the service has ended".to_owned());
        if leaving > 0 && !self.serving.is_cut {
            self.wrong(format!("the engine ends, and {leaving} clients have not been sent all"));
        }
        if tasks > 0 {
            self.wrong(format!("the engine ends, and {tasks} tasks are left"));
        }
    }

    fn begin_turn(&mut self, kernel: &Kernel<Limits>) {
        self.check_drain(kernel);
        let polled = self.serving.polled.take();
        let now = if polled.is_some() {
            let reading = self.clock();
            *self.serving.reading.insert(reading)
        } else {
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
    }

    /// A connection has gone.
    pub(super) fn leave(&mut self) {
        self.room.leave(1);
        self.serving.is_relieved = true;
    }

    /// The engine has woken the acceptor that found no room, if a connection has gone; else it has not.
    fn check_relief(&mut self, kernel: &Kernel<Limits>) {
        if std::mem::take(&mut self.serving.is_relieved)
            && std::mem::take(&mut self.serving.is_crowded)
            && let Some(listener) = self.listener
        {
            self.evidence.ready(listener, Interest::HANGUP);
            self.check_ready(kernel, listener, Role::Listener, Interest::HANGUP);
        }
    }

    /// In a drain, the engine has woken all connections that wait for something to receive.
    fn check_nudge(&mut self, kernel: &Kernel<Limits>) {
        if !self.stopping {
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

    /// The engine waits for no longer than it may.
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

    /// The engine begins the drain when it is asked to, and cuts connections off when the time for it is over. From
    /// then on it cancels all tasks, again and again.
    fn check_drain(&mut self, kernel: &Kernel<Limits>) {
        let Serving { has_noticed, was_draining, is_cut, drain_ends, .. } = self.serving;
        if has_noticed && !self.stopping && self.plan.settle.is_zero() {
            self.wrong("the engine was asked to stop, and goes on".to_owned());
        }
        if was_draining && !is_cut && self.promises.seen() >= drain_ends {
            self.wrong("the time to drain is over, and nobody is cut off".to_owned());
        }
        if is_cut {
            for task in kernel.tasks() {
                let did_wait = self.serving.waiting.contains(&task.id);
                self.evidence.ask_as(task.id, WakeReason::Cancelled, did_wait);
            }
        }
    }
}
