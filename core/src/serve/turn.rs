//! A turn of the tasks, with or without a preceding poll of the sources.

use crate::exec::context::Task;
use crate::exec::executor::Executor;
use crate::exec::host::Host;
use crate::kernel::instant::Instant;

/// The number of steps after which the sources are polled again at the end of the turn, if tasks wake each other.
pub(crate) const STEPS_PER_POLL: usize = 64;

/// The poll of the sources before a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// All sources were polled.
    All,
    /// Some sources were polled.
    Part,
    /// No source was polled since the last turn.
    None,
}

/// Runs a turn and returns the number of its steps. Waits end by their deadlines only if all sources were polled.
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
        // Without a poll no wait ends by its deadline, so the current time is not needed.
        Polled::None => executor.turn_unpolled(executor.kernel.now(), host),
    }
}
