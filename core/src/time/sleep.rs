//! Waiting for a moment.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use pin_project_lite::pin_project;

use crate::kernel::instant::Instant;
use crate::task::alarm::Alarm;
use crate::task::error::Elapsed;
use crate::task::handle::Handle;

/// The future of [`Handle::sleep`] and [`Handle::sleep_until`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sleep<'d> {
    alarm: Alarm<'d>,
    until: Instant,
    stage: Stage,
}

/// How far a sleep is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// `until` is a span yet, and counts from the first look: there was no clock to be read.
    Span,
    /// The sleep has not begun; it lets other tasks have their turn first.
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
    /// Waits until `span` has passed. Others have their turn in any case.
    pub fn sleep(self, span: Duration) -> Sleep<'d> {
        match self.clock() {
            Some(now) => self.sleep_until(now + span),
            None => Sleep { stage: Stage::Span, ..self.sleep_until(Instant::ZERO + span) },
        }
    }

    /// Waits until `moment`. Others have their turn in any case. [`Instant::NEVER`] is a moment here, centuries away.
    pub const fn sleep_until(self, moment: Instant) -> Sleep<'d> {
        let until = if moment.as_nanos() == Instant::NEVER.as_nanos() { Instant::LAST } else { moment };
        Sleep { alarm: Alarm::new(self), until, stage: Stage::Fresh }
    }

    /// Waits for `future`, but no longer than `span` from now; then it is dropped.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the time was over first.
    pub fn timeout<F: Future>(self, span: Duration, future: F) -> Timeout<'d, F> {
        match self.clock() {
            Some(now) => self.until(now + span, future),
            None => Timeout { is_span: true, ..self.until(Instant::ZERO + span, future) },
        }
    }

    /// [`timeout`](Self::timeout) with a point in time; at [`Instant::NEVER`] there is none.
    pub const fn until<F: Future>(self, moment: Instant, future: F) -> Timeout<'d, F> {
        Timeout { alarm: Alarm::new(self), until: moment, begun: false, is_span: false, future }
    }

    /// The moment `span` from now; never, where there is no span.
    #[must_use]
    pub fn after(self, span: Option<Duration>) -> Instant {
        span.map_or(Instant::NEVER, |span| self.now() + span)
    }

    /// Ticks every `period` from now on; without a period, whenever all others have had a turn.
    #[must_use]
    pub fn every(self, period: Duration) -> Interval<'d> {
        Interval { handle: self, period, next: self.clock().map(|now| now + period) }
    }
}

pin_project! {
    /// The future of [`Handle::timeout`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Timeout<'d, F> {
        alarm: Alarm<'d>,
        until: Instant,
        begun: bool,
        // `until` is a span yet, and counts from the first look.
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
        // A deadline is over in a step that it has woken, so not in the first one. At `NEVER` there is none.
        let is_over = *this.begun && *this.until != Instant::NEVER && *this.until <= run_context.seen();
        *this.begun = true;
        // The future's own wait may not be the one that woke the task: what came in time is found by trying.
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

/// Moments at equal distances: see [`Handle::every`].
#[derive(Debug)]
pub struct Interval<'d> {
    handle: Handle<'d>,
    period: Duration,
    /// The next tick; none before the first wait, where there was no clock to be read.
    next: Option<Instant>,
}

impl Interval<'_> {
    /// Waits for the next tick, and returns when it was due. Ticks that nobody waited for are left out.
    pub async fn tick(&mut self) -> Instant {
        let next = *self.next.get_or_insert_with(|| self.handle.now() + self.period);
        let due = if self.period.is_zero() { self.handle.now() } else { next };
        // A tick that is due is had at once, also beside something else that is always ready; the one after it is not due.
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
