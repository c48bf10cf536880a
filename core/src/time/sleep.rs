//! Timers.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use pin_project_lite::pin_project;

use crate::kernel::instant::Instant;
use crate::task::alarm::Alarm;
use crate::task::error::Elapsed;
use crate::task::handle::Handle;

/// The future returned by [`Handle::sleep`] and [`Handle::sleep_until`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sleep<'d> {
    alarm: Alarm<'d>,
    until: Instant,
    stage: Stage,
}

/// The state of a sleep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// `until` is still a span, which counts from the first poll, because the clock could not be read.
    Span,
    /// The sleep has not begun; it yields to other tasks first.
    Fresh,
    /// The sleep has begun.
    Begun,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let handle = self.alarm.handle();
        if self.stage == Stage::Span {
            let until = handle.now() + Duration::from_nanos(self.until.as_nanos());
            (self.until, self.stage) = (until.min(Instant::LAST), Stage::Fresh);
        }
        if self.stage == Stage::Begun && self.until <= handle.run_context().seen() {
            return Poll::Ready(());
        }
        self.stage = Stage::Begun;
        let until = self.until;
        self.alarm.wait(until, context);
        Poll::Pending
    }
}

impl<'d> Handle<'d> {
    /// Waits until `span` has passed. Other tasks can run in any case.
    pub fn sleep(self, span: Duration) -> Sleep<'d> {
        match self.clock() {
            Some(now) => self.sleep_until(now + span),
            None => Sleep { stage: Stage::Span, ..self.sleep_until(Instant::ZERO + span) },
        }
    }

    /// Waits until `moment`. Other tasks can run in any case. [`Instant::NEVER`] means the last instant, centuries
    /// away.
    pub const fn sleep_until(self, moment: Instant) -> Sleep<'d> {
        let until = if moment.as_nanos() == Instant::NEVER.as_nanos() { Instant::LAST } else { moment };
        Sleep { alarm: Alarm::new(self), until, stage: Stage::Fresh }
    }

    /// Waits for `future`, but no longer than `span` from now; then the future is dropped.
    ///
    /// # Errors
    ///
    /// Fails with [`Elapsed`] if the time has expired first.
    pub fn timeout<F: Future>(self, span: Duration, future: F) -> Timeout<'d, F> {
        match self.clock() {
            Some(now) => self.until(now + span, future),
            None => Timeout { is_span: true, ..self.until(Instant::ZERO + span, future) },
        }
    }

    /// Waits for `future` as [`timeout`](Self::timeout) does, until an instant; [`Instant::NEVER`] means no deadline.
    pub const fn until<F: Future>(self, moment: Instant, future: F) -> Timeout<'d, F> {
        Timeout { alarm: Alarm::new(self), until: moment, begun: false, is_span: false, future }
    }

    /// Returns the instant that is `span` from now, or [`Instant::NEVER`] without a span.
    #[must_use]
    pub fn after(self, span: Option<Duration>) -> Instant {
        span.map_or(Instant::NEVER, |span| self.now() + span)
    }

    /// Creates an interval that ticks every `period` from now on. With a period of zero, it ticks whenever all other
    /// ready tasks have run.
    #[must_use]
    pub fn every(self, period: Duration) -> Interval<'d> {
        Interval { handle: self, period, next: self.clock().map(|now| now + period) }
    }
}

pin_project! {
    /// The future returned by [`Handle::timeout`] and [`Handle::until`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Timeout<'d, F> {
        alarm: Alarm<'d>,
        until: Instant,
        begun: bool,
        // `until` is still a span, which counts from the first poll.
        is_span: bool,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Timeout<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let run_context = this.alarm.handle().run_context();
        if *this.is_span {
            let span = Duration::from_nanos(this.until.as_nanos());
            (*this.until, *this.is_span) = (this.alarm.handle().now() + span, false);
        }
        // A deadline can expire only after the first poll, in a step that it woke. `NEVER` means no deadline.
        let is_over = *this.begun && *this.until != Instant::NEVER && *this.until <= run_context.seen();
        *this.begun = true;
        // The deadline may have woken the task instead of the future's own event. An attempt shows whether the event
        // came in time.
        let insists = is_over.then(|| run_context.insist());
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

/// A sequence of instants at regular intervals: see [`Handle::every`].
#[derive(Debug)]
pub struct Interval<'d> {
    handle: Handle<'d>,
    period: Duration,
    /// The next tick; `None` before the first wait if the clock could not be read.
    next: Option<Instant>,
}

impl Interval<'_> {
    /// Waits for the next tick, and returns the instant at which it was due. Missed ticks are skipped.
    pub async fn tick(&mut self) -> Instant {
        let next = *self.next.get_or_insert_with(|| self.handle.now() + self.period);
        let due = if self.period.is_zero() { self.handle.now() } else { next };
        // A tick that is due completes at once, even if another future is always ready; the tick after it is not due.
        if self.period.is_zero() || due > self.handle.run_context().seen() {
            self.handle.sleep_until(due).await;
        }
        let period = self.period.as_nanos();
        let missed = self.handle.now().since(due).as_nanos().checked_div(period).unwrap_or(0);
        let step = u64::try_from((missed + 1).saturating_mul(period)).unwrap_or(u64::MAX);
        self.next = Some(due + Duration::from_nanos(step));
        due
    }
}
