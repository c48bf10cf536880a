//! The handle on a loop: what a task can ask its kernel for.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::kernel::id::TaskId;
use crate::kernel::instant::Instant;
use crate::task::door::Door;
use crate::task::error::Refused;
use crate::task::late::Late;
use crate::task::wakers::Caller;

/// A handle on the loop that a task runs on: it can be copied, and be captured by what it spawns. It stays on its
/// loop's thread.
#[derive(Clone, Copy)]
pub struct Loop<'d> {
    door: &'d Door<'d>,
}

impl<'d> Loop<'d> {
    /// The handle on the loop behind `door`.
    #[must_use]
    pub const fn new(door: &'d Door<'d>) -> Self {
        Self { door }
    }

    #[inline]
    pub(crate) const fn door(self) -> &'d Door<'d> {
        self.door
    }

    /// The time by the host's clock, or when the turn began, where the host has no clock at hand. Within a callback that
    /// has the host ([`try_recv_with`](crate::task::Conn::try_recv_with)), the time that was read last; [`Instant::ZERO`] outside a task
    /// of this loop. A span that is asked for there counts from when it is first waited for.
    #[must_use]
    pub fn now(self) -> Instant {
        self.clock().unwrap_or_else(|| self.door.last_clock())
    }

    /// Returns the time, where it can be read.
    pub(crate) fn clock(self) -> Option<Instant> {
        let now = self.door.with(|ops| ops.clock()).ok()?;
        self.door.set_last_clock(now);
        Some(now)
    }

    /// The task that runs.
    ///
    /// # Errors
    ///
    /// [`Refused::Elsewhere`] while none of this loop does.
    pub fn current(self) -> Result<TaskId, Refused> {
        self.door.caller().map(Caller::task).ok_or(Refused::Elsewhere)
    }

    /// Lets every other ready task have a turn.
    #[inline]
    pub const fn yield_now(self) -> YieldNow<'d> {
        YieldNow { door: Some(self.door) }
    }

    /// Ends the wait of a task that waits to be named, or its next wait. Whether there is such a task.
    pub fn wake(self, task: TaskId) -> bool {
        self.door.give_back(Late::Wake(task))
    }

    /// Cancels a task: its next operation fails with [`Refused::Cancelled`]. Once is enough: another time changes
    /// nothing. Returns true if there is such a task.
    pub fn cancel(self, task: TaskId) -> bool {
        self.door.cancel(task)
    }

    /// Lets `future` wait even though the task is cancelled: for what must be done before it ends. The next wait
    /// after that is told.
    pub const fn shield<F: Future>(self, future: F) -> Shield<'d, F> {
        Shield { door: self.door, future }
    }
}

impl core::fmt::Debug for Loop<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Loop").finish_non_exhaustive()
    }
}

/// The future of [`Loop::yield_now`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct YieldNow<'d> {
    /// Until it has yielded.
    door: Option<&'d Door<'d>>,
}

impl Future for YieldNow<'_> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(door) = self.door.take() else { return Poll::Ready(()) };
        door.yields(context);
        Poll::Pending
    }
}

pin_project! {
    /// The future of [`Loop::shield`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Shield<'d, F> {
        door: &'d Door<'d>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Shield<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.door.shielded(|| this.future.poll(context))
    }
}

/// Begins an operation: it counts towards what a task can do in one step. So nobody who always finds what it looks
/// for keeps the others from their turn.
///
/// # Errors
///
/// [`Refused::Elsewhere`] outside a task of the loop; [`Refused::Cancelled`] where the task is yet to be told so, or should
/// let others have their turn.
pub(crate) async fn begin(on: Loop<'_>) -> Result<(), Refused> {
    begin_unless(on, || false).await
}

/// Begins an operation as [`begin`] does, but lets a cancelled task go on if the operation `fails` anyway, so that its
/// error is the operation's own.
pub(crate) async fn begin_unless(on: Loop<'_>, fails: impl Fn() -> bool) -> Result<(), Refused> {
    poll_fn(|context| {
        on.current()?;
        let goes_on = (on.door().is_cancelled() && fails()) || on.door().spend(context)?;
        if goes_on { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}
