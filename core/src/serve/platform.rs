//! What the loop needs of a system.

use core::time::Duration;

use crate::exec::context::Task;
use crate::exec::executor::Executor;
use crate::exec::host::{Host, Serves, Service};
use crate::kernel::id::SourceId;
use crate::kernel::instant::Instant;
use crate::serve::guard::Guarded;
use crate::serve::room::Room;
use crate::serve::task::ServeTask;

/// How long to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Not at all: look at the sources.
    Look,
    /// Not at all, and a deadline has come: look so that nothing is missed that came before now.
    Due,
    /// Until something happens, or until then at the latest.
    At(Instant),
}

impl Until {
    /// Returns the time that there is for the wait, which is long where there is no limit.
    #[must_use]
    pub const fn span(self, now: Instant) -> Duration {
        match self {
            Self::Look | Self::Due => Duration::ZERO,
            Self::At(deadline) => deadline.since(now),
        }
    }
}

/// Sources, a clock and a way to wait: a host that [`Engine`](super::Engine) can serve by.
pub trait Platform: Guarded + Serves<Self::Service> + Host<Task = ServeTask<Self::Service>> {
    /// The service that it runs.
    type Service: Service<Conn: Task<Self>>;
    /// A connection that is closed.
    type Closed;
    /// The error of a wait.
    type Error;

    /// How long the system may take to tell what has come in. Requests to stop are followed by so long a wait for connections,
    /// and then for bytes: what came before the request is answered.
    const SETTLE: Duration = Duration::ZERO;

    /// Returns the room for connections.
    fn room(&mut self) -> &mut Room<Self::Closed>;

    /// Returns the time.
    fn now(&self) -> Instant;

    /// Keeps a closed connection as `source`, to be read out.
    fn linger(&mut self, source: SourceId, closed: Self::Closed);

    /// Drops a closed connection for which there is no place.
    fn let_go(&mut self, closed: Self::Closed) {
        drop(closed);
        self.room().leave(1);
    }

    /// Returns the connections that are served: neither listeners, nor those that are read out. Of use only when the loop
    /// [is to stop](Self::is_to_stop).
    fn served(&self) -> impl Iterator<Item = SourceId> {
        core::iter::empty()
    }

    /// Returns true if the loop is to stop: no new connections, and an answer to what was received.
    fn is_to_stop(&self) -> bool {
        false
    }

    /// Has every receive of a served connection that would block say [`IoError::Stopping`](crate::IoError::Stopping) instead,
    /// from here on.
    fn begin_drain(&mut self) {}

    /// Hears that the time to drain is over, and how many connections are cut.
    fn cutting(&mut self, connections: usize) {
        let _ = connections;
    }

    /// Returns how many closed connections the system has still to send something by. The loop does not end before they have
    /// gone.
    fn leaving(&self) -> usize {
        0
    }

    /// Wakes the tasks that were woken from outside of the loop.
    fn hear(&mut self, executor: &mut Executor<Self>) {
        let _ = executor;
    }

    /// Does what is to be done between two turns: computes a slice of a job, gives memory back. Returns true if that took as
    /// long as many steps of tasks.
    fn between_turns(&mut self, executor: &mut Executor<Self>) -> bool {
        let _ = executor;
        false
    }

    /// Returns true if there is more to compute: the loop looks at the sources, and does not wait.
    fn is_busy(&self) -> bool {
        false
    }

    /// Returns when [`between_turns`](Self::between_turns) is to be called at the latest.
    fn next(&self, executor: &Executor<Self>) -> Instant {
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
