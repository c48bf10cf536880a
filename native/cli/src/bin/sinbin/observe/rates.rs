//! Rates of a loop, from two looks at it.

use std::fs;

use sinbin::observe::{Counter, LoopState};

/// The rates of a loop between two looks.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rates {
    /// Steps a second.
    pub(crate) steps: f64,
    /// Bytes received a second.
    pub(crate) received: f64,
    /// Bytes sent a second.
    pub(crate) sent: f64,
    /// The share of a core that the loop's thread has used, if the system tells it.
    pub(crate) busy: Option<f64>,
}

/// A look at a loop.
pub(crate) struct Look {
    state: LoopState,
    /// The processor time of the thread in seconds.
    used: Option<f64>,
}

impl Look {
    pub(crate) fn new(state: &LoopState) -> Self {
        Self { state: state.clone(), used: used(state) }
    }

    /// Returns the rates since an earlier look.
    #[expect(clippy::cast_precision_loss, reason = "a rate is not exact")]
    pub(crate) fn since(&self, earlier: &Self) -> Rates {
        let seconds = self.state.now.since(earlier.state.now).as_secs_f64();
        if seconds <= 0.0 {
            return Rates::default();
        }
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        let counter = |counter: Counter| rate(self.state.counter(counter), earlier.state.counter(counter));
        Rates {
            steps: rate(self.state.steps, earlier.state.steps),
            received: counter(Counter::Received),
            sent: counter(Counter::Sent),
            busy: self.used.zip(earlier.used).map(|(now, then)| (now - then) / seconds),
        }
    }
}

/// Returns the processor time of the loop's thread so far.
pub(crate) fn used(state: &LoopState) -> Option<f64> {
    let path = format!("/proc/{}/task/{}/schedstat", state.pid, state.thread);
    let nanos: f64 = fs::read_to_string(path).ok()?.split(' ').next()?.parse().ok()?;
    Some(nanos / 1e9)
}

/// Returns the resident memory of a process in bytes.
#[cfg(unix)]
pub(crate) fn resident(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Returns `None`: this system does not say how much memory a process has.
#[cfg(not(unix))]
pub(crate) fn resident(_: u32) -> Option<u64> {
    None
}
