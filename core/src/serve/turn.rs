//! A turn of the tasks, after a look at the sources or without one.

use crate::exec::context::Task;
use crate::exec::executor::Executor;
use crate::exec::host::Host;
use crate::kernel::instant::Instant;

/// How many steps tasks that hand on to each other have before the sources are looked at again.
pub(crate) const STEPS_PER_POLL: usize = 64;

/// The look at the sources before a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// All sources were looked at.
    All,
    /// Some of them were.
    Part,
    /// No source was looked at since the turn before.
    None,
}

/// Runs a turn, and returns how many steps it had. Waits end by their deadlines only after a whole look.
#[inline]
pub(crate) fn turn<H: Host<Task: Task<H> + Unpin>>(
    executor: &mut Executor<H>,
    host: &mut H,
    polled: Polled,
    now: impl FnOnce(&H) -> Instant,
) -> usize {
    match polled {
        Polled::All => executor.turn(now(host), host),
        Polled::Part => executor.turn_unpolled(now(host), host),
        // Without a look no wait ends by its deadline, so the time need not be read.
        Polled::None => executor.turn_unpolled(executor.kernel.now(), host),
    }
}
