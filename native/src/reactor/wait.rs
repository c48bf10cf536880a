//! The part of a wait that is the same on every system: how long it may be, and that a look is complete.

use std::io;
use std::time::Duration;

use sinbin_core::{Instant, Readiness};

use super::Until;

/// A system's way to wait for sources, level-triggered.
pub(super) trait System {
    /// Returns the timeout of a wait until `deadline`: none where something else will end it in time, and zero where the
    /// deadline has passed.
    fn timeout(&mut self, deadline: Instant, clock: &impl Fn() -> Instant) -> io::Result<Option<Duration>>;

    /// Waits once. Returns true if there was no room for all that is ready; there is more then in the next call, which
    /// forgets what this one found and finds it again.
    fn fill(&mut self, timeout: Option<Duration>) -> io::Result<bool>;

    /// Tells what the last call found. Returns how many sources were reported.
    fn tell(&mut self, ready: &mut impl FnMut(usize, Readiness)) -> usize;
}

/// Waits as [`Reactor::wait`](super::Reactor::wait) says, and returns how many sources were reported.
#[inline]
pub(super) fn wait<S: System>(
    system: &mut S,
    until: Until,
    clock: &impl Fn() -> Instant,
    ready: &mut impl FnMut(usize, Readiness),
) -> io::Result<usize> {
    let timeout = match until {
        Until::Now => Some(Duration::ZERO),
        Until::At(deadline) => system.timeout(deadline, clock)?,
        Until::Ever => None,
    };
    match system.fill(timeout) {
        Ok(false) => {}
        Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
        // A wait that was interrupted is over, and what is there by then is told: a notification by the signal's handler
        // would end the next wait as well.
        Ok(true) | Err(_) => look(system)?,
    }
    Ok(system.tell(ready))
}

/// Looks until nothing was left out and nothing came between.
#[cold]
fn look(system: &mut impl System) -> io::Result<()> {
    loop {
        match system.fill(Some(Duration::ZERO)) {
            Ok(false) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(true) | Err(_) => {}
        }
    }
}
