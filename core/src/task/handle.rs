//! The handle on a loop: the operations that a task can request from its kernel.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::kernel::id::TaskId;
use crate::kernel::instant::Instant;
use crate::task::deferred::Deferred;
use crate::task::error::WaitError;
use crate::task::run_context::RunContext;
use crate::task::wakers::WakerState;

/// A handle on the loop that a task runs on. It is `Copy`, and spawned tasks can capture it. It stays on the thread of
/// its loop.
#[derive(Clone, Copy)]
pub struct Handle<'d> {
    run_context: &'d RunContext<'d>,
}

impl<'d> Handle<'d> {
    /// Creates a handle on the loop of `run_context`.
    #[must_use]
    pub const fn new(run_context: &'d RunContext<'d>) -> Self {
        Self { run_context }
    }

    #[inline]
    pub(crate) const fn run_context(self) -> &'d RunContext<'d> {
        self.run_context
    }

    /// Returns the time by the host's clock, or the time at the beginning of the turn if the host has no clock. Within
    /// a callback that borrows the host ([`try_recv_with`](crate::task::Conn::try_recv_with)), and outside a task of
    /// this loop, returns the time at the last reading, or [`Instant::ZERO`] before the first one. A timer that is
    /// created there with a span measures the span from its first poll.
    #[must_use]
    pub fn now(self) -> Instant {
        self.clock().unwrap_or_else(|| self.run_context.last_clock())
    }

    /// Returns the time, if the clock can be read.
    pub(crate) fn clock(self) -> Option<Instant> {
        let now = self.run_context.with(|ops| ops.clock()).ok()?;
        self.run_context.set_last_clock(now);
        Some(now)
    }

    /// Returns the running task.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] if no task of this loop runs.
    pub fn current(self) -> Result<TaskId, WaitError> {
        self.run_context.caller().map(WakerState::task).ok_or(WaitError::Elsewhere)
    }

    /// Yields, so that every other ready task can run.
    #[inline]
    pub const fn yield_now(self) -> YieldNow<'d> {
        YieldNow { run_context: Some(self.run_context) }
    }

    /// Ends the wait of a task for a wake by name, or its next such wait. Returns true if the task exists.
    pub fn wake(self, task: TaskId) -> bool {
        #[cfg(feature = "alloc")]
        self.run_context.wake_parts(task);
        self.run_context.give_back(Deferred::Wake(task))
    }

    /// Cancels a task: its next operation fails with [`WaitError::Cancelled`]. Cancelling a task again has no effect.
    /// Returns true if the task exists.
    pub fn cancel(self, task: TaskId) -> bool {
        self.run_context.cancel(task)
    }

    /// Lets `future` wait even if the task is cancelled, for cleanup that must happen before the task ends. The next
    /// wait after that fails with the cancellation.
    pub const fn shield<F: Future>(self, future: F) -> Shield<'d, F> {
        Shield { run_context: self.run_context, future }
    }
}

impl core::fmt::Debug for Handle<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// The future returned by [`Handle::yield_now`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct YieldNow<'d> {
    /// The run context, or `None` once the future has yielded.
    run_context: Option<&'d RunContext<'d>>,
}

impl Future for YieldNow<'_> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(run_context) = self.run_context.take() else { return Poll::Ready(()) };
        run_context.yields(context);
        Poll::Pending
    }
}

pin_project! {
    /// The future returned by [`Handle::shield`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Shield<'d, F> {
        run_context: &'d RunContext<'d>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Shield<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.run_context.shielded(|| this.future.poll(context))
    }
}

/// Begins an operation, which counts towards the budget of the step. This prevents a task whose operations always
/// succeed at once from starving other tasks.
///
/// # Errors
///
/// Fails with [`WaitError::Elsewhere`] outside a task of the loop, and with [`WaitError::Cancelled`] if the task has yet to
/// be notified of its cancellation, or is cancelled and has spent its budget.
pub(crate) async fn begin(handle: Handle<'_>) -> Result<(), WaitError> {
    begin_unless(handle, || false).await
}

/// Begins an operation as [`begin`] does. If the operation `fails` anyway, a cancelled task continues, so that it gets
/// the operation's own error.
pub(crate) async fn begin_unless(handle: Handle<'_>, fails: impl Fn() -> bool) -> Result<(), WaitError> {
    poll_fn(|context| {
        handle.current()?;
        let goes_on =
            (handle.run_context().is_cancelled() && fails()) || handle.run_context().spend(context)?;
        if goes_on { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}
