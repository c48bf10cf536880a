//! A loop without a poller: somebody else does the I/O, and says what happened and what time it is.
//!
//! [`Driven`] is the half of a host that knows the tasks; the *driver* is the other half, and knows the sockets. The
//! driver collects what happened ([`Event`]) and the bytes that came in, hands both over in one call, and gets back
//! what is to be done ([`Command`]) and the bytes that go out. So a whole turn crosses the border between the two
//! once, however many sources were ready: a border such as that of a wasm sandbox, of a process, or of a language. It
//! is the shape of quinn-proto and of h11, with a scheduler inside.
//!
//! The driver keeps to these rules:
//!
//! * It reads from a source, or takes connections from a listener, only while its interest has
//!   [`RECV`](crate::Interest::RECV), at most a block's worth of bytes at once, and no more connections than there is
//!   [`room`](TurnOutput::room) for. Bytes that a command [hands back](Command::Unread) it keeps, and tells again before
//!   it reads on. That is the backpressure inwards.
//! * What it can't send at once it keeps and sends in order; it says [`Stuck`](Event::Stuck) before the next turn, and
//!   [`Writable`](Event::Writable) when all is out. Between the two nothing is sent; before, a turn sends no more than
//!   a *window* by a source. That is the backpressure outwards.
//! * A turn tells all that had come in before the turn began, from the sources that are watched, or says
//!   [`More`](Event::More). So a deadline ends after all that came before it has been told: a deadline that has come is
//!   over in the turn after the one that was told so, which the [`rest`](TurnOutput::rest) asks for.
//! * It calls again when something happened, when the [`rest`](TurnOutput::rest) says so, and never from within.
//!
//! A driver that breaks them gets strange replies and no panics: what names nothing is ignored, and
//! [counted](Tally::ignored).
//!
//! ```
//! use sinbin_core::driven::{Command, Compute, Driven, Event, SourceHandle};
//! use sinbin_core::{Instant, Limits, echo::Echo};
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
use crate::exec::host::Service;
use crate::job::WireJob;
use crate::kernel::Rest;
use crate::kernel::id::TaskId;
use crate::kernel::instant::Instant;
use crate::kernel::storage::Limits;
use crate::serve::guard::Guard as _;
use crate::serve::task::ServeTask;
use crate::serve::turn::{Polled, STEPS_PER_POLL, turn};
use crate::task::start::Async;

pub use compute::{Compute, Computed, compute};
pub use contract::{Command, Event, SourceHandle, Tally, TurnOutput};
#[cfg(feature = "std")]
pub use guard::PanicGuard;
pub use host::DrivenHost;
pub use settings::{BLOCK, DEFAULT_MAX_JOBS, ServiceLimits, ServiceSettings};

/// A service and its tasks, for a driver.
pub struct Driven<S>
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
{
    executor: Executor<DrivenHost<S>>,
    host: DrivenHost<S>,
    /// A listener takes one, and so does a connection: a task and a source.
    places: usize,
    /// How many of them are kept for listeners.
    listeners: usize,
}

impl<S> Driven<S>
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
{
    /// The service, with as much room as `limits` say: a task and a source for each listener and each connection.
    #[must_use]
    pub fn new(service: S, limits: &Limits, compute: Compute) -> Self {
        Self {
            executor: Executor::new(limits),
            host: DrivenHost::new(service, limits, compute),
            places: limits.tasks().min(limits.sources()),
            listeners: 0,
        }
    }

    /// Keeps so many of these places for listeners: as long as there are fewer, they are no
    /// [`room`](TurnOutput::room) for connections.
    #[must_use]
    pub fn with_listeners(self, listeners: usize) -> Self {
        let mut this = self;
        this.listeners = listeners;
        this
    }

    /// Calls the user's code by `guard`: a task that panics is lost alone.
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
    /// Gives the task back when there is no place for another.
    pub fn start<'d>(&mut self, task: Async<'d>) -> Result<TaskId, ServeTask<S>>
    where
        ServeTask<S>: From<Async<'d>>,
    {
        self.executor.spawn(task.into())
    }

    /// Tells what happened until `now`, and runs every task that can run for it. No source gets more than `window`
    /// bytes to send. O(events + tasks that run).
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
                // A slice is as long as many steps.
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

    /// What happened here since the beginning, and the driver can't know.
    #[must_use]
    pub fn counts(&self) -> Tally {
        self.host.counts
    }

    /// The kernel's tasks and what they wait for, for reports.
    #[must_use]
    pub fn kernel(&self) -> &crate::Kernel<Limits> {
        &self.executor.kernel
    }

    /// Readiness is level-triggered: what is there and is waited for is told, as often as it takes.
    fn tell_again(&mut self) {
        let kernel = &mut self.executor.kernel;
        let sources = &mut self.host.sources;
        loop {
            while let Some((source, interest)) = kernel.next_change() {
                sources.change(source, interest);
            }
            let mut told = false;
            sources.each_due(|source, readiness| {
                kernel.ready(source, readiness);
                told = true;
            });
            // Each time around, somebody runs or some interest is given up.
            if !told || kernel.has_ready() {
                break;
            }
        }
    }

    fn answer(&mut self) -> TurnOutput {
        let kept = self.listeners.saturating_sub(self.host.listeners());
        let taken = self.executor.kernel.count() + self.host.arrivals();
        let room = self.places.saturating_sub(taken + kept);
        let mut rest = self.executor.kernel.rest();
        if self.host.is_busy() {
            rest = Rest::Ready;
        }
        let (commands, output) = self.host.finish();
        TurnOutput { rest, room: u32::try_from(room).unwrap_or(u32::MAX), commands, output }
    }
}

impl<S> Drop for Driven<S>
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
{
    /// Drops tasks and jobs one by one, where panics are caught.
    fn drop(&mut self) {
        let guarded = self.host.guarded;
        if guarded.is_there() {
            self.executor.drain(|task| guarded.drop(task));
            self.host.clear();
        }
    }
}
