//! The loop: readiness in, turns of the guest, what it wants done out.

mod commands;
mod drain;
mod fault;
mod readiness;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sinbin_core::driven::{Event, ServiceLimits, ServiceSettings};
use sinbin_core::{Instant, Interest, Rest, SourceId};

use crate::caught::Caught;
use crate::clock::Clock;
use crate::error::Error;
use crate::guests::input::{Input, handle};
use crate::guests::jobs::Jobs;
use crate::guests::recorder::Recorder;
use crate::guests::restarts::Restarts;
use crate::guests::settings::{GuestSettings, GuestSummary};
use crate::guests::source_table::{Role, SourceTable};
use crate::guests::{Guest, GuestFactory, caught_call};
use crate::host::Tally;
use crate::peer_limit::PeerLimit;
use crate::reactor::{Reactor, Until};
use crate::server::{Stopper, Summary as Served};
use crate::sockets::{Socket, Sockets, bind};

/// Listeners that one server can have.
const MAX_LISTENERS: usize = 64;

/// What a guest may send by one source before the system has taken it.
const WINDOW: u32 = 64 * 1024;

/// The window while as much is kept for slow clients as may be.
const NARROW_WINDOW: u32 = 256;

/// A guest on sockets: one loop on one thread, and workers for its jobs.
pub struct GuestServer<B: GuestFactory> {
    factory: B,
    start: ServiceSettings,
    instance: Option<B::Guest>,
    takes: ServiceLimits,
    restarts: Restarts,
    /// When the next instance may start, while there is none.
    restart_at: Instant,
    reactor: Reactor,
    sockets: Sockets,
    places: SourceTable,
    input: Input,
    recorder: Option<Recorder>,
    jobs: Option<Jobs<B::JobRunner>>,
    /// Connections whose bytes were handed back, and are wanted again.
    again: Vec<SourceId>,
    /// Readiness that the reactor has found, and that is not looked at yet.
    ready: VecDeque<(SourceId, Interest)>,
    /// Some of what has come in has no room in the next turn.
    has_more: bool,
    /// How long the guest's last turn took.
    took: Duration,
    /// When the reactor's last look began.
    looked: Instant,
    /// All that happened before this moment has been looked at: deadlines up to here are over.
    seen: Instant,
    listeners: Vec<SourceId>,
    /// How many connections the guest has room for.
    room: u32,
    /// Connections there are, those that linger among them.
    open: usize,
    peer_limit: PeerLimit,
    /// Bytes that are kept for slow clients.
    kept: usize,
    /// The system had no room for a connection, and has taken none since.
    crowded: bool,
    /// Until when no connection is taken, where the system has no room for one.
    accept_at: Option<Instant>,
    /// Whose time runs: those that linger, and those whose last bytes are to be taken.
    lingering: VecDeque<(Instant, SourceId)>,
    closing: VecDeque<(Instant, SourceId)>,
    /// Connections that keep bytes for their clients, by when these are to be taken.
    stuck: VecDeque<(Instant, SourceId)>,
    stopper: Stopper,
    draining: Option<Instant>,
    /// How often the backlog is still looked at, and who is looked at again, in the drain.
    looks: u32,
    nudges: Vec<SourceId>,
    settings: GuestSettings,
    clock: Clock,
    counts: Tally,
    cut: usize,
    restarted: u64,
    ignored: u64,
}

impl<B: GuestFactory> GuestServer<B> {
    /// A server without listeners, whose guest is started.
    ///
    /// # Errors
    ///
    /// When the system gives no poller; when the guest can't be started, or refuses its arguments.
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
        let (instance, takes) = factory.start(&start)?;
        let jobs = (settings.workers > 0).then(|| {
            Jobs::new(factory.job_runner(), settings.workers, settings.max_jobs, reactor.notifier())
        });
        Ok(Self {
            factory,
            start,
            instance: Some(instance),
            takes,
            restarts: Restarts::new(settings.max_restarts),
            restart_at: Instant::NEVER,
            sockets: Sockets::new(settings.max_connections.saturating_add(MAX_LISTENERS), &reactor),
            stopper: Stopper::new(reactor.notifier()),
            reactor,
            places: SourceTable::new(),
            input: Input::new(),
            recorder: None,
            jobs,
            again: Vec::new(),
            ready: VecDeque::new(),
            has_more: false,
            took: Duration::ZERO,
            looked: Instant::ZERO,
            seen: Instant::ZERO,
            listeners: Vec::new(),
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
            clock: Clock::start(),
            counts: Tally::default(),
            cut: 0,
            restarted: 0,
            ignored: 0,
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
        let listener = bind(address, self.settings.dual_stack)
            .map_err(|error| failed(error).beside(self.sockets.bound()))?;
        let bound = listener.local_addr().map_err(failed)?;
        let id = self.places.insert(Role::Listener);
        self.sockets.insert(id, Socket::Listener(listener), false);
        self.listeners.push(id);
        self.input.events.push(Event::Listener(handle(id)));
        Ok(bound)
    }

    /// Records what the guest is told, in the file at `path`, under the name of its service: [`Playback`] tells it again.
    /// There are no more than `limit` bytes of it. The file is written by the loop's own thread, so it should be on a
    /// disk that takes it; when it can't be written any more, that is logged, and the guest is served as before.
    /// A process that is killed has not written its last tenth of a second, nor the turn that it was in.
    ///
    /// # Errors
    ///
    /// When there can be no such file, there is something in it, or it is no regular file.
    ///
    /// [`Playback`]: crate::guests::Playback
    pub fn record(&mut self, path: &Path, service: &str, limit: u64) -> io::Result<()> {
        self.recorder = Some(Recorder::create(path, service, &self.start, limit)?);
        Ok(())
    }

    /// A handle to stop the server by.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Runs until it is stopped, or the guest has nothing left to do.
    ///
    /// # Errors
    ///
    /// When the poller fails.
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
        if self.draining.is_none() {
            tracing::warn!("the guest has nothing left to do, though nobody has asked it to stop");
        }
        self.count_guests_own();
        drop(self.instance.take().map(Caught::new));
        if let Some(recorder) = self.recorder.take() {
            recorder.end();
        }
        Ok(GuestSummary {
            served: Served { counts: self.counts, cut: self.cut },
            restarts: self.restarted,
            ignored: self.ignored,
        })
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Whether the guest is to be called.
    fn is_due(&self, rest: Rest, now: Instant) -> bool {
        let is_time = match rest {
            Rest::Ready => true,
            Rest::Until(deadline) => deadline <= now,
            Rest::Stalled | Rest::Empty => false,
        };
        self.instance.is_some() && (is_time || !self.input.is_empty())
    }

    /// Whether nothing is left to do: the guest is over, and what it sent is out.
    fn is_over(&self, rest: Rest) -> bool {
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
        let Self { reactor, sockets, ready, .. } = self;
        let waited = reactor.wait(
            until,
            || clock.now(),
            |index, readiness| {
                if let Some(source) = sockets.id(index) {
                    ready.push_back((source, readiness));
                }
            },
        );
        if waited.map_err(Error::Poller)?
            && let Some(jobs) = &mut self.jobs
        {
            jobs.collect();
        }
        Ok(())
    }

    fn until(&self, rest: Rest) -> Until {
        let are_over = self.jobs.as_ref().is_some_and(Jobs::are_over);
        if !self.input.is_empty() || !self.again.is_empty() || are_over {
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
        for at in patience.chain(self.accept_at).chain(unwritten) {
            deadline = deadline.min(at);
        }
        match deadline {
            Instant::NEVER => Until::Ever,
            deadline => Until::At(deadline),
        }
    }

    /// Asks the guest for what only it can count.
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

    /// Something that the guest said means nothing.
    fn ignore(&mut self, what: &str) {
        self.ignored += 1;
        tracing::debug!("ignored: the guest {what}");
    }

    /// How much the guest may send by one source in this turn.
    fn window(&self) -> u32 {
        if self.kept < self.settings.max_buffered { WINDOW } else { NARROW_WINDOW }
    }
}
