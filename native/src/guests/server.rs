//! The loop: it collects events, calls the guest, and executes the guest's commands.

mod commands;
mod connecting;
mod drain;
mod fault;
#[cfg(feature = "tls")]
mod handshake;
mod listening;
mod program;
mod readiness;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sinbin_core::driven::{BLOCK, Event, ServiceLimits, ServiceSettings};
use sinbin_core::{Instant, Interest, Rest, SourceId};

use crate::bound::{BoundListener, Place, bind_path};
use crate::caught::Caught;
use crate::clock::Clock;
use crate::error::Error;
use crate::guests::input::{Input, handle};
use crate::guests::jobs::Jobs;
use crate::guests::log::Log;
use crate::guests::outgoing::Outgoing;
use crate::guests::recorder::Recorder;
use crate::guests::restarts::Restarts;
use crate::guests::server::listening::RequestedListener;
use crate::guests::server::program::Program;
use crate::guests::settings::{GuestSettings, GuestSummary};
use crate::guests::source_table::{Role, SourceTable};
use crate::guests::surroundings::Surroundings;
use crate::guests::{Guest, GuestFactory, caught_call};
use crate::host::Tally;
use crate::observe::{Board, Drives, Gauges, GuestTables, LimitsOfLoop, Observer, Phase, SourceKind, board};
use crate::peer_limit::PeerLimit;
use crate::reactor::{Reactor, Until};
use crate::server::{Stopper, Summary as Served};
use crate::sockets::{Listening, Socket, Sockets, bind};

/// The maximum number of listeners of a server.
const MAX_LISTENERS: usize = 64;

/// The maximum number of bytes that a guest may send on a source before the system has accepted them.
const WINDOW: u32 = 64 * 1024;

/// The window while the limit of bytes stored for slow clients is reached.
const NARROW_WINDOW: u32 = 256;

/// A guest on sockets: one loop on one thread, with worker threads for jobs.
pub struct GuestServer<B: GuestFactory> {
    factory: B,
    start: ServiceSettings,
    instance: Option<B::Guest>,
    takes: ServiceLimits,
    restarts: Restarts,
    /// The time at which the next instance may start, while there is none.
    restart_at: Instant,
    reactor: Reactor,
    sockets: Sockets,
    places: SourceTable,
    input: Input,
    recorder: Option<Recorder>,
    jobs: Option<Jobs<B::JobRunner>>,
    outgoing: Outgoing,
    log: Log,
    surroundings: Surroundings,
    /// The connections whose bytes the guest passed back unread and now wants again.
    again: Vec<SourceId>,
    /// The readiness that the reactor has reported and that is not processed yet.
    ready: VecDeque<(SourceId, Interest)>,
    /// True if some of the input does not fit into the next turn.
    has_more: bool,
    /// The duration of the guest's last turn.
    took: Duration,
    /// The time at which the reactor's last wait began.
    looked: Instant,
    /// All events before this time are processed, so deadlines up to this time have expired.
    seen: Instant,
    listeners: Vec<SourceId>,
    /// The listeners that the guest has requested, which are in `listeners` too.
    requested: Vec<RequestedListener>,
    /// The number of attempts to listen for the guest since its last turn.
    binds: usize,
    /// The number of connections for which the guest has capacity.
    room: u32,
    /// The number of open connections, including those that linger.
    open: usize,
    peer_limit: PeerLimit,
    /// The number of bytes stored for slow clients.
    kept: usize,
    /// True if the system had no resources for a connection, and no connection was accepted since.
    crowded: bool,
    /// The time until which no connection is accepted after the system had no resources for one.
    accept_at: Option<Instant>,
    /// The deadlines of connections that linger, and of those that still have to send their last bytes.
    lingering: VecDeque<(Instant, SourceId)>,
    closing: VecDeque<(Instant, SourceId)>,
    /// The deadlines of connections that store bytes for their clients.
    stuck: VecDeque<(Instant, SourceId)>,
    stopper: Stopper,
    draining: Option<Instant>,
    /// While draining: the number of remaining polls of the backlog, and the connections that are to be polled again.
    looks: u32,
    nudges: Vec<SourceId>,
    settings: GuestSettings,
    clock: Clock,
    observer: Observer,
    tables: GuestTables,
    /// True if the guest is a program.
    is_program: bool,
    program: Program,
    counts: Tally,
    cut: usize,
    restarted: u64,
    ignored: u64,
}

impl<B: GuestFactory> GuestServer<B> {
    /// Creates a server without listeners, and starts its guest.
    ///
    /// # Errors
    ///
    /// Fails if the system provides no poller, if the guest cannot be started, or if it rejects its arguments.
    pub fn new(factory: B, settings: &GuestSettings) -> Result<Self, B::Error> {
        let reactor = Reactor::new(settings.busy_poll).map_err(Error::Poller)?;
        let start = ServiceSettings {
            arguments: settings.arguments.clone(),
            max_connections: u32::try_from(settings.max_connections).unwrap_or(u32::MAX),
            max_buffered: u32::try_from(settings.max_buffered).unwrap_or(u32::MAX),
            computes: settings.workers > 0,
            slice: settings.slice,
            max_jobs: u32::try_from(settings.max_jobs).unwrap_or(u32::MAX),
        };
        let sources = settings.max_connections.saturating_add(MAX_LISTENERS);
        let board = board(settings.observe, sources, settings.max_jobs);
        let tables = GuestTables::new(&board);
        let (instance, takes) = factory.start_published(&start, &tables)?;
        let is_program = instance.is_program();
        let jobs = (settings.workers > 0).then(|| {
            Jobs::new(factory.job_runner(), settings.workers, settings.max_jobs, reactor.notifier())
        });
        let clock = Clock::start();
        let observer = observer(settings, &board, clock);
        let outgoing = Outgoing::new(settings, reactor.notifier());
        Ok(Self {
            factory,
            start,
            instance: Some(instance),
            takes,
            restarts: Restarts::new(settings.max_restarts),
            restart_at: Instant::NEVER,
            sockets: Sockets::new(
                settings.max_connections.saturating_add(MAX_LISTENERS),
                &reactor,
                clock,
                settings.max_buffered,
            ),
            stopper: Stopper::new(reactor.notifier()),
            reactor,
            places: SourceTable::new(),
            input: Input::new(),
            recorder: None,
            jobs,
            outgoing,
            log: Log::new(settings),
            surroundings: Surroundings::new(takes.wants),
            again: Vec::new(),
            ready: VecDeque::new(),
            has_more: false,
            took: Duration::ZERO,
            looked: Instant::ZERO,
            seen: Instant::ZERO,
            listeners: Vec::new(),
            requested: Vec::new(),
            binds: 0,
            room: 0,
            open: 0,
            peer_limit: PeerLimit::new(settings.max_per_peer),
            kept: 0,
            crowded: false,
            accept_at: None,
            lingering: VecDeque::new(),
            closing: VecDeque::new(),
            stuck: VecDeque::new(),
            draining: None,
            looks: 0,
            nudges: Vec::new(),
            settings: settings.clone(),
            clock,
            observer,
            tables,
            is_program,
            program: Program::default(),
            counts: Tally::default(),
            cut: 0,
            restarted: 0,
            ignored: 0,
        })
    }

    /// Listens on `address` and returns the bound address. With port 0, the system chooses a port.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot listen on the address, or already has 64 listeners.
    pub fn listen(&mut self, address: SocketAddr) -> Result<SocketAddr, Error> {
        if self.listeners.len() >= MAX_LISTENERS {
            return Err(Error::Full { limit: MAX_LISTENERS });
        }
        let failed = |error| Error::Listen { address, error };
        let listener = bind(address, self.settings.dual_stack)
            .map_err(|error| failed(error).beside(self.sockets.bound()))?;
        let bound = listener.local_addr().map_err(failed)?;
        self.accept_from(Listening::Tcp(listener));
        Ok(bound)
    }

    /// Listens at `place` and returns the place that is bound: on an address as [`listen`](Self::listen) does, or on a
    /// Unix socket as [`Settings::bind_path`](crate::Settings::bind_path) does. The guest accepts the connections of a
    /// Unix socket like all others, and receives no address of their peers.
    ///
    /// # Errors
    ///
    /// Fails if the server cannot listen there, or already has 64 listeners.
    pub fn listen_at(&mut self, place: &Place) -> Result<Place, Error> {
        match place {
            Place::Address(address) => self.listen(*address).map(Place::Address),
            Place::Path(_) if self.listeners.len() >= MAX_LISTENERS => {
                Err(Error::Full { limit: MAX_LISTENERS })
            }
            Place::Path(path) => {
                self.accept_from(bind_path(path)?);
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
        if self.listeners.len() >= MAX_LISTENERS {
            return Err(Error::Full { limit: MAX_LISTENERS });
        }
        let BoundListener(listener) = listener.into();
        listener.set_nonblocking().map_err(Error::Prepare)?;
        self.accept_from(listener);
        Ok(())
    }

    fn accept_from(&mut self, listener: Listening) {
        let id = self.places.insert(Role::Listener);
        let address = listener.address();
        self.sockets.insert(id, Socket::Listener(listener), false);
        self.observer.guest_source(id, SourceKind::Listener, address);
        self.listeners.push(id);
        self.input.events.push(Event::Listener(handle(id)));
    }

    /// Records the guest's turns in the file at `path`, under the name of its service, for [`Playback`]. The file has
    /// at most `limit` bytes. The loop's own thread writes the file, so the disk should be fast enough. If the file can
    /// no longer be written, the error is logged, and the guest is served as before. If the process is killed, the
    /// recording lacks the last tenth of a second and the current turn.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be created, is not empty, or is not a regular file.
    ///
    /// [`Playback`]: crate::guests::Playback
    pub fn record(&mut self, path: &Path, service: &str, limit: u64) -> io::Result<()> {
        self.recorder = Some(Recorder::create(path, service, &self.start, limit)?);
        Ok(())
    }

    /// Returns a handle that stops the server.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Runs until the server is stopped, or until the guest has nothing left to do.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Poller`] if the poller fails.
    pub fn run(mut self) -> Result<GuestSummary, Error> {
        let mut rest = Rest::Ready;
        loop {
            let now = self.now();
            self.gather(now);
            if self.ready.is_empty() {
                self.seen = self.looked;
            }
            if self.is_due(rest, now) {
                rest = self.turn(now);
            }
            self.expire_timeouts();
            if self.draining.is_some() {
                self.nudge();
            }
            if self.is_over(rest) {
                break;
            }
            self.watch_listeners(now);
            if let Some(recorder) = &mut self.recorder {
                recorder.write_if_due(now);
            }
            if self.ready.is_empty() {
                self.wait(rest)?;
            }
            self.check_stop();
        }
        if self.draining.is_none() && !self.is_program {
            tracing::warn!("the guest has nothing left to do, although it was not asked to stop");
        }
        let program = self.program_end();
        self.count_guests_own();
        drop(self.instance.take().map(Caught::new));
        if let Some(recorder) = self.recorder.take() {
            recorder.end();
        }
        self.observer.phase(Phase::Ended);
        Ok(GuestSummary {
            served: Served { counts: self.counts, cut: self.cut },
            restarts: self.restarted,
            ignored: self.ignored,
            connected: self.outgoing.made,
            program,
        })
    }

    fn now(&self) -> Instant {
        let now = self.clock.now();
        self.observer.turn(now);
        now
    }

    /// Returns true if the guest is to be called.
    fn is_due(&self, rest: Rest, now: Instant) -> bool {
        let is_time = match rest {
            Rest::Ready => true,
            Rest::Until(deadline) => deadline <= now,
            Rest::Stalled | Rest::Empty => false,
        };
        self.instance.is_some() && (is_time || !self.input.is_empty())
    }

    /// Returns true if nothing is left to do: the guest has ended, and its output is sent.
    fn is_over(&self, rest: Rest) -> bool {
        if self.is_program {
            return self.is_program_over(rest);
        }
        let is_guest_over = match self.instance {
            Some(_) => rest == Rest::Empty && self.input.is_empty(),
            None => self.draining.is_some(),
        };
        is_guest_over && self.open == 0
    }

    /// Waits until there is something to do.
    fn wait(&mut self, rest: Rest) -> Result<(), Error> {
        let until = self.until(rest);
        let clock = self.clock;
        self.looked = clock.now();
        self.observer.begin_wait(
            &self.counts,
            Gauges { open: self.open, blocks_lent: self.kept.div_ceil(BLOCK), blocks_committed: 0 },
        );
        let Self { reactor, sockets, ready, .. } = self;
        let until = sockets.before_wait(until);
        let waited = reactor.wait(
            until,
            || clock.now(),
            |index, readiness| {
                ready.extend(sockets.event(index, readiness));
            },
        );
        sockets.after_wait(|source, readiness| ready.push_back((source, readiness)));
        if waited.map_err(Error::Poller)? {
            if let Some(jobs) = &mut self.jobs {
                jobs.collect();
            }
            self.collect_names();
        }
        Ok(())
    }

    fn until(&self, rest: Rest) -> Until {
        let are_over = self.jobs.as_ref().is_some_and(Jobs::are_over);
        let has_answers = self.outgoing.has_failures() || self.has_untold_listeners();
        if !self.input.is_empty() || !self.again.is_empty() || are_over || has_answers {
            return Until::Now;
        }
        let mut deadline = self.draining.unwrap_or(Instant::NEVER);
        match rest {
            Rest::Ready if self.instance.is_some() => return Until::Now,
            Rest::Until(at) if self.instance.is_some() => deadline = deadline.min(at),
            _ => {}
        }
        if self.instance.is_none() {
            deadline = deadline.min(self.restart_at);
        }
        let fronts = [self.lingering.front(), self.closing.front(), self.stuck.front()];
        let patience = fronts.into_iter().flatten().map(|(at, _)| *at);
        let unwritten = self.recorder.as_ref().and_then(Recorder::deadline);
        for at in patience.chain(self.accept_at).chain(unwritten).chain(self.outgoing.deadline()) {
            deadline = deadline.min(at);
        }
        match deadline {
            Instant::NEVER => Until::Ever,
            deadline => Until::At(deadline),
        }
    }

    /// Adds the counters that only the guest can maintain.
    fn count_guests_own(&mut self) {
        let Some(instance) = &mut self.instance else { return };
        match caught_call(|| instance.counts()) {
            Ok(counts) => {
                self.counts.jobs = self.counts.jobs.saturating_add(counts.jobs);
                self.counts.cancelled = self.counts.cancelled.saturating_add(counts.cancelled);
                self.ignored = self.ignored.saturating_add(counts.ignored);
            }
            Err(fault) => tracing::error!("the guest failed when it was asked for its counts: {fault}"),
        }
    }

    /// Counts and logs a command of the guest that is ignored.
    fn ignore(&mut self, what: &str) {
        self.ignored += 1;
        tracing::debug!("ignored: the guest {what}");
    }

    /// Returns the number of bytes that the guest may send on a source in the next turn.
    fn window(&self) -> u32 {
        if self.kept < self.settings.max_buffered { WINDOW } else { NARROW_WINDOW }
    }
}

/// Creates the notes of a loop with these settings.
fn observer(settings: &GuestSettings, board: &Board, clock: Clock) -> Observer {
    let mut observer = Observer::new(board);
    observer.drives(Drives::Guest);
    let bounds = LimitsOfLoop {
        connections: settings.max_connections,
        buffered: settings.max_buffered,
        jobs: settings.max_jobs,
        workers: settings.workers,
    };
    observer.begin(clock.zero(), &bounds, &settings.name);
    observer
}
