//! The loop that serves, on any platform.

use core::time::Duration;
use core::{fmt, mem};

use crate::exec::executor::Executor;
use crate::kernel::Rest;
use crate::kernel::error::{Full, IoError};
use crate::kernel::id::{SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::kernel::interest::Interest;
use crate::serve::acceptor::Acceptor;
use crate::serve::drain::Drain;
use crate::serve::guard::Guard;
use crate::serve::linger::Linger;
use crate::serve::list::{LISTENERS, List, push};
use crate::serve::platform::{Platform, Until};
use crate::serve::task::ServeTask;
use crate::serve::turn::{Polled, STEPS_PER_POLL, turn};

/// The maximum number of turns in which tasks are ended by force after the drain timeout: one delivers the
/// cancellation, one drops the task, and the others are for lingering sockets.
const MAX_CUTS: usize = 8;

/// The reason why a loop ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stopped<E> {
    /// All tasks wait, and nothing can wake them.
    Stalled,
    /// The platform failed to wait.
    Platform(E),
}

impl<E: fmt::Display> fmt::Display for Stopped<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled => f.write_str("all tasks wait, and nothing can wake them"),
            Self::Platform(error) => write!(f, "cannot wait for readiness: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Stopped<E> {}

/// The state that an iteration of the loop passes to the next one.
#[derive(Clone, Copy)]
struct Round {
    /// The poll of the sources before the next turn.
    polled: Polled,
    /// Set if all tasks were cancelled.
    is_ending: bool,
}

impl Round {
    const FIRST: Self = Self { polled: Polled::All, is_ending: false };
}

/// A loop that serves connections on a [`Platform`].
///
/// Each iteration runs a turn of the tasks, handles closed connections and acceptors that lacked capacity, and waits
/// for what the tasks wait for. Tasks that wake each other run further turns without a poll of the sources, until 64
/// steps have run since the last poll.
pub struct Engine<P: Platform> {
    /// The kernel and the tasks.
    pub executor: Executor<P>,
    /// The sources, the clock and the service.
    pub platform: P,
    listeners: List<SourceId, LISTENERS>,
    drain: Drain,
    drain_timeout: Duration,
    /// The number of connections that were cut off after the drain timeout.
    cut: usize,
    /// The number of steps since the last poll of the sources.
    steps: usize,
    /// The state that the last [`step`](Self::step) passed to the next one.
    round: Round,
}

impl<P: Platform> Engine<P> {
    /// Creates a loop without listeners and connections. When it stops, pending requests have `drain_timeout` to
    /// finish.
    #[must_use]
    pub fn new(platform: P, storage: &P::Storage, drain_timeout: Duration) -> Self {
        Self {
            executor: Executor::new(storage),
            platform,
            listeners: List::new(),
            drain: Drain::Off,
            drain_timeout,
            cut: 0,
            steps: 0,
            round: Round::FIRST,
        }
    }

    /// Adds a listener, and the task that accepts its connections. `keep` passes the listener to the platform, under
    /// the given id.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] if no slot is free, and, without a heap, if eight listeners exist. If `keep` was called before
    /// that, the listener is closed again.
    pub fn accept_from(&mut self, keep: impl FnOnce(&mut P, SourceId)) -> Result<(), Full> {
        let source = self.add(keep, |_, source| ServeTask::accept(Acceptor::new(source)))?;
        push(&mut self.listeners, source).map_err(|source| {
            close(&mut self.executor, &mut self.platform, source);
            Full
        })
    }

    /// Serves a connection that was made elsewhere. `keep` passes the connection to the platform, under the given id.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] if no slot is free. If `keep` was called before that, the connection is closed again.
    pub fn serve(&mut self, keep: impl FnOnce(&mut P, SourceId)) -> Result<(), Full> {
        self.add(keep, ServeTask::connect).map(|_| ())
    }

    /// Adds a task.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] if no slot is free. The task is dropped.
    pub fn spawn(&mut self, task: P::Task) -> Result<TaskId, Full> {
        match self.executor.spawn(task) {
            Ok(id) => {
                self.platform.stored(id, || self.executor.label(id));
                Ok(id)
            }
            Err(task) => {
                self.platform.guard().drop(task);
                Err(Full)
            }
        }
    }

    /// Drops all tasks, one by one, without running another step of any of them.
    pub fn clear(&mut self) {
        let guard = self.platform.guard();
        self.executor.drain(|task| guard.drop(task));
    }

    /// Runs until the platform [is to stop](Platform::is_to_stop) and every request is answered, or until no task is
    /// left. When `is_over` first returns true, all tasks are cancelled. Returns the number of connections that were
    /// cut off because they did not end in time.
    ///
    /// # Errors
    ///
    /// Returns [`Stopped::Platform`] if the platform fails to wait, and [`Stopped::Stalled`] if all tasks wait for each
    /// other.
    pub fn run(&mut self, is_over: impl Fn() -> bool) -> Result<usize, Stopped<P::Error>> {
        let mut round = Round::FIRST;
        while self.run_round(&mut round, &is_over)? {}
        Ok(self.cut)
    }

    /// Runs one iteration of [`run`](Self::run): a turn, and a wait if the turn left nothing to do at once. Returns
    /// false when the loop has ended. Intended for callers that inspect the loop between iterations, or have other work
    /// to do.
    ///
    /// # Errors
    ///
    /// Fails as [`run`](Self::run) does.
    pub fn step(&mut self, is_over: impl Fn() -> bool) -> Result<bool, Stopped<P::Error>> {
        let mut round = self.round;
        let goes_on = self.run_round(&mut round, &is_over);
        self.round = round;
        goes_on
    }

    /// Runs one iteration. `round` is not a field here, so that [`run`](Self::run) can keep it in registers.
    #[inline]
    fn run_round(
        &mut self,
        round: &mut Round,
        is_over: &impl Fn() -> bool,
    ) -> Result<bool, Stopped<P::Error>> {
        self.platform.take_wakes(&mut self.executor);
        self.steps += turn(&mut self.executor, &mut self.platform, round.polled, P::now);
        self.platform.take_wakes(&mut self.executor);
        if !round.is_ending && is_over() {
            round.is_ending = true;
            // A drain that has begun keeps its deadline.
            if !self.drain.ends_connections() {
                self.drain = Drain::within(self.platform.now(), self.drain_timeout);
            }
            self.executor.kernel.cancel_all();
        }
        self.see_to_connections();
        let rest = self.executor.kernel.rest();
        let goes_on = self.executor.kernel.has_ready() && self.steps < STEPS_PER_POLL && self.drain.is_off();
        round.polled = Polled::None;
        match rest {
            Rest::Empty if self.platform.leaving() == 0 || self.is_cutting() => return Ok(false),
            // All tasks are cancelled. Those that still clean up wait for tasks that are gone.
            Rest::Stalled if round.is_ending && !self.is_cutting() => {
                self.drain = Drain::Ending(Instant::ZERO);
            }
            Rest::Stalled if round.is_ending => {}
            Rest::Stalled => return Err(Stopped::Stalled),
            _ if goes_on => return Ok(true),
            rest => round.polled = self.wait(rest)?,
        }
        self.check_drain();
        // A task that does not end is dropped with the loop.
        Ok(!matches!(self.drain, Drain::Over(cuts) if cuts > MAX_CUTS))
    }

    /// Does the work that follows a turn: connections that linger, acceptors that have capacity again, and the
    /// platform's work between turns.
    fn see_to_connections(&mut self) {
        self.linger();
        // An acceptor without capacity waits for its listener's hangup. Ending that wait is harmless: the acceptor
        // tries again.
        for listener in self.platform.room().take_relieved() {
            self.executor.kernel.ready(listener, Interest::HANGUP);
        }
        if self.platform.between_turns(&mut self.executor) {
            self.steps += STEPS_PER_POLL;
        }
        if self.drain.ends_connections() {
            self.nudge();
        }
    }

    fn wait(&mut self, rest: Rest) -> Result<Polled, Stopped<P::Error>> {
        self.steps = 0;
        let until = self.until(rest);
        let is_whole = self.platform.wait(&mut self.executor, until).map_err(Stopped::Platform)?;
        Ok(if is_whole { Polled::All } else { Polled::Part })
    }

    fn until(&self, rest: Rest) -> Until {
        let end = self.drain.deadline();
        // A platform that reports events as soon as they arrive misses none in an ordinary poll.
        if !self.platform.settle().is_zero()
            && (self.executor.kernel.has_due() || !self.drain.is_off() && end <= self.platform.now())
        {
            return Until::Due;
        }
        match rest {
            _ if self.platform.is_busy() => Until::Poll,
            Rest::Until(deadline) => {
                Until::At(deadline.min(end).min(self.platform.next_deadline(&self.executor)))
            }
            Rest::Empty => Until::At(end),
            Rest::Ready | Rest::Stalled => Until::Poll,
        }
    }

    /// Adds a source, which `keep` passes to the platform, and the task that `make` creates for the source.
    fn add(
        &mut self,
        keep: impl FnOnce(&mut P, SourceId),
        make: impl FnOnce(&mut P, SourceId) -> P::Task,
    ) -> Result<SourceId, Full> {
        let source = self.executor.kernel.open()?;
        keep(&mut self.platform, source);
        let task = make(&mut self.platform, source);
        self.spawn_for(source, task).map(|()| source)
    }

    /// Adds the task of a source. Closes the source if no slot is free for the task.
    fn spawn_for(&mut self, source: SourceId, task: P::Task) -> Result<(), Full> {
        match self.spawn(task) {
            Ok(task) => {
                self.platform.spawned(task, source);
                Ok(())
            }
            Err(full) => {
                close(&mut self.executor, &mut self.platform, source);
                Err(full)
            }
        }
    }

    /// Spawns a task for each closed connection with unread input, to read that input.
    fn linger(&mut self) {
        let unread = self.platform.room().unread();
        if unread.is_empty() {
            return;
        }
        let unread = self.platform.room().take_unread();
        let now = self.platform.now();
        for closed in unread {
            match self.executor.kernel.open() {
                Ok(source) => {
                    self.platform.linger(source, closed);
                    let _ = self.spawn_for(source, ServeTask::linger(Linger::new(source, now)));
                }
                Err(Full) => self.platform.let_go(closed),
            }
        }
    }

    fn is_cutting(&self) -> bool {
        matches!(self.drain, Drain::Over(_))
    }

    /// Enters the next stage of the drain if it is time. A poll of the sources comes between a stage's deadline and the
    /// action at that deadline, so that input which arrived in time is seen.
    fn check_drain(&mut self) {
        let seen = self.executor.kernel.seen();
        match self.drain {
            Drain::Off if self.platform.is_to_stop() => self.begin_drain(),
            Drain::Off => {}
            Drain::Accepting(at) if seen >= at => self.receive_last(),
            Drain::Receiving(at) if seen >= at => self.tell_all(),
            Drain::Ending(at) if seen >= at => self.cut_off(),
            Drain::Over(_) => self.cut_off(),
            Drain::Accepting(_) | Drain::Receiving(_) | Drain::Ending(_) => {}
        }
    }

    fn begin_drain(&mut self) {
        if self.platform.settle().is_zero() {
            self.receive_last();
            self.tell_all();
        } else {
            self.drain = Drain::Accepting(self.platform.now() + self.platform.settle());
        }
    }

    /// Accepts the last connections of the listeners and closes the listeners.
    fn receive_last(&mut self) {
        for listener in mem::take(&mut self.listeners) {
            self.accept_waiting(listener);
            close(&mut self.executor, &mut self.platform, listener);
        }
        self.drain = Drain::Receiving(self.platform.now() + self.platform.settle());
    }

    /// Notifies connections without input that the loop stops.
    fn tell_all(&mut self) {
        self.platform.begin_drain();
        self.drain = Drain::within(self.platform.now(), self.drain_timeout);
    }

    /// Accepts the connections in the backlog: their requests came before the request to stop and are answered.
    fn accept_waiting(&mut self, listener: SourceId) {
        while let Ok(new) = self.executor.kernel.open() {
            let accepted = self.platform.accept(listener, new);
            if accepted.is_err() {
                self.executor.kernel.close(new);
            }
            match accepted {
                Ok(()) => {
                    let task = self.platform.serve(listener, new);
                    let _ = self.spawn_for(new, task);
                }
                Err(IoError::Reset) => {}
                Err(_) => break,
            }
        }
    }

    /// Wakes every connection that waits for a request, so that it receives available input, or ends.
    fn nudge(&mut self) {
        for source in self.platform.served() {
            self.executor.kernel.ready(source, Interest::RECV);
        }
    }

    /// Ends all tasks by force. The first call may only deliver a cancellation; tasks that are left after the next turn
    /// are ended again.
    #[cold]
    fn cut_off(&mut self) {
        let cuts = match self.drain {
            Drain::Over(cuts) => cuts,
            _ => {
                let late = self.platform.served().count() + self.platform.leaving();
                self.platform.cut_off(late);
                self.cut += late;
                0
            }
        };
        self.drain = Drain::Over(cuts + 1);
        self.executor.kernel.end_all();
    }
}

/// Closes a source, unless it is closed already.
fn close<P: Platform>(executor: &mut Executor<P>, platform: &mut P, source: SourceId) {
    if executor.kernel.close(source) {
        platform.close(source);
    }
}
