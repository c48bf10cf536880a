//! The system that a loop serves on, as far as the loop needs it.

use core::time::Duration;

use crate::exec::context::Task;
use crate::exec::executor::Executor;
use crate::exec::host::{Host, Serves, Service};
use crate::kernel::id::SourceId;
use crate::kernel::instant::Instant;
use crate::serve::admission::Admission;
use crate::serve::guard::Guarded;
use crate::serve::task::ServeTask;

/// How long to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// No wait: a look at the sources.
    Poll,
    /// No wait, and a deadline has come: a look that misses nothing which came before now.
    Due,
    /// A wait until something happens, or until this moment at the latest.
    At(Instant),
}

impl Until {
    /// Returns how long the wait may take from `now` on: centuries, if it has no limit.
    #[must_use]
    pub const fn span(self, now: Instant) -> Duration {
        match self {
            Self::Poll | Self::Due => Duration::ZERO,
            Self::At(deadline) => deadline.since(now),
        }
    }
}

/// Sources, a clock and a way to wait: a host that [`Engine`](super::Engine) can serve by.
pub trait Platform: Guarded + Serves<Self::Service> + Host<Task = ServeTask<Self::Service>> {
    /// The service that it runs.
    type Service: Service<Conn: Task<Self>>;
    /// A closed connection that is still to be read out.
    type Closed;
    /// The error of a wait.
    type Error;

    /// How long the system may take to tell what has come in. When the loop is to stop, it goes on for this span to take
    /// connections, and for as long again to receive: requests that came before are answered.
    const SETTLE: Duration = Duration::ZERO;

    /// Returns the room for connections.
    fn room(&mut self) -> &mut Admission<Self::Closed>;

    /// Returns the time.
    fn now(&self) -> Instant;

    /// Keeps a closed connection as `source`, to be read out.
    fn linger(&mut self, source: SourceId, closed: Self::Closed);

    /// Drops a closed connection that there is no place to read out.
    fn let_go(&mut self, closed: Self::Closed) {
        drop(closed);
        self.room().leave(1);
    }

    /// Returns the connections that are served: no listeners, and none that is read out. The loop asks for them only
    /// on its way to the end.
    fn served(&self) -> impl Iterator<Item = SourceId> {
        core::iter::empty()
    }

    /// Returns true if the loop is to stop: to take no new connections, answer what was received, and end.
    fn is_to_stop(&self) -> bool {
        false
    }

    /// From here on, has each receive of a served connection that would block fail with
    /// [`IoError::Stopping`](crate::IoError::Stopping) instead.
    fn begin_drain(&mut self) {}

    /// Hears that the time to drain is over, and how many connections are cut.
    fn cut_off(&mut self, connections: usize) {
        let _ = connections;
    }

    /// Returns how many closed connections have bytes that the system has not sent yet. The loop does not end before they
    /// have gone, or the time to drain is over.
    fn leaving(&self) -> usize {
        0
    }

    /// Wakes the tasks that were woken from outside of the loop.
    fn take_wakes(&mut self, executor: &mut Executor<Self>) {
        let _ = executor;
    }

    /// Does what there is to do between two turns: computes a slice of a job, gives memory back. Returns true if that took as
    /// long as many steps of tasks, so that it is time to look at the sources.
    fn between_turns(&mut self, executor: &mut Executor<Self>) -> bool {
        let _ = executor;
        false
    }

    /// Returns true if there is more to compute between turns: the loop then only looks at the sources, and does not wait.
    fn is_busy(&self) -> bool {
        false
    }

    /// Returns when [`between_turns`](Self::between_turns) is to be called at the latest.
    fn next_deadline(&self, executor: &Executor<Self>) -> Instant {
        let _ = executor;
        Instant::NEVER
    }

    /// Watches what the kernel [wants watched](crate::Kernel::next_change), waits, and tells the kernel what is ready and which
    /// jobs are done. Returns true if all sources were looked at since this call, or a series of such calls, began.
    ///
    /// # Errors
    ///
    /// When the system can't wait.
    fn wait(&mut self, executor: &mut Executor<Self>, until: Until) -> Result<bool, Self::Error>;
}
