//! Waiting for a moment.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use pin_project_lite::pin_project;

use crate::task::{Alarm, Loop};
use crate::time::Instant;

/// The time was over first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it took too long")
    }
}

impl core::error::Error for Elapsed {}

/// The future of [`Loop::sleep`] and [`Loop::sleep_until`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sleep<'d> {
    alarm: Alarm<'d>,
    until: Instant,
    begun: bool,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.begun && self.until <= self.alarm.on().door().seen() {
            return Poll::Ready(());
        }
        self.begun = true;
        let until = self.until;
        self.alarm.wait(until, context);
        Poll::Pending
    }
}

impl<'d> Loop<'d> {
    /// Waits until `span` has passed. Others have their turn in any case.
    pub fn sleep(self, span: Duration) -> Sleep<'d> {
        self.sleep_until(self.now() + span)
    }

    /// Waits until `moment`. Others have their turn in any case. [`Instant::NEVER`] is a moment here, centuries away.
    pub const fn sleep_until(self, moment: Instant) -> Sleep<'d> {
        let until = if moment.as_nanos() == Instant::NEVER.as_nanos() { Instant::LAST } else { moment };
        Sleep { alarm: Alarm::new(self), until, begun: false }
    }

    /// Waits for `future`, but no longer than `span` from now; then it is dropped.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time was over first.
    pub fn timeout<F: Future>(self, span: Duration, future: F) -> Timeout<'d, F> {
        self.until(self.now() + span, future)
    }

    /// [`timeout`](Self::timeout) with a point in time; at [`Instant::NEVER`] there is none.
    pub const fn until<F: Future>(self, moment: Instant, future: F) -> Timeout<'d, F> {
        Timeout { alarm: Alarm::new(self), until: moment, begun: false, future }
    }

    /// The moment `span` from now; never, where there is no span.
    #[must_use]
    pub fn after(self, span: Option<Duration>) -> Instant {
        span.map_or(Instant::NEVER, |span| self.now() + span)
    }

    /// Ticks every `period` from now on; without a period, whenever all others have had a turn.
    #[must_use]
    pub fn every(self, period: Duration) -> Interval<'d> {
        Interval { on: self, period, next: self.now() + period }
    }
}

pin_project! {
    /// The future of [`Loop::timeout`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Timeout<'d, F> {
        alarm: Alarm<'d>,
        until: Instant,
        begun: bool,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Timeout<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let door = this.alarm.on().door();
        // A deadline is over in a step that it has woken, so not in the first one. At `NEVER` there is none.
        let is_over = *this.begun && *this.until != Instant::NEVER && *this.until <= door.seen();
        *this.begun = true;
        // The future's own wait may not be the one that woke the task: what came in time is found by trying.
        let insists = is_over.then(|| door.insist());
        let polled = this.future.poll(context);
        drop(insists);
        match polled {
            Poll::Ready(output) => return Poll::Ready(Ok(output)),
            Poll::Pending if is_over => return Poll::Ready(Err(Elapsed)),
            Poll::Pending if *this.until != Instant::NEVER => this.alarm.wait(*this.until, context),
            Poll::Pending => {}
        }
        Poll::Pending
    }
}

/// Moments at equal distances: see [`Loop::every`].
#[derive(Debug)]
pub struct Interval<'d> {
    on: Loop<'d>,
    period: Duration,
    next: Instant,
}

impl Interval<'_> {
    /// Waits for the next tick, and returns when it was due. Ticks that nobody waited for are left out.
    pub async fn tick(&mut self) -> Instant {
        let due = if self.period.is_zero() { self.on.now() } else { self.next };
        self.on.sleep_until(due).await;
        let period = self.period.as_nanos();
        let missed = self.on.now().since(due).as_nanos().checked_div(period).unwrap_or(0);
        let step = u64::try_from((missed + 1).saturating_mul(period)).unwrap_or(u64::MAX);
        self.next = due + Duration::from_nanos(step);
        due
    }
}
