//! An event loop without a poller: a driver does the I/O, and passes events and the time to the loop.
//!
//! [`Driven`] is the half of a host that knows the tasks. The *driver* is the other half, which knows the sockets. The
//! driver collects events ([`Event`]) and received bytes, passes both in one call, and gets commands ([`Command`]) and
//! the bytes to send in return. A whole turn crosses the boundary between the two only once, however many sources were
//! ready. The boundary can be that of a wasm sandbox, of a process, or of a language. The design is that of quinn-proto
//! and h11, with a scheduler inside.
//!
//! The driver must follow these rules:
//!
//! * The driver reads from a source, or accepts connections from a listener, only while the source's interest contains
//!   [`RECV`](crate::Interest::RECV): at most one block of bytes at once, and at most as many connections as
//!   [`room`](TurnOutput::room) allows. It keeps bytes that a command [returns](Command::Unread), and reports them again
//!   before it reads more. This is the backpressure for input.
//! * The driver keeps bytes that it can't send at once, and sends them in order. It reports [`Stuck`](Event::Stuck)
//!   before the next turn, and [`Writable`](Event::Writable) when all bytes have been sent. Between these two events
//!   the loop sends nothing; otherwise a turn sends at most a *window* of bytes per source. This is the backpressure
//!   for output.
//! * A turn reports everything that arrived from the watched sources before the turn began, or contains
//!   [`More`](Event::More). A deadline therefore ends a wait only after all earlier events were reported: an expired
//!   deadline takes effect in the turn after the one whose time shows the expiry. The [`rest`](TurnOutput::rest) requests
//!   that turn.
//! * A task may request connections ([`Connect`](Command::Connect)). The driver decides which it permits, and answers
//!   each request once, unless the loop abandons it. A loop that gets no answer waits as long as its task does.
//! * The driver calls again when an event occurs or when the [`rest`](TurnOutput::rest) says so, and never from within a
//!   call.
//!
//! A driver that violates these rules gets strange replies but no panics: events that name nothing are ignored, and
//! [counted](Tally::ignored).
//!
//! ```
//! # use sinbin_core::driven::{Command, Compute, Driven, Event, SourceHandle};
//! # use sinbin_core::{Instant, Limits, echo::Echo};
//!
//! let mut driven = Driven::new(Echo::default(), &Limits::new(100, 10, 4096), Compute::Here { slice: 1 });
//! let (listener, client) = (SourceHandle(1), SourceHandle(2));
//! let arrived = [Event::Listener(listener), Event::Accepted { listener, connection: client, len: 0 }];
//! driven.turn(Instant::ZERO, 4096, arrived, Vec::new());
//! let answer = driven.turn(Instant::ZERO, 4096, [Event::Received { source: client, len: 5 }], b"hello".to_vec());
//! assert!(answer.commands.contains(&Command::Send { source: client, len: 5 }));
//! assert_eq!(answer.output, b"hello");
//! ```

mod compute;
mod connects;
mod contract;
mod guard;
mod host;
#[cfg(feature = "recording")]
pub mod recording;
mod settings;
mod sources;

use alloc::vec::Vec;

#[cfg(feature = "std")]
use crate::driven::guard::DriversGuard;
use crate::exec::context::Task;
use crate::exec::executor::Executor;
use crate::exec::host::{Host as _, Service};
use crate::job::WireJob;
use crate::kernel::Rest;
use crate::kernel::id::TaskId;
use crate::kernel::instant::Instant;
use crate::kernel::storage::{Limits, Storage};
use crate::serve::guard::Guard as _;
use crate::serve::task::ServeTask;
use crate::serve::turn::{Polled, STEPS_PER_POLL, turn};
use crate::task::start::Async;

pub use compute::{Compute, Computed, compute};
pub use contract::{
    Command, ConnectError, ConnectId, Event, LISTEN, LogLevel, SourceHandle, Tally, TurnOutput,
};
#[cfg(feature = "std")]
pub use guard::PanicGuard;
pub use host::DrivenHost;
pub use settings::{BLOCK, DEFAULT_MAX_JOBS, ServiceLimits, ServiceSettings, Wants};

/// A service and its tasks, for a driver. The kernel's tables are in the storage `M`.
pub struct Driven<S, M = Limits>
where
    S: Service<Conn: Task<DrivenHost<S, M>>, Job: WireJob>,
    M: Storage,
{
    executor: Executor<DrivenHost<S, M>>,
    host: DrivenHost<S, M>,
    /// The number of slots. A listener or a connection occupies one, which stands for a task and a source.
    places: usize,
    /// The number of slots that are reserved for listeners.
    listeners: usize,
}

impl<S> Driven<S>
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
{
    /// Creates the loop of a service, with the capacity that `limits` specify: a task and a source for each listener
    /// and each connection.
    #[must_use]
    pub fn new(service: S, limits: &Limits, compute: Compute) -> Self {
        Self::with_storage(service, limits, *limits, compute)
    }
}

impl<S, M> Driven<S, M>
where
    S: Service<Conn: Task<DrivenHost<S, M>>, Job: WireJob>,
    M: Storage,
{
    /// Creates the loop of a service as [`new`](Driven::new) does, with the kernel's tables in `storage`, which has the
    /// capacity that `limits` specify.
    #[must_use]
    pub fn with_storage(service: S, limits: &Limits, storage: M, compute: Compute) -> Self {
        Self {
            executor: Executor::new(&storage),
            host: DrivenHost::new(service, limits, storage, compute),
            places: limits.tasks().min(limits.sources()),
            listeners: 0,
        }
    }

    /// Reserves slots for listeners. While fewer listeners exist, the remaining reserved slots do not count as
    /// [`room`](TurnOutput::room) for connections.
    #[must_use]
    pub fn with_listeners(self, listeners: usize) -> Self {
        let mut this = self;
        this.listeners = listeners;
        this
    }

    /// Calls user code through `guard`, so that a panic ends only its own task.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn guard(mut self, guard: PanicGuard) -> Self {
        self.host.guarded = DriversGuard::by(guard);
        self
    }

    /// Adds a task that serves no connection.
    ///
    /// # Errors
    ///
    /// Returns the task if no slot is free for it.
    pub fn start<'d>(&mut self, task: Async<'d>) -> Result<TaskId, ServeTask<S>>
    where
        ServeTask<S>: From<Async<'d>>,
    {
        let id = self.executor.spawn(task.into())?;
        let Self { host, executor, .. } = self;
        host.stored(id, || executor.label(id));
        Ok(id)
    }

    /// Wakes a task between two turns, for code around the loop that has a waker of the task. Returns true if the task
    /// exists. The driver then calls again at once.
    pub fn wake(&mut self, task: TaskId) -> bool {
        self.executor.kernel.wake(task)
    }

    /// Processes the events until `now`, and runs every task that can run. Sends at most `window` bytes per source.
    /// O(events + tasks that run).
    pub fn turn(
        &mut self,
        now: Instant,
        window: usize,
        events: impl IntoIterator<Item = Event>,
        input: Vec<u8>,
    ) -> TurnOutput {
        self.host.begin(window, input);
        for event in events {
            self.host.tell(event, &mut self.executor);
        }
        self.tell_again();
        let mut steps = 0;
        let mut polled = if self.host.has_more { Polled::Part } else { Polled::All };
        loop {
            steps += turn(&mut self.executor, &mut self.host, polled, |_| now);
            polled = Polled::None;
            if self.host.slice(&mut self.executor.kernel) {
                // A slice takes as long as many steps.
                steps += STEPS_PER_POLL;
            }
            self.host.close_listeners(&mut self.executor.kernel);
            self.tell_again();
            if !self.executor.kernel.has_ready() || steps >= STEPS_PER_POLL {
                break;
            }
        }
        self.answer()
    }

    /// Returns counts of events in this loop that the driver can't know.
    #[must_use]
    pub fn counts(&self) -> Tally {
        self.host.counts
    }

    /// Returns the kernel, for reports about the tasks and their waits.
    #[must_use]
    pub fn kernel(&self) -> &crate::Kernel<M> {
        &self.executor.kernel
    }

    /// Reports readiness, which is level-triggered: a condition that holds and is waited for is reported as often as
    /// necessary.
    fn tell_again(&mut self) {
        let kernel = &mut self.executor.kernel;
        let (sources, connects) = (&mut self.host.sources, &mut self.host.connects);
        loop {
            while let Some((source, interest)) = kernel.next_change() {
                if !sources.change(source, interest) {
                    connects.change(source, interest);
                }
            }
            let mut told = false;
            sources.each_due(|source, readiness| {
                kernel.ready(source, readiness);
                told = true;
            });
            // Each iteration makes a task ready or removes some interest.
            if !told || kernel.has_ready() {
                break;
            }
        }
    }

    fn answer(&mut self) -> TurnOutput {
        let kept = self.listeners.saturating_sub(self.host.listeners());
        let taken = self.executor.kernel.count() + self.host.arrivals() + self.host.connects.count();
        let room = self.places.saturating_sub(taken + kept);
        let mut rest = self.executor.kernel.rest();
        if self.host.is_busy() {
            rest = Rest::Ready;
        }
        let (commands, output) = self.host.finish();
        TurnOutput { rest, room: u32::try_from(room).unwrap_or(u32::MAX), commands, output }
    }
}

impl<S, M> Drop for Driven<S, M>
where
    S: Service<Conn: Task<DrivenHost<S, M>>, Job: WireJob>,
    M: Storage,
{
    /// Drops tasks and jobs individually, if panics are caught.
    fn drop(&mut self) {
        let guarded = self.host.guarded;
        if guarded.is_there() {
            self.executor.drain(|task| guarded.drop(task));
            self.host.clear();
        }
    }
}
