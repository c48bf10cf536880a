//! The handle on a loop: what a task can ask its kernel for.

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

/// A handle on the loop that a task runs on: it can be copied, and be captured by what it spawns. It stays on its
/// loop's thread.
#[derive(Clone, Copy)]
pub struct Handle<'d> {
    run_context: &'d RunContext<'d>,
}

impl<'d> Handle<'d> {
    /// The handle on the loop behind `run_context`.
    #[must_use]
    pub const fn new(run_context: &'d RunContext<'d>) -> Self {
        Self { run_context }
    }

    #[inline]
    pub(crate) const fn run_context(self) -> &'d RunContext<'d> {
        self.run_context
    }

    /// The time by the host's clock, or when the turn began, where the host has no clock at hand. Within a callback that
    /// has the host ([`try_recv_with`](crate::task::Conn::try_recv_with)), the time that was read last; [`Instant::ZERO`] outside a task
    /// of this loop. A span that is asked for there counts from when it is first waited for.
    #[must_use]
    pub fn now(self) -> Instant {
        self.clock().unwrap_or_else(|| self.run_context.last_clock())
    }

    /// Returns the time, where it can be read.
    pub(crate) fn clock(self) -> Option<Instant> {
        let now = self.run_context.with(|ops| ops.clock()).ok()?;
        self.run_context.set_last_clock(now);
        Some(now)
    }

    /// The task that runs.
    ///
    /// # Errors
    ///
    /// [`WaitError::Elsewhere`] while none of this loop does.
    pub fn current(self) -> Result<TaskId, WaitError> {
        self.run_context.caller().map(WakerState::task).ok_or(WaitError::Elsewhere)
    }

    /// Lets every other ready task have a turn.
    #[inline]
    pub const fn yield_now(self) -> YieldNow<'d> {
        YieldNow { run_context: Some(self.run_context) }
    }

    /// Ends the wait of a task that waits to be named, or its next wait. Whether there is such a task.
    pub fn wake(self, task: TaskId) -> bool {
        self.run_context.give_back(Deferred::Wake(task))
    }

    /// Cancels a task: its next operation fails with [`WaitError::Cancelled`]. Once is enough: another time changes
    /// nothing. Returns true if there is such a task.
    pub fn cancel(self, task: TaskId) -> bool {
        self.run_context.cancel(task)
    }

    /// Lets `future` wait even though the task is cancelled: for what must be done before it ends. The next wait
    /// after that is told.
    pub const fn shield<F: Future>(self, future: F) -> Shield<'d, F> {
        Shield { run_context: self.run_context, future }
    }
}

impl core::fmt::Debug for Handle<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Loop").finish_non_exhaustive()
    }
}

/// The future of [`Handle::yield_now`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct YieldNow<'d> {
    /// Until it has yielded.
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
    /// The future of [`Handle::shield`].
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

/// Begins an operation: it counts towards what a task can do in one step. So nobody who always finds what it looks
/// for keeps the others from their turn.
///
/// # Errors
///
/// [`WaitError::Elsewhere`] outside a task of the loop; [`WaitError::Cancelled`] where the task is yet to be told so, or should
/// let others have their turn.
pub(crate) async fn begin(handle: Handle<'_>) -> Result<(), WaitError> {
    begin_unless(handle, || false).await
}

/// Begins an operation as [`begin`] does, but lets a cancelled task go on if the operation `fails` anyway, so that its
/// error is the operation's own.
pub(crate) async fn begin_unless(handle: Handle<'_>, fails: impl Fn() -> bool) -> Result<(), WaitError> {
    poll_fn(|context| {
        handle.current()?;
        let goes_on =
            (handle.run_context().is_cancelled() && fails()) || handle.run_context().spend(context)?;
        if goes_on { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}
