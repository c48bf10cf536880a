//! One turn.

use crate::exec::context::Task;
use crate::exec::executor::Executor;
use crate::exec::host::Host;
use crate::kernel::instant::Instant;

/// Steps of tasks that hand on to each other, before the sources are looked at again.
pub(crate) const UNSEEN: usize = 64;

/// What came before a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// All sources were looked at.
    Whole,
    /// Some of them were.
    Part,
    /// The turn before, and no look.
    None,
}

/// Runs a turn, and returns how many steps it had. Deadlines end if all sources have been looked at since the last one.
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
        // Tasks that hand on to each other need not pay for the clock either.
        Look::None => executor.turn_unseen(executor.kernel.now(), host),
    }
}
