//! The handle on a loop: what a task can ask its kernel for.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::kernel::error::{IoError, Op};
use crate::kernel::id::{SourceId, TaskId};
use crate::kernel::instant::Instant;
use crate::task::conn::Conn;
use crate::task::door::Door;
use crate::task::error::{Error, Refused, Unspawned};
#[cfg(feature = "alloc")]
use crate::task::join::JoinHandle;
use crate::task::late::Late;
use crate::task::listener::Listener;
use crate::task::run::Async;
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
    /// has the host ([`try_recv_with`](Conn::try_recv_with)), the time that was read last; [`Instant::ZERO`] outside a task
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

    /// Spawns what a [`Pool`](crate::task::Pool) has taken in. It runs in the next turn.
    ///
    /// # Errors
    ///
    /// Gives the task back when the kernel has no place for another, or while no task of this loop runs.
    #[inline]
    pub fn start(self, task: Async<'d>) -> Result<TaskId, Unspawned<Async<'d>>> {
        let mut task = Some(task);
        let started = self.door.with(|ops| ops.spawn(&mut task));
        match (started, task) {
            (Ok(id), None) => Ok(id),
            (_, Some(task)) => Err(Unspawned(task)),
            (Err(_), None) => unreachable!("a door that is shut takes nothing"),
        }
    }

    /// Spawns a task on the heap, and returns the handle to join or cancel it by; dropping that leaves the task
    /// alone. It runs in the next turn.
    ///
    /// It can outlive whoever spawns it, so it borrows nothing from there: what tasks share is in an
    /// [`Rc`](alloc::rc::Rc), and an `async move` block takes it along.
    ///
    /// # Errors
    ///
    /// Gives the future back when the kernel has no place for another, or while no task of this loop runs.
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn spawn<F: Future + 'd>(self, future: F) -> Result<JoinHandle<'d, F::Output>, Unspawned<F>> {
        if !self.door.with(|ops| ops.has_room()).unwrap_or(false) {
            return Err(Unspawned(future));
        }
        let (task, handle) = Async::new(self, future);
        let started = self.start(task);
        debug_assert!(started.is_ok(), "there was room");
        Ok(handle)
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

    /// A connection to `address`.
    ///
    /// # Errors
    ///
    /// Why there is none; [`IoError::Unsupported`] where tasks may not connect.
    pub async fn connect(self, address: SocketAddr) -> Result<Conn<'d>, Error> {
        let none = SourceId::from_bits(u64::MAX);
        crate::sync::begin(self).await?;
        let source = self.door.with(|ops| ops.connect(address))?;
        let conn = Conn::new(self, source.map_err(|error| Error::of(Op::Connect, none, error))?);
        loop {
            conn.writable().await?;
            match self.door.with(|ops| ops.connected(conn.source()))? {
                Err(IoError::WouldBlock) => {}
                Err(error) => return Err(Error::of(Op::Connect, conn.source(), error)),
                Ok(()) => return Ok(conn),
            }
        }
    }

    /// A listener on `address`, of which port 0 means any that is free.
    ///
    /// # Errors
    ///
    /// Why there is none; [`IoError::Unsupported`] where tasks may not listen.
    pub fn listen(self, address: SocketAddr) -> Result<Listener<'d>, Error> {
        let none = SourceId::from_bits(u64::MAX);
        let listening = self.door.with(|ops| ops.listen(address))?;
        let (source, bound) = listening.map_err(|error| Error::of(Op::Listen, none, error))?;
        Ok(Listener::new(self, source, bound))
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
