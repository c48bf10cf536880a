//! The native loop.

mod drain;

use std::fmt::{self, Write as _};
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sinbin_core::driven::DEFAULT_MAX_JOBS;
use sinbin_core::task::{Async, AsyncService, Conn};
use sinbin_core::{
    Acceptor, Executor, Host, IdMap, Instant, Interest, JobId, Limits, Linger, Rest, SourceId, TaskId, What,
};

use crate::caught::Caught;
use crate::clock::Clock;
use crate::compute::{Alone, Compute, Over};
use crate::error::Error;
use crate::gate::Gate;
use crate::host::{Counts, Native, NativeService, NativeTask};
use crate::inbox::Inbox;
use crate::memory::{Decay, Memory};
use crate::pool::Pool;
use crate::reactor::{Notifier, Reactor, Until};
use crate::sockets::{self, Socket, Sockets, prepare};

/// Steps of tasks that hand on to each other, before the sources are looked at again.
const UNSEEN: usize = 64;

/// The size of a block: what a connection reads at once, and the most that it keeps.
pub(crate) const BLOCK: usize = 16 * 1024;

/// How many turns tasks have to end when the time to drain is over: to be told, to be dropped, and some for sockets that
/// linger.
const MAX_CUTS: usize = 8;

/// Listeners that one server can have.
const MAX_LISTENERS: usize = 64;

/// Limits and habits of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Connections at a time; more wait in the backlog.
    pub max_connections: usize,
    /// Connections of one peer at a time, if that is limited; what comes above is reset at once. A peer is an IPv4 address,
    /// or the first 64 bits of an IPv6 address. Behind one IPv4 address there may be many users, and behind a proxy all.
    pub max_per_peer: Option<NonZeroU32>,
    /// Whether a listener on an IPv6 address such as `[::]` takes IPv4 connections too, which then come from addresses such as
    /// `::ffff:127.0.0.1`. If not, IPv4 takes a listener of its own.
    pub dual_stack: bool,
    /// Bytes that wait in the process for clients that are slow, or for jobs. At the limit, connections read
    /// in small bites. Of `async fn`s it is what they keep in a [`Kept`](crate::task::Kept); what they have in buffers of
    /// their own is not counted.
    pub max_buffered: usize,
    /// Jobs at a time: those that wait, run, or are done with a result that nobody has taken yet. Another one is refused:
    /// `submit` returns [`Full`](crate::Full), and a task's `job` [`Lost::Refused`](crate::task::Lost::Refused).
    pub max_jobs: usize,
    /// Threads for jobs, at most; they start when there are jobs. With none, jobs run in slices on the loop.
    pub workers: usize,
    /// How much of a job the loop computes between two turns, in the job's units (some nanoseconds).
    pub slice: u32,
    /// How long the loop looks for readiness again and again before it blocks.
    pub busy_poll: Duration,
    /// How long requests under way have when the server is to stop.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    /// 10,000 connections, of any peer, 64 MiB, 1000 jobs, as many workers as cores but one, no busy polling, 30 s to drain.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            max_connections: 10_000,
            max_per_peer: None,
            dual_stack: false,
            max_buffered: 64 << 20,
            max_jobs: DEFAULT_MAX_JOBS as usize,
            workers: cores.saturating_sub(1).max(1),
            slice: 50_000,
            busy_poll: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Asks a running server to stop, from any thread.
#[derive(Clone, Debug)]
pub struct Stopper {
    asked: Arc<AtomicBool>,
    notifier: Notifier,
}

impl Stopper {
    /// A handle on a loop that `notifier` wakes, for those who run one of their own.
    #[must_use]
    pub fn new(notifier: Notifier) -> Self {
        Self { asked: Arc::default(), notifier }
    }

    /// Whether somebody has asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// No new connections from here on; what was received is answered; then [`Server::run`] returns.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Release);
        self.notifier.notify();
    }
}

/// How a server ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// What it did in its life.
    pub counts: Counts,
    /// Connections that were cut because they did not end in time.
    pub cut: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        write!(
            f,
            "served {} connections, {} jobs; {} bytes in, {} bytes out",
            counts.connections, counts.jobs, counts.received, counts.sent
        )?;
        let extras = [
            (counts.failed, "connections failed"),
            (counts.turned_away, "connections turned away"),
            (counts.cancelled, "jobs cancelled"),
            (self.cut as u64, "connections cut off"),
        ];
        extras
            .iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, what)| write!(f, "; {count} {what}"))
    }
}

/// A service on sockets: one loop on one thread, and workers for its jobs.
///
/// ```
/// use sinbin::{Server, Settings, echo::Echo};
///
/// let mut server = Server::new(Echo::default(), &Settings::default())?;
/// let address = server.listen("127.0.0.1:0".parse().unwrap())?;
/// println!("listening on {address}");
/// # server.stopper().stop();
/// server.run()?;
/// # Ok::<(), sinbin::Error>(())
/// ```
pub struct Server<S: NativeService> {
    executor: Executor<Native<S>>,
    host: Native<S>,
    listeners: Vec<(SourceId, TaskId)>,
    stopper: Stopper,
    draining: Option<Instant>,
    drain_timeout: Duration,
    task_limit: usize,
    cut: usize,
    /// How many turns all tasks were ended in since the time to drain was over.
    cuts: usize,
    /// Wakes from outside, if the tasks can be woken so.
    inbox: Option<Inbox>,
    /// Steps since the sources were last looked at.
    steps: usize,
    decay: Decay,
}

impl<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd> Server<AsyncService<'d, M, F>> {
    /// A server of tasks that `inbox` wakes from outside.
    pub(crate) fn for_tasks(
        service: AsyncService<'d, M, F>,
        settings: &Settings,
        inbox: &Inbox,
    ) -> Result<Self, Error> {
        let mut server = Self::new(service, settings)?;
        inbox.interrupt_by(server.stopper.notifier.clone());
        server.inbox = Some(inbox.clone());
        Ok(server)
    }

    /// Adds a task that serves no connection.
    pub(crate) fn start(&mut self, task: Async<'d>) -> Result<TaskId, Error> {
        self.spawn(task.into())
    }
}

impl<S: NativeService> Server<S> {
    /// A server without listeners.
    ///
    /// # Errors
    ///
    /// When the system gives no poller.
    pub fn new(service: S, settings: &Settings) -> Result<Self, Error> {
        let tasks = settings.max_connections.saturating_add(MAX_LISTENERS);
        let limits =
            Limits::new(tasks, settings.max_buffered / BLOCK, BLOCK).with_jobs(settings.max_jobs).reserved();
        let reactor = Reactor::new(settings.busy_poll).map_err(Error::Poller)?;
        let stopper = Stopper::new(reactor.notifier());
        let alone = Alone { limits, slice: settings.slice };
        let compute = match settings.workers {
            0 => alone.compute(),
            workers => Compute::Workers(Pool::new(workers, reactor.notifier()), IdMap::new(), alone),
        };
        let host = Native {
            service,
            clock: Clock::start(),
            sockets: Sockets::new(tasks, &reactor),
            reactor,
            compute,
            counts: Counts::default(),
            open: 0,
            max_connections: settings.max_connections,
            gate: Gate::new(settings.max_per_peer),
            dual_stack: settings.dual_stack,
            crowded: false,
            relieved: false,
            to_linger: Vec::new(),
        };
        Ok(Self {
            executor: Executor::new(&Memory::new(limits)),
            host,
            listeners: Vec::new(),
            stopper,
            draining: None,
            drain_timeout: settings.drain_timeout,
            task_limit: tasks,
            cut: 0,
            cuts: 0,
            inbox: None,
            steps: 0,
            decay: Decay::new(),
        })
    }

    /// Listens on `address` and returns the address it got: with port 0, the system chooses one.
    ///
    /// # Errors
    ///
    /// When the address cannot be had, or there are 64 listeners already.
    pub fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, Error> {
        if self.listeners.len() >= MAX_LISTENERS {
            return Err(Error::Full { limit: MAX_LISTENERS });
        }
        let failed = |error| Error::Listen { address, error };
        let listener = sockets::bind(address, self.host.dual_stack)
            .map_err(|error| failed(error).beside(self.host.sockets.bound()))?;
        let bound = listener.local_addr().map_err(failed)?;
        self.accept_from(listener)?;
        Ok(bound)
    }

    /// Listens with a socket that somebody else has bound.
    ///
    /// # Errors
    ///
    /// When it cannot be made nonblocking, or there are 64 listeners already.
    pub fn listen_on(&mut self, listener: TcpListener) -> Result<(), Error> {
        if self.listeners.len() >= MAX_LISTENERS {
            return Err(Error::Full { limit: MAX_LISTENERS });
        }
        listener.set_nonblocking(true).map_err(Error::Prepare)?;
        self.accept_from(listener)
    }

    fn accept_from(&mut self, listener: TcpListener) -> Result<(), Error> {
        let source = self.open()?;
        self.host.sockets.insert(source, Socket::Listener(listener), false);
        let task = self.spawn(NativeTask::accept(Acceptor::new(source)))?;
        self.listeners.push((source, task));
        Ok(())
    }

    /// Serves a connection that somebody else made, or is making: it may be under way yet.
    ///
    /// # Errors
    ///
    /// When it cannot be made nonblocking, or there is no place for it.
    pub fn serve(&mut self, stream: TcpStream) -> Result<(), Error> {
        prepare(&stream).map_err(Error::Prepare)?;
        let source = self.open()?;
        self.host.adopt(source, stream);
        let task = self.host.make_task(source);
        self.spawn(task).map(|_| ())
    }

    /// A handle to stop the server by.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Runs until it is stopped, or no listener and no connection is left.
    ///
    /// # Errors
    ///
    /// When the poller fails, or all tasks wait for each other.
    pub fn run(self) -> Result<Summary, Error> {
        self.run_until(|| false)
    }

    /// Runs as [`run`](Self::run) does; when `is_over` says so, all tasks are cancelled.
    pub(crate) fn run_until(mut self, is_over: impl Fn() -> bool) -> Result<Summary, Error> {
        let ended = self.run_on(is_over);
        // Values of the user's go piece by piece: each destructor is within a catch.
        let Self { executor, host: Native { service, .. }, .. } = self;
        drop(executor);
        drop(Caught::new(service));
        ended
    }

    fn run_on(&mut self, is_over: impl Fn() -> bool) -> Result<Summary, Error> {
        let mut ending = false;
        let mut has_looked = true;
        loop {
            self.open_inbox();
            self.steps += self.turn(has_looked);
            self.open_inbox();
            if !ending && is_over() {
                ending = true;
                self.draining = Some(self.now() + self.drain_timeout);
                self.executor.kernel.cancel_all();
            }
            self.linger();
            self.relieve();
            self.slice();
            let now = self.executor.kernel.now();
            self.decay.go_on(&mut self.executor, now);
            if self.draining.is_some() {
                self.nudge();
            }
            let rest = self.executor.kernel.rest();
            // Tasks that hand on to each other need not pay for a look at the sources each.
            let goes_on = self.executor.kernel.has_ready() && self.steps < UNSEEN && self.draining.is_none();
            has_looked = !goes_on;
            match rest {
                Rest::Empty => break,
                // The program is over, and the tasks that still clean up wait for others that are gone.
                Rest::Stalled if ending => self.draining = Some(Instant::ZERO),
                Rest::Stalled => return Err(self.stalled()),
                _ if goes_on => continue,
                Rest::Ready | Rest::Until(_) => self.wait(rest)?,
            }
            self.check_stop();
            if self.cuts > MAX_CUTS {
                // A task that does not end is dropped with the loop.
                break;
            }
        }
        Ok(Summary { counts: self.host.counts, cut: self.cut })
    }

    fn now(&self) -> Instant {
        self.host.clock.now()
    }

    /// Runs a turn, and returns how many steps it had. Time moves if the sources have been looked at since the last one.
    fn turn(&mut self, has_looked: bool) -> usize {
        if has_looked {
            let now = self.now();
            self.executor.turn(now, &mut self.host)
        } else {
            let now = self.executor.kernel.now();
            self.executor.turn_unseen(now, &mut self.host)
        }
    }

    fn open(&mut self) -> Result<SourceId, Error> {
        let limit = self.task_limit;
        self.executor.kernel.open().map_err(|_| Error::Full { limit })
    }

    fn spawn(&mut self, task: NativeTask<S>) -> Result<TaskId, Error> {
        let limit = self.task_limit;
        self.executor.spawn(task).map_err(|_| Error::Full { limit })
    }

    /// Wakes those who were woken from outside.
    #[inline]
    fn open_inbox(&mut self) {
        if let Some(inbox) = &self.inbox {
            for task in inbox.take() {
                self.executor.kernel.wake(task);
            }
        }
    }

    /// Waits for readiness as the kernel asks, and tells it what is there.
    fn wait(&mut self, rest: Rest) -> Result<(), Error> {
        self.steps = 0;
        self.watch();
        let until = self.until(rest);
        let clock = self.host.clock;
        let Self { executor, host, .. } = self;
        let Native { sockets, reactor, .. } = host;
        let waited = reactor.wait(
            until,
            || clock.now(),
            |index, readiness| {
                if let Some(source) = sockets.id(index) {
                    executor.kernel.ready(source, readiness);
                }
            },
        );
        if waited.map_err(Error::Poller)? {
            for over in self.host.compute.finished() {
                self.tell(over);
            }
        }
        Ok(())
    }

    /// Has the reactor watch what the kernel wants watched.
    fn watch(&mut self) {
        while let Some((source, interest)) = self.executor.kernel.next_change() {
            if let Err(error) = self.host.sockets.watch(source, interest) {
                tracing::error!(%source, %error, "a connection cannot be watched, and is closed");
                self.close(source);
            }
        }
    }

    fn until(&self, rest: Rest) -> Until {
        let end_of_drain = self.draining.unwrap_or(Instant::NEVER);
        let next = end_of_drain.min(self.decay.next(&self.executor));
        match rest {
            Rest::Until(deadline) if !self.host.compute.is_busy() => match deadline.min(next) {
                Instant::NEVER => Until::Ever,
                deadline => Until::At(deadline),
            },
            _ => Until::Now,
        }
    }

    fn close(&mut self, source: SourceId) {
        if self.executor.kernel.close(source) {
            self.host.close(source);
        }
    }

    /// What closed with something unread is read out, by a task of its own.
    fn linger(&mut self) {
        if self.host.to_linger.is_empty() {
            return;
        }
        let now = self.now();
        for (stream, peer) in mem::take(&mut self.host.to_linger) {
            // Without a place for it, the socket is closed as it is.
            let Ok(source) = self.open() else { break };
            self.host.sockets.insert(source, Socket::Stream(stream), true);
            self.host.gate.rename(source, peer);
            self.host.open += 1;
            if self.spawn(NativeTask::linger(Linger::new(source, now))).is_err() {
                self.close(source);
            }
        }
    }

    /// Acceptors that found no room look again when a connection has gone.
    fn relieve(&mut self) {
        if !(self.host.crowded && self.host.relieved) {
            self.host.relieved = false;
            return;
        }
        self.host.crowded = false;
        self.host.relieved = false;
        for listener in self.host.sockets.listeners() {
            self.executor.kernel.ready(listener, Interest::HANGUP);
        }
    }

    fn slice(&mut self) {
        if let Some(over) = self.host.compute.slice() {
            self.tell(over);
        }
    }

    fn tell(&mut self, over: Over) {
        match over {
            Over::Done(job) => self.executor.kernel.job_done(job),
            Over::Failed(job) => {
                let who = self.who_waits_for(job);
                tracing::error!(%job, "{who} has lost its job, which panicked");
                self.executor.kernel.end_job(job);
            }
        }
    }

    /// Returns the name of the task that waits for a job, for a report.
    fn who_waits_for(&self, job: JobId) -> String {
        let mut tasks = self.executor.kernel.tasks();
        let Some(task) = tasks.find(|task| task.waits.contains(&Some(What::Job(job)))) else {
            return "a task".to_owned();
        };
        let label = self.executor.label(task.id).map_or_else(String::new, |label| format!(" ({label})"));
        format!("task {}{label}", task.id)
    }

    fn stalled(&self) -> Error {
        let mut list = String::new();
        for task in self.executor.kernel.tasks() {
            write!(list, "\n  {task}").ok();
            if let Some(label) = self.executor.label(task.id) {
                write!(list, " ({label})").ok();
            }
        }
        Error::Stalled { tasks: self.executor.kernel.count(), list }
    }
}
