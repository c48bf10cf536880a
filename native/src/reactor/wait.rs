//! The system-independent part of a wait: it limits the timeout, and makes each poll complete.

use std::io;
use std::time::Duration;

use sinbin_core::{Instant, Readiness};

use super::Until;

/// A system's way to wait for sources, level-triggered.
pub(super) trait System {
    /// Returns the timeout of a wait until `deadline`: `None` if an alarm will end the wait in time, and zero if the
    /// deadline has passed.
    fn timeout(&mut self, deadline: Instant, clock: &impl Fn() -> Instant) -> io::Result<Option<Duration>>;

    /// Waits once. Returns true if the capacity was too small for all ready sources. The next call then has more
    /// capacity; it discards the events that this call found, and finds them again.
    fn fill(&mut self, timeout: Option<Duration>) -> io::Result<bool>;

    /// Reports the events that the last call found. Returns the number of reported sources.
    fn tell(&mut self, ready: &mut impl FnMut(usize, Readiness)) -> usize;
}

/// Waits as specified by [`Reactor::wait`](super::Reactor::wait), and returns the number of reported sources.
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
        // An interrupted wait ends, and reports the sources that are ready by then. If the signal's handler sent a
        // notification, that would also end the next wait.
        Ok(true) | Err(_) => look(system)?,
    }
    Ok(system.tell(ready))
}

/// Polls until a poll has found all events and was not interrupted.
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
