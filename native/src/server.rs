//! The native loop.

use std::fmt::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sinbin_core::driven::{BLOCK, DEFAULT_MAX_JOBS};
use sinbin_core::kernel::IdMap;
use sinbin_core::serve::{Admission, Engine, Guard as _, Stopped};
use sinbin_core::task::{Async, AsyncService, Conn, Resolver};
use sinbin_core::{Limits, TaskId};

use crate::bound::{BoundListener, Place, bind_path};
use crate::caught::Catch;
use crate::clock::Clock;
use crate::compute::{Alone, Compute};
use crate::error::Error;
use crate::host::{Native, NativeService, Tally};
use crate::inbox::Inbox;
use crate::memory::{Decay, Memory};
use crate::names::Names;
use crate::observe::{Control, LimitsOfLoop, Observer, Phase, SourceKind, board};
use crate::peer_limit::PeerLimit;
use crate::platform::label;
use crate::pool::{KEEP_ALIVE, PoolLimits, Purpose};
use crate::reactor::{Notifier, Reactor};
use crate::sockets::{self, Listening, Socket, Sockets, prepare};
use crate::task_spans::TaskSpans;
use crate::workers::{Blocking, Workers};

/// The maximum number of listeners of a server.
const MAX_LISTENERS: usize = 64;

/// The limits and options of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The maximum number of simultaneous connections. Further connections wait in the backlog.
    pub max_connections: usize,
    /// The maximum number of simultaneous connections per peer, or `None` for no limit. A connection above the limit is
    /// reset at once. A peer is an IPv4 address, or the first 64 bits of an IPv6 address. Many users may share one IPv4
    /// address, and all users of a proxy share its address.
    pub max_per_peer: Option<NonZeroU32>,
    /// Set if a listener on an IPv6 address such as `[::]` is to accept IPv4 connections too. Their peers then have
    /// addresses such as `::ffff:127.0.0.1`. Otherwise, IPv4 requires a separate listener.
    pub dual_stack: bool,
    /// The maximum number of bytes that the process stores for slow clients or for jobs. At the limit, connections read
    /// only small pieces. For `async fn`s, this limits the bytes in a [`Kept`](crate::task::Kept); bytes in buffers of
    /// their own are not counted.
    pub max_buffered: usize,
    /// The maximum number of simultaneous jobs: those that wait, run, or have a result that was not taken yet. Further
    /// jobs are refused: `submit` returns [`Full`](crate::Full), and a task's `job` returns
    /// [`JobError::Wait`](crate::task::JobError::Wait).
    pub max_jobs: usize,
    /// The maximum number of worker threads for jobs. Workers start when they are needed. With 0, jobs run in slices on
    /// the loop.
    pub workers: usize,
    /// The maximum number of threads for calls that block, such as look-ups of names:
    /// [`Handle::blocking`](crate::task::Handle::blocking). Threads start when they are needed; further calls wait for
    /// one. With 0, such calls are refused.
    pub blocking_threads: usize,
    /// The time after which a thread ends that has neither a job nor a call. A process of a single thread receives and
    /// sends faster.
    pub thread_keep_alive: Duration,
    /// The size of a slice that the loop computes between two turns, in the units of the job (some nanoseconds each).
    pub slice: u32,
    /// The time for which the loop polls for readiness before it blocks.
    pub busy_poll: Duration,
    /// The time that requests in progress have to complete when the server stops.
    pub drain_timeout: Duration,
    pub(crate) names: Names,
    /// Set if other processes of the same user may look at the loop: see [`observe`](crate::observe). If the system
    /// cannot provide the memory for that, the server logs a warning, and serves.
    pub observe: bool,
    /// Set if other processes of the same user may cancel tasks of the loop: `sinbin kill`. Has no effect unless they may
    /// also look at it. If the system cannot provide the pipe for that, the server logs a warning, and serves.
    pub control: bool,
}

impl Default for Settings {
    /// Returns the defaults: 10,000 connections with no limit per peer, 64 MiB, 1000 jobs, one worker fewer than cores
    /// (at least one), 64 threads for calls that block, 10 s until an idle thread ends, no busy polling, 30 s to drain,
    /// and neither looks nor commands from other processes.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            max_connections: 10_000,
            max_per_peer: None,
            dual_stack: false,
            max_buffered: 64 << 20,
            max_jobs: DEFAULT_MAX_JOBS as usize,
            workers: cores.saturating_sub(1).max(1),
            blocking_threads: 64,
            thread_keep_alive: KEEP_ALIVE,
            slice: 50_000,
            busy_poll: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            names: Names::default(),
            observe: false,
            control: false,
        }
    }
}

/// Each method sets one field, and returns the settings.
///
/// ```
/// use std::time::Duration;
///
/// use sinbin::Settings;
///
/// let settings = Settings::default().max_connections(100).drain_timeout(Duration::from_secs(5));
/// assert_eq!(settings.max_connections, 100);
/// ```
impl Settings {
    /// Sets the maximum number of simultaneous connections.
    #[must_use]
    pub const fn max_connections(mut self, max_connections: usize) -> Self {
        self.max_connections = max_connections;
        self
    }

    /// Sets the maximum number of simultaneous connections per peer; `None` means no limit.
    #[must_use]
    pub const fn max_per_peer(mut self, max_per_peer: Option<NonZeroU32>) -> Self {
        self.max_per_peer = max_per_peer;
        self
    }

    /// Sets whether listeners on IPv6 addresses accept IPv4 connections too.
    #[must_use]
    pub const fn dual_stack(mut self, dual_stack: bool) -> Self {
        self.dual_stack = dual_stack;
        self
    }

    /// Sets the maximum number of bytes stored for slow clients and for jobs.
    #[must_use]
    pub const fn max_buffered(mut self, max_buffered: usize) -> Self {
        self.max_buffered = max_buffered;
        self
    }

    /// Sets the maximum number of simultaneous jobs.
    #[must_use]
    pub const fn max_jobs(mut self, max_jobs: usize) -> Self {
        self.max_jobs = max_jobs;
        self
    }

    /// Sets the maximum number of worker threads; with 0, jobs run in slices on the loop.
    #[must_use]
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Sets the maximum number of threads for calls that block; with 0, such calls are refused.
    #[must_use]
    pub const fn blocking_threads(mut self, blocking_threads: usize) -> Self {
        self.blocking_threads = blocking_threads;
        self
    }

    /// Sets the time after which an idle thread ends.
    #[must_use]
    pub const fn thread_keep_alive(mut self, thread_keep_alive: Duration) -> Self {
        self.thread_keep_alive = thread_keep_alive;
        self
    }

    /// Returns the limits of a pool of up to this many threads.
    const fn threads(&self, purpose: Purpose, threads: usize) -> PoolLimits {
        PoolLimits { purpose, threads, keep_alive: self.thread_keep_alive }
    }

    /// Sets the size of a slice, in the units of the job.
    #[must_use]
    pub const fn slice(mut self, slice: u32) -> Self {
        self.slice = slice;
        self
    }

    /// Sets the time for which the loop polls before it blocks.
    #[must_use]
    pub const fn busy_poll(mut self, busy_poll: Duration) -> Self {
        self.busy_poll = busy_poll;
        self
    }

    /// Sets the time that requests in progress have when the server stops.
    #[must_use]
    pub const fn drain_timeout(mut self, drain_timeout: Duration) -> Self {
        self.drain_timeout = drain_timeout;
        self
    }

    /// Sets the resolver of names, in place of that of the system: one that asks a server of its own, or a table for
    /// tests. The loop calls it on the threads for [calls that block](Self::blocking_threads).
    ///
    /// ```
    /// use sinbin::{IoError, Settings};
    ///
    /// let hosts = |host: &str, port: u16| match host {
    ///     "here" => Ok(vec![([127, 0, 0, 1], port).into()]),
    ///     _ => Err(IoError::Unresolved),
    /// };
    /// let found = Settings::default().resolver(hosts).run(async |handle| handle.resolve("here:80").await)?;
    /// assert_eq!(found.unwrap(), ["127.0.0.1:80".parse().unwrap()]);
    /// # Ok::<(), sinbin::Error>(())
    /// ```
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolver + 'static) -> Self {
        self.names = Names(Arc::new(resolver));
        self
    }

    /// Sets whether other processes of the same user may look at the loop.
    #[must_use]
    pub const fn observe(mut self, observe: bool) -> Self {
        self.observe = observe;
        self
    }

    /// Sets whether other processes of the same user may cancel tasks of the loop, if they may look at it.
    #[must_use]
    pub const fn control(mut self, control: bool) -> Self {
        self.control = control;
        self
    }
}

/// A handle that stops a running server, from any thread.
#[derive(Clone, Debug)]
pub struct Stopper {
    asked: Arc<AtomicBool>,
    notifier: Notifier,
}

impl Stopper {
    /// Creates a handle for the loop that `notifier` wakes.
    pub(crate) fn new(notifier: Notifier) -> Self {
        Self { asked: Arc::default(), notifier }
    }

    /// Returns true if the server was asked to stop.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Asks the server to accept no new connections and to answer the requests received so far. [`Server::run`] then
    /// returns.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Release);
        self.notifier.notify();
    }

    /// Ends the current or the next wait of the loop, without a stop.
    pub(crate) fn notify(&self) {
        self.notifier.notify();
    }
}

/// The outcome of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// The counters over the server's whole life.
    pub counts: Tally,
    /// The number of connections that were cut because they did not end in time.
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

/// A service on sockets: one loop on one thread, with worker threads for jobs.
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
    engine: Engine<Native<S>>,
    listeners: usize,
    task_limit: usize,
}

impl<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd> Server<AsyncService<'d, M, F>> {
    /// Creates a server for tasks that can be woken from outside through `inbox`.
    pub(crate) fn for_tasks(
        service: AsyncService<'d, M, F>,
        settings: &Settings,
        inbox: &Inbox,
    ) -> Result<Self, Error> {
        let mut server = Self::new(service, settings)?;
        let host = &mut server.engine.platform;
        inbox.interrupt_by(host.stopper.notifier.clone());
        host.inbox = Some(inbox.clone());
        Ok(server)
    }

    /// Adds a task that serves no connection.
    pub(crate) fn start(&mut self, task: Async<'d>) -> Result<TaskId, Error> {
        self.engine.spawn(task.into()).map_err(|_| self.full())
    }
}

impl<S: NativeService> Server<S> {
    /// Creates a server without listeners.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Poller`] if the system provides no poller.
    pub fn new(service: S, settings: &Settings) -> Result<Self, Error> {
        let tasks = settings.max_connections.saturating_add(MAX_LISTENERS);
        let limits =
            Limits::new(tasks, settings.max_buffered / BLOCK, BLOCK).with_jobs(settings.max_jobs).reserved();
        let reactor = Reactor::new(settings.busy_poll).map_err(Error::Poller)?;
        let stopper = Stopper::new(reactor.notifier());
        let alone = Alone { limits, slice: settings.slice };
        let compute = match settings.workers {
            0 => alone.compute(),
            workers => {
                let limits = settings.threads(Purpose::Computing, workers);
                Compute::Workers(Workers::new(limits, reactor.notifier()), alone)
            }
        };
        let blocking = settings.threads(Purpose::Blocking, settings.blocking_threads);
        let blocking = Blocking::new(blocking, reactor.notifier());
        let board = board(settings.observe, tasks, settings.max_jobs);
        let mut observer = Observer::new(&board);
        let clock = Clock::start();
        let bounds = LimitsOfLoop {
            connections: settings.max_connections,
            buffered: settings.max_buffered,
            jobs: settings.max_jobs,
            workers: settings.workers,
        };
        observer.begin(clock.zero(), &bounds, std::any::type_name::<S::Conn>());
        let control = control(settings.control && observer.is_on(), &reactor, &observer);
        let host = Native {
            control,
            service,
            clock,
            observer,
            spans: TaskSpans::if_asked(),
            sockets: Sockets::new(tasks, &reactor, clock, settings.max_buffered),
            reactor,
            compute,
            blocking,
            counts: Tally::default(),
            room: Admission::new(settings.max_connections),
            peer_limit: PeerLimit::new(settings.max_per_peer),
            dual_stack: settings.dual_stack,
            names: settings.names.clone(),
            stopper,
            stop_waiters: IdMap::new(),
            inbox: None,
            decay: Decay::new(),
        };
        let engine = Engine::new(host, &Memory::new(limits, board), settings.drain_timeout);
        Ok(Self { engine, listeners: 0, task_limit: tasks })
    }

    /// Listens on `address` and returns the bound address. With port 0, the system chooses a port.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot listen on the address, or already has 64 listeners.
    pub fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, Error> {
        self.check_listeners()?;
        let host = &self.engine.platform;
        let failed = |error| Error::Listen { address, error };
        let listener = sockets::bind(address, host.dual_stack)
            .map_err(|error| failed(error).beside(host.sockets.bound()))?;
        let bound = listener.local_addr().map_err(failed)?;
        self.accept_from(Listening::Tcp(listener))?;
        Ok(bound)
    }

    /// Listens at `place` and returns the place that is bound: on an address as [`listen`](Self::listen) does, or on a
    /// Unix socket as [`Settings::bind_path`] does.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot listen there, or already has 64 listeners.
    pub fn listen_at(&mut self, place: &Place) -> Result<Place, Error> {
        match place {
            Place::Address(address) => self.listen(*address).map(Place::Address),
            Place::Path(path) => {
                self.check_listeners()?;
                self.accept_from(bind_path(path)?)?;
                Ok(place.clone())
            }
        }
    }

    /// Listens with a socket that is already bound.
    ///
    /// # Errors
    ///
    /// Fails if the socket cannot be made nonblocking, or if the server already has 64 listeners.
    pub fn listen_on(&mut self, listener: impl Into<BoundListener>) -> Result<(), Error> {
        self.check_listeners()?;
        let BoundListener(listener) = listener.into();
        listener.set_nonblocking().map_err(Error::Prepare)?;
        self.accept_from(listener)
    }

    fn check_listeners(&self) -> Result<(), Error> {
        if self.listeners < MAX_LISTENERS { Ok(()) } else { Err(Error::Full { limit: MAX_LISTENERS }) }
    }

    fn accept_from(&mut self, listener: Listening) -> Result<(), Error> {
        let keep = |host: &mut Native<S>, source| {
            let address = listener.address();
            host.sockets.insert(source, Socket::Listener(listener), false);
            host.observer.source(source, SourceKind::Listener, address);
        };
        self.engine.accept_from(keep).map_err(|_| self.full())?;
        self.listeners += 1;
        Ok(())
    }

    /// Serves a connection that was created elsewhere. The connection may still be in the process of connecting.
    ///
    /// # Errors
    ///
    /// Fails if the connection cannot be made nonblocking, or if the limit of connections is reached.
    pub fn serve(&mut self, stream: TcpStream) -> Result<(), Error> {
        prepare(&stream).map_err(Error::Prepare)?;
        self.engine.serve(|host, source| host.adopt(source, stream)).map_err(|_| self.full())
    }

    /// Returns a handle that stops the server.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.engine.platform.stopper.clone()
    }

    /// Serves until the server is stopped, or until no listener and no connection is left.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Poller`] if the poller fails, and [`Error::Stalled`] if all tasks wait for each other.
    pub fn run(self) -> Result<Summary, Error> {
        self.run_until(|| false)
    }

    /// Serves as [`run`](Self::run) does, and cancels all tasks once `is_over` returns true.
    pub(crate) fn run_until(mut self, is_over: impl Fn() -> bool) -> Result<Summary, Error> {
        let ended = match self.engine.run(is_over) {
            Ok(cut) => Ok(Summary { counts: self.engine.platform.counts, cut }),
            Err(Stopped::Platform(error)) => Err(Error::Poller(error)),
            Err(Stopped::Stalled) => Err(self.stalled()),
        };
        self.engine.platform.observer.phase(Phase::Ended);
        // The destructor of the service is user code.
        Catch.drop(self);
        ended
    }

    fn full(&self) -> Error {
        Error::Full { limit: self.task_limit }
    }

    fn stalled(&self) -> Error {
        let executor = &self.engine.executor;
        let mut list = String::new();
        for task in executor.kernel.tasks() {
            write!(list, "\n  {task}").ok();
            if let Some(name) = executor.wait_name(task.id) {
                write!(list, ", for {name:?}").ok();
            }
            if let Some(label) = label(executor, task.id) {
                write!(list, " ({label})").ok();
            }
        }
        Error::Stalled { tasks: executor.kernel.count(), list }
    }
}

/// Lets other processes send commands, if they may. If the system cannot provide the pipe for that, a warning is logged.
fn control(is_wanted: bool, reactor: &Reactor, observer: &Observer) -> Option<Control> {
    let control = is_wanted.then(|| {
        let control = Control::open(&reactor.registry())?;
        observer.accepts_commands(&control)?;
        Ok::<_, std::io::Error>(control)
    });
    control?
        .inspect_err(|error| tracing::warn!(%error, "other processes can't send commands to this one"))
        .ok()
}

impl<S: NativeService> Drop for Server<S> {
    /// Drops the tasks one by one, each under `catch_unwind`, because their destructors are user code.
    fn drop(&mut self) {
        self.engine.clear();
    }
}
