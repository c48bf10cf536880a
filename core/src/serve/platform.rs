//! The interface between the loop that serves and its system.

use core::time::Duration;

use crate::exec::context::Task;
use crate::exec::executor::Executor;
use crate::exec::host::{Host, Serves, Service};
use crate::kernel::id::SourceId;
use crate::kernel::instant::Instant;
use crate::serve::admission::Admission;
use crate::serve::guard::Guarded;
use crate::serve::task::ServeTask;

/// The duration of a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Poll the sources without waiting.
    Poll,
    /// Poll the sources without waiting, because a deadline has passed: the poll must report every event that came
    /// before now.
    Due,
    /// Wait until an event comes, at most until this moment.
    At(Instant),
}

impl Until {
    /// Returns the maximum duration of the wait from `now` on; centuries if the wait has no limit.
    #[must_use]
    pub const fn span(self, now: Instant) -> Duration {
        match self {
            Self::Poll | Self::Due => Duration::ZERO,
            Self::At(deadline) => deadline.since(now),
        }
    }
}

/// Sources, a clock and a way to wait: a host on which [`Engine`](super::Engine) can serve.
pub trait Platform: Guarded + Serves<Self::Service> + Host<Task = ServeTask<Self::Service>> {
    /// The service that the loop runs.
    type Service: Service<Conn: Task<Self>>;
    /// A closed connection whose remaining input is still to be read.
    type Closed;
    /// The error of a wait.
    type Error;

    /// Returns the capacity for connections.
    fn room(&mut self) -> &mut Admission<Self::Closed>;

    /// Returns the current time.
    fn now(&self) -> Instant;

    /// Returns the time that the system may take to report input that has arrived. The value must be constant. When the
    /// loop is to stop, it accepts connections for this time, and then receives for as long again, so that requests
    /// that arrived before are answered.
    #[inline]
    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    /// Keeps a closed connection as `source`, so that its remaining input can be read.
    fn linger(&mut self, source: SourceId, closed: Self::Closed);

    /// Drops a closed connection for which no source is free.
    fn let_go(&mut self, closed: Self::Closed) {
        drop(closed);
        self.room().leave(1);
    }

    /// Returns the connections that are served, without listeners and lingering connections. The loop calls this only
    /// while it stops.
    fn served(&self) -> impl Iterator<Item = SourceId> {
        core::iter::empty()
    }

    /// Returns true if the loop is to stop: it then accepts no new connections, answers what it has received, and ends.
    fn is_to_stop(&self) -> bool {
        false
    }

    /// Makes every receive of a served connection that would block fail with
    /// [`IoError::Stopping`](crate::IoError::Stopping) from now on.
    fn begin_drain(&mut self) {}

    /// Notifies the platform that the drain timeout has expired and how many connections are cut off.
    fn cut_off(&mut self, connections: usize) {
        let _ = connections;
    }

    /// Returns the number of closed connections with bytes that the system has not sent yet. The loop does not end
    /// before these bytes are sent or the drain timeout expires.
    fn leaving(&self) -> usize {
        0
    }

    /// Wakes the tasks that were woken from outside of the loop.
    fn take_wakes(&mut self, executor: &mut Executor<Self>) {
        let _ = executor;
    }

    /// Does the work between two turns, such as a slice of a job, or the release of memory. Returns true if the work
    /// took as long as many steps of tasks, so that the loop polls the sources next.
    fn between_turns(&mut self, executor: &mut Executor<Self>) -> bool {
        let _ = executor;
        false
    }

    /// Returns true if more work is pending between turns: the loop then polls the sources without waiting.
    fn is_busy(&self) -> bool {
        false
    }

    /// Returns the latest moment for the next call of [`between_turns`](Self::between_turns).
    fn next_deadline(&self, executor: &Executor<Self>) -> Instant {
        let _ = executor;
        Instant::NEVER
    }

    /// Applies the kernel's [changes of interest](crate::Kernel::next_change), waits, and reports to the kernel which
    /// sources are ready and which jobs are done. Returns true if all sources have been polled since this call began,
    /// or since the first of a series of calls that each polled a part of them.
    ///
    /// # Errors
    ///
    /// Fails if the system cannot wait.
    fn wait(&mut self, executor: &mut Executor<Self>, until: Until) -> Result<bool, Self::Error>;
}
