//! A turn of the tasks, after a look at the sources or without one.

use crate::exec::context::Task;
use crate::exec::executor::Executor;
use crate::exec::host::Host;
use crate::kernel::instant::Instant;

/// How many steps tasks that hand on to each other have before the sources are looked at again.
pub(crate) const UNSEEN: usize = 64;

/// The look at the sources before a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// All sources were looked at.
    Whole,
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
    look: Look,
    now: impl FnOnce(&H) -> Instant,
) -> usize {
    match look {
        Look::Whole => executor.turn(now(host), host),
        Look::Part => executor.turn_unseen(now(host), host),
        // Without a look no wait ends by its deadline, so the time need not be read.
        Look::None => executor.turn_unseen(executor.kernel.now(), host),
    }
}
