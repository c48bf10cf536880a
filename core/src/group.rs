//! Groups of tasks that end together (trio's nursery, curio's task group).
//!
//! A group ends when all its tasks have. The first that fails cancels the others; its error is the group's, and has
//! theirs with it. So no task outlives the place that it was spawned in, and no error is lost:
//!
//! * A scope that comes to its end, whether by itself, by a failure, or because its task is cancelled, cancels what is
//!   left of its tasks and waits for them. They are told, and may clean up.
//! * A scope or group that is dropped before its end, by a timeout or a [`select`](crate::task::select) around it, by a
//!   panic, or with its task, ends its tasks there and then: their futures are dropped where they are, and theirs in
//!   turn, before the drop returns. Nobody is told, as nobody could wait for that.
//!
//! A time limit that lets the tasks clean up is therefore one inside of the scope:
//!
//! ```
//! # use core::time::Duration;
//! # use sinbin_core::group::{Failed, scope};
//! # use sinbin_core::task::{Error, Handle};
//! # async fn fetch(handle: Handle<'_>, page: u32) -> Result<(), Error> { handle.yield_now().await; Ok(()) }
//! # #[cfg(feature = "alloc")]
//! async fn crawl(handle: Handle<'_>) -> Result<(), Failed<Error>> {
//!     scope(handle, async |pages| {
//!         for page in 1..=3 {
//!             pages.spawn(fetch(handle, page))?;
//!         }
//!         // When it is over, the body fails: the tasks are told, and waited for.
//!         handle.timeout(Duration::from_secs(5), pages.ended()).await??;
//!         Ok(())
//!     })
//!     .await
//! }
//! ```
//!
//! [`scope`] is the way to a group that can't be left behind. A [`Group`] of one's own is for results, one after
//! another:
//!
//! ```
//! # use sinbin_core::group::{Failed, Group};
//! # use sinbin_core::task::{Error, Handle};
//! # async fn fetch(handle: Handle<'_>, page: u32) -> Result<usize, Error> { handle.yield_now().await; Ok(page as usize) }
//! /// The sizes of all pages together, or why one of them could not be fetched; then the others are let go.
//! # #[cfg(feature = "alloc")]
//! async fn total(handle: Handle<'_>) -> Result<usize, Failed<Error>> {
//!     let pages = Group::new(handle);
//!     for page in 1..=3 {
//!         pages.spawn(fetch(handle, page)).ok();
//!     }
//!     let mut total = 0;
//!     while let Some(size) = pages.next().await {
//!         total += size?;
//!     }
//!     Ok(total)
//! }
//! ```
//!
//! A [failure](Failed) says which task it was, what that is called, and where it was spawned. Tasks that are cancelled
//! are told once, and may clean up; [`Group::join`] and [`scope`] wait for that. Without a heap (feature `alloc`), a
//! [`Pool`](crate::task::Pool) has the tasks' places, [`Group::start`] spawns what it has taken in, and a group
//! has [`MAX_CHILDREN`] at a time at most.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};

use crate::kernel::id::TaskId;
pub use crate::task::error::group::{Cause, Failed, MAX_CHILDREN, Other, Others};
use crate::task::error::{JoinErrorKind, SpawnError, WaitError};
use crate::task::handle::{Handle, begin};
use crate::task::join::JoinHandle;
use crate::task::start::Async;

#[cfg(feature = "alloc")]
type Children<'d, T, E> = alloc::vec::Vec<Child<'d, T, E>>;
#[cfg(not(feature = "alloc"))]
type Children<'d, T, E> = heapless::Vec<Child<'d, T, E>, MAX_CHILDREN>;

/// Tasks that end together. See [the module](self); [`scope`] is the way to one that can't be left behind.
pub struct Group<'d, T, E> {
    handle: Handle<'d>,
    children: RefCell<Children<'d, T, E>>,
    /// A task has failed, or the group was left: the others are cancelled.
    over: Cell<bool>,
}

/// A task of a group, which ends with it.
struct Child<'d, T, E>(JoinHandle<'d, Result<T, E>>);

impl<T, E> Drop for Child<'_, T, E> {
    fn drop(&mut self) {
        self.0.cut_off();
    }
}

impl<T, E> Child<'_, T, E> {
    fn failed(&self, cause: Cause<E>) -> Ended<T, E> {
        let Self(task) = self;
        Ended::Failed(Other { task: task.task(), label: task.label(), cause, was_told: task.was_told() })
    }

    /// Returns how the task ended, if it has.
    fn end(&self) -> Option<Ended<T, E>> {
        Some(match self.0.end()? {
            Ok(Ok(output)) => Ended::Well(output),
            Ok(Err(error)) => self.failed(Cause::Error(error)),
            Err(JoinErrorKind::Panicked) => self.failed(Cause::Panicked),
            Err(_) => Ended::Cancelled,
        })
    }
}

/// How a task of a group ended.
enum Ended<T, E> {
    Well(T),
    Cancelled,
    Failed(Other<E>),
}

impl<'d, T, E> Group<'d, T, E> {
    /// A group without tasks.
    #[must_use]
    pub const fn new(handle: Handle<'d>) -> Self {
        Self { handle, children: RefCell::new(Children::new()), over: Cell::new(false) }
    }

    /// The loop that its tasks run on.
    #[must_use]
    pub const fn handle(&self) -> Handle<'d> {
        self.handle
    }

    /// How many tasks it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.children.borrow().len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Spawns a task of the group, on the heap.
    ///
    /// # Errors
    ///
    /// Gives the future back when the kernel has no place for another, or when the group is over.
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn spawn<F: Future<Output = Result<T, E>> + 'd>(&self, future: F) -> Result<TaskId, SpawnError<F>> {
        if self.over.get() {
            return Err(SpawnError(future));
        }
        let child = self.handle.spawn(future)?;
        let task = child.task();
        self.children.borrow_mut().push(Child(child));
        Ok(task)
    }

    /// Spawns what a [`Pool`](crate::task::Pool) has taken in.
    ///
    /// # Errors
    ///
    /// Gives the task back when the kernel or the group has no place for another, or when the group is over.
    pub fn start(
        &self,
        (task, child): (Async<'d>, JoinHandle<'d, Result<T, E>>),
    ) -> Result<TaskId, (Async<'d>, JoinHandle<'d, Result<T, E>>)> {
        let mut children = self.children.borrow_mut();
        if self.over.get() || (cfg!(not(feature = "alloc")) && children.len() >= MAX_CHILDREN) {
            return Err((task, child));
        }
        match self.handle.start(task) {
            Ok(id) => {
                children.extend([Child(child)]);
                Ok(id)
            }
            Err(SpawnError(task)) => Err((task, child)),
        }
    }

    /// The result of the next task to end, in the order in which they end; of several that have ended, of the one
    /// that was spawned first. `None` when there is no task. A task that was cancelled is passed over. O(n) in the
    /// number of tasks.
    ///
    /// # Errors
    ///
    /// How the task failed; the others are cancelled then. [`WaitError::Busy`] where another task waits for the group
    /// already, or where it is one of the group itself.
    pub async fn next(&self) -> Option<Result<T, Failed<E>>> {
        let next = poll_fn(|context| self.poll_next(context)).await?;
        Some(next.map_err(|stopped| {
            self.cancel();
            self.failed(stopped)
        }))
    }

    /// Waits until all have ended.
    ///
    /// # Errors
    ///
    /// The first failure, when all other tasks, which are cancelled then, have ended as well. Their failures are [with
    /// it](Failed::others).
    pub async fn join(&self) -> Result<(), Failed<E>> {
        while let Some(ended) = self.next().await {
            if let Err(mut failed) = ended {
                failed.others = self.settle().await;
                return Err(failed);
            }
        }
        Ok(())
    }

    /// Waits until no task is left, and takes nothing: what they return, and how they fail, is there for
    /// [`next`](Self::next), [`join`](Self::join), or the scope. O(n) in the number of tasks.
    ///
    /// # Errors
    ///
    /// Where the task must not wait: see [`WaitError`]; [`WaitError::Busy`] also where another task waits for the group.
    pub async fn ended(&self) -> Result<(), WaitError> {
        begin(self.handle).await?;
        poll_fn(|context| {
            let mut is_over = true;
            for Child(child) in self.children.borrow().iter().filter(|Child(child)| !child.is_over()) {
                is_over = false;
                match child.poll_wait(context) {
                    Poll::Pending => {}
                    Poll::Ready(JoinErrorKind::Wait(refused)) => return Poll::Ready(Err(refused)),
                    Poll::Ready(_) => return Poll::Ready(Err(WaitError::Busy)),
                }
            }
            if is_over { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// Cancels all tasks, once: those that clean up are let do so. Their ends can still be waited for; new tasks are
    /// not taken.
    pub fn cancel(&self) {
        if self.over.replace(true) {
            return;
        }
        for Child(child) in self.children.borrow().iter() {
            child.cancel();
        }
    }

    /// Waits for the ends of all tasks, cancelled or not, and returns their failures. Returns at once where the running
    /// task can't wait at all.
    async fn settle(&self) -> Others<E> {
        let mut others = Others::new();
        let all = async {
            while let Some(ended) = poll_fn(|context| self.poll_next(context)).await {
                match ended {
                    Ok(_) => {}
                    // There is room: a group that is over takes no more tasks.
                    Err(Stopped::Failed(other)) => others.extend([other]),
                    Err(Stopped::Wait(_)) => break,
                }
            }
        };
        self.handle.shield(all).await;
        others
    }

    /// Takes the first task that has ended and was not cancelled.
    fn take_ended(&self) -> Option<Result<T, Other<E>>> {
        loop {
            let children = self.children.borrow();
            let (at, ended) = children.iter().enumerate().find_map(|(at, child)| Some((at, child.end()?)))?;
            drop(children);
            let child = self.children.borrow_mut().remove(at);
            drop(child);
            match ended {
                Ended::Well(output) => return Some(Ok(output)),
                Ended::Failed(other) => return Some(Err(other)),
                Ended::Cancelled => {}
            }
        }
    }

    fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Result<T, Stopped<E>>>> {
        if let Some(ended) = self.take_ended() {
            return Poll::Ready(Some(ended.map_err(Stopped::Failed)));
        }
        let children = self.children.borrow();
        if children.is_empty() {
            return Poll::Ready(None);
        }
        for Child(child) in children.iter() {
            match child.poll_end(context) {
                Poll::Pending => {}
                Poll::Ready(Err(JoinErrorKind::Wait(refused))) => {
                    return Poll::Ready(Some(Err(Stopped::Wait(refused))));
                }
                // Another task waits for this child, or for the group: no child has ended, as was looked at before.
                Poll::Ready(_) => return Poll::Ready(Some(Err(Stopped::Wait(WaitError::Busy)))),
            }
        }
        Poll::Pending
    }

    fn failed(&self, stopped: Stopped<E>) -> Failed<E> {
        match stopped {
            Stopped::Failed(other) => other.into(),
            Stopped::Wait(refused) => self.own(Cause::Wait(refused)),
        }
    }

    /// A failure of the group's own task.
    fn own(&self, cause: Cause<E>) -> Failed<E> {
        let nobody = TaskId::from_bits(u64::MAX);
        let task = self.handle.current().unwrap_or(nobody);
        Failed { task, label: None, cause, others: Others::new() }
    }

    /// Whether the body of a scope, which has just been polled, is to end: ready with why.
    fn poll_beside_body(&self, context: &Context<'_>) -> Poll<Failed<E>> {
        if self.over.get() {
            // How cancelled tasks end is no reason to interrupt the body.
            return Poll::Pending;
        }
        let run_context = self.handle.run_context();
        // The body knows that its task is cancelled, or is to be told: it is let clean up, and its next operation fails.
        let goes_on = run_context.is_cancelled() && run_context.was_told();
        while let Some(ended) = self.take_ended() {
            if let Err(other) = ended {
                return Poll::Ready(other.into());
            }
        }
        if goes_on {
            self.cancel();
            return Poll::Pending;
        }
        match self.poll_next(context) {
            Poll::Ready(Some(Err(stopped))) => Poll::Ready(self.failed(stopped)),
            _ => Poll::Pending,
        }
    }
}

/// Why a group's task stops waiting for results.
enum Stopped<E> {
    /// A task has failed.
    Failed(Other<E>),
    /// The join was refused.
    Wait(WaitError),
}

/// Runs `body` with a group, and ends when the body and all tasks of the group have. When one of them fails the
/// others are cancelled, the body too: it is dropped where it waits. What the tasks return is dropped, unless the
/// body waits for it at that time ([`Group::next`]).
///
/// When the task itself is cancelled, so are the tasks of the group. The body is told by its own waits, and may clean
/// up; one that can't be told is dropped where it waits. A scope that is dropped before its end, by a timeout around it
/// say, ends its tasks there and then: see [the module](self).
///
/// # Errors
///
/// The first failure; the [others](Failed::others) are with it.
///
/// ```
/// # use core::time::Duration;
/// # use sinbin_core::group::{Failed, scope};
/// # use sinbin_core::task::{Error, Handle};
/// # async fn fetch(handle: Handle<'_>, page: u32) -> Result<(), Error> { handle.yield_now().await; Ok(()) }
/// # #[cfg(feature = "alloc")]
/// async fn crawl(handle: Handle<'_>) -> Result<(), Failed<Error>> {
///     scope(handle, async |group| {
///         for page in 1..=3 {
///             group.spawn(fetch(handle, page))?;
///         }
///         Ok(())
///     })
///     .await
/// }
/// ```
pub async fn scope<'d, R, T: 'd, E: 'd>(
    handle: Handle<'d>,
    body: impl AsyncFnOnce(&Group<'d, T, E>) -> Result<R, E>,
) -> Result<R, Failed<E>> {
    let group = Group::new(handle);
    let ended = {
        let mut body = pin!(body(&group));
        poll_fn(|context| {
            if let Poll::Ready(ended) = body.as_mut().poll(context) {
                return Poll::Ready(Ok(ended));
            }
            group.poll_beside_body(context).map(Err)
        })
        .await
    };
    let mut failed = match ended {
        Ok(Ok(result)) => return group.join().await.map(|()| result),
        Ok(Err(error)) => group.own(Cause::Error(error)),
        Err(failed) => failed,
    };
    group.cancel();
    failed.others = group.settle().await;
    Err(failed)
}
