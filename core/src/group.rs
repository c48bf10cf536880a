//! Groups of tasks that end together (trio's nursery, curio's task group).
//!
//! A group ends when all its tasks have. The first that fails cancels the others, and its error is the group's. A
//! group that is left early, by `?` or because its own task is cancelled, takes its tasks with it. So no task
//! outlives the place that it was spawned in, and no error is lost.
//!
//! [`scope`] is the way to a group that can't be left behind. A [`Group`] of one's own is for results, one after
//! another:
//!
//! ```
//! # use sinbin_core::group::{Failed, Group};
//! # use sinbin_core::task::{Error, Loop};
//! # async fn fetch(on: Loop<'_>, page: u32) -> Result<usize, Error> { on.yield_now().await; Ok(page as usize) }
//! /// The sizes of all pages together, or why one of them could not be fetched; then the others are let go.
//! # #[cfg(feature = "alloc")]
//! async fn total(on: Loop<'_>) -> Result<usize, Failed<Error>> {
//!     let pages = Group::new(on);
//!     for page in 1..=3 {
//!         pages.spawn(fetch(on, page)).ok();
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
use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};

use crate::id::TaskId;
use crate::task::{Async, JoinHandle, Label, Loop, Refused, Unspawned, Why};

#[cfg(feature = "alloc")]
type Children<'d, T, E> = alloc::vec::Vec<JoinHandle<'d, Result<T, E>>>;
#[cfg(not(feature = "alloc"))]
type Children<'d, T, E> = heapless::Vec<JoinHandle<'d, Result<T, E>>, MAX_CHILDREN>;

/// How many tasks a group can have at a time at least; with a heap (feature `alloc`), the kernel's limit is the only
/// one.
pub const MAX_CHILDREN: usize = 16;

/// What a task of a group came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause<E> {
    /// It returned this.
    Error(E),
    /// It panicked.
    Panicked,
    /// The group's own task can't go on waiting for it.
    Refused(Refused),
}

/// A task that failed: which, what it is called, where it was spawned, and why. Where that is the failure of a
/// group in turn, it says who waited for whom.
#[derive(Clone, Copy, Debug)]
pub struct Failed<E> {
    /// Which task.
    pub task: TaskId,
    /// What it is called, and where it was spawned; unknown of the group's own task.
    pub label: Option<Label>,
    /// Why.
    pub cause: Cause<E>,
}

impl<E: fmt::Display> fmt::Display for Failed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Error(error) => write!(f, "{error}")?,
            Cause::Panicked => f.write_str("it panicked")?,
            Cause::Refused(refused) => write!(f, "{refused}")?,
        }
        write!(f, "\n  in task {}", self.task)?;
        self.label.map_or(Ok(()), |label| write!(f, " ({label})"))
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Failed<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.cause {
            Cause::Error(error) => Some(error),
            Cause::Panicked | Cause::Refused(_) => None,
        }
    }
}

/// Tasks that end together. See [the module](self); [`scope`] is the way to one that can't be left behind.
pub struct Group<'d, T, E> {
    on: Loop<'d>,
    children: RefCell<Children<'d, T, E>>,
    /// A task has failed, or the group was left: the others are cancelled.
    over: Cell<bool>,
}

impl<'d, T, E> Group<'d, T, E> {
    /// A group without tasks.
    #[must_use]
    pub const fn new(on: Loop<'d>) -> Self {
        Self { on, children: RefCell::new(Children::new()), over: Cell::new(false) }
    }

    /// The loop that its tasks run on.
    #[must_use]
    pub const fn on(&self) -> Loop<'d> {
        self.on
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
    pub fn spawn<F: Future<Output = Result<T, E>> + 'd>(&self, future: F) -> Result<TaskId, Unspawned<F>> {
        if self.over.get() {
            return Err(Unspawned(future));
        }
        let child = self.on.spawn(future)?;
        let task = child.task();
        self.children.borrow_mut().push(child);
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
        match self.on.start(task) {
            Ok(id) => {
                children.extend([child]);
                Ok(id)
            }
            Err(Unspawned(task)) => Err((task, child)),
        }
    }

    /// The result of the next task to end, in the order in which they end; of several that have ended, of the one
    /// that was spawned first. `None` when there is no task. A task that was cancelled is passed over. O(n) in the
    /// number of tasks.
    ///
    /// # Errors
    ///
    /// How the task failed; the others are cancelled then. [`Refused::Busy`] where another task waits for the group
    /// already, or where it is one of the group itself.
    pub async fn next(&self) -> Option<Result<T, Failed<E>>> {
        let next = poll_fn(|context| self.poll_next(context)).await;
        if let Some(Err(_)) = next {
            self.cancel();
        }
        next
    }

    /// Waits until all have ended.
    ///
    /// # Errors
    ///
    /// How the first that failed did, when all others, which are cancelled then, have ended as well.
    pub async fn join(&self) -> Result<(), Failed<E>> {
        while let Some(ended) = self.next().await {
            if let Err(failed) = ended {
                self.settle().await;
                return Err(failed);
            }
        }
        Ok(())
    }

    /// Cancels all tasks, once: those that clean up are let do so. Their ends can still be waited for; new tasks are
    /// not taken.
    pub fn cancel(&self) {
        if self.over.replace(true) {
            return;
        }
        for child in self.children.borrow().iter() {
            child.cancel();
        }
    }

    /// Waits for the ends of all, whatever they are, cancelled or not; not where the task can't wait at all.
    async fn settle(&self) {
        let all = async {
            while let Some(ended) = poll_fn(|context| self.poll_next(context)).await {
                if ended.is_err_and(|failed| matches!(failed.cause, Cause::Refused(_))) {
                    break;
                }
            }
        };
        self.on.shield(all).await;
    }

    fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Result<T, Failed<E>>>> {
        let mut at = 0;
        loop {
            let children = self.children.borrow();
            let Some(child) = children.get(at) else {
                return if children.is_empty() { Poll::Ready(None) } else { Poll::Pending };
            };
            let Poll::Ready(end) = child.poll_end(context) else {
                at += 1;
                continue;
            };
            let failed = |cause| Failed { task: child.task(), label: Some(child.label()), cause };
            let result = match end {
                Ok(Ok(output)) => Some(Ok(output)),
                Ok(Err(error)) => Some(Err(failed(Cause::Error(error)))),
                Err(Why::Panicked) => Some(Err(failed(Cause::Panicked))),
                Err(Why::Refused(refused)) => return Poll::Ready(Some(Err(self.refused(refused)))),
                Err(Why::Busy | Why::Itself) => return Poll::Ready(Some(Err(self.refused(Refused::Busy)))),
                Err(Why::Cancelled | Why::Taken) => None,
            };
            drop(children);
            let ended = self.children.borrow_mut().remove(at);
            drop(ended);
            if result.is_some() {
                return Poll::Ready(result);
            }
        }
    }

    fn refused(&self, refused: Refused) -> Failed<E> {
        self.own(Cause::Refused(refused))
    }

    /// A failure of the group's own task.
    fn own(&self, cause: Cause<E>) -> Failed<E> {
        let nobody = TaskId::from_bits(u64::MAX);
        Failed { task: self.on.current().unwrap_or(nobody), label: None, cause }
    }

    /// Whether the body of a scope, which has just been polled, is to end: ready with why.
    fn poll_beside_body(&self, context: &Context<'_>) -> Poll<Failed<E>> {
        if self.over.get() {
            // How cancelled tasks end is no reason to interrupt the body.
            return Poll::Pending;
        }
        let was_told = self.on.door().was_told();
        match self.poll_failed(context) {
            Poll::Ready(Failed { cause: Cause::Refused(Refused::Cancelled), .. }) if was_told => {
                // The body knows that its task is cancelled, and cleans up: it is let do so.
                self.cancel();
                Poll::Pending
            }
            failed => failed,
        }
    }

    /// Whether a task has failed: ready with how.
    fn poll_failed(&self, context: &Context<'_>) -> Poll<Failed<E>> {
        loop {
            match self.poll_next(context) {
                Poll::Ready(Some(Err(failed))) => return Poll::Ready(failed),
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<T, E> Drop for Group<'_, T, E> {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Runs `body` with a group, and ends when the body and all tasks of the group have. When one of them fails the
/// others are cancelled, the body too: it is dropped where it waits. What the tasks return is dropped, unless the
/// body waits for it at that time ([`Group::next`]).
///
/// When the task itself is cancelled, so are the tasks of the group. The body is told by its own waits, and may clean
/// up; one that can't be told is dropped where it waits.
///
/// # Errors
///
/// How the first that failed did.
///
/// ```
/// # use core::time::Duration;
/// # use sinbin_core::group::{Failed, scope};
/// # use sinbin_core::task::{Error, Loop};
/// # async fn fetch(on: Loop<'_>, page: u32) -> Result<(), Error> { on.yield_now().await; Ok(()) }
/// # #[cfg(feature = "alloc")]
/// async fn crawl(on: Loop<'_>) -> Result<(), Failed<Error>> {
///     scope(on, async |group| {
///         for page in 1..=3 {
///             group.spawn(fetch(on, page))?;
///         }
///         Ok(())
///     })
///     .await
/// }
/// ```
pub async fn scope<'d, R, T: 'd, E: 'd>(
    on: Loop<'d>,
    body: impl AsyncFnOnce(&Group<'d, T, E>) -> Result<R, E>,
) -> Result<R, Failed<E>> {
    let group = Group::new(on);
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
    let failed = match ended {
        Ok(Ok(result)) => return group.join().await.map(|()| result),
        Ok(Err(error)) => group.own(Cause::Error(error)),
        Err(failed) => failed,
    };
    group.cancel();
    group.settle().await;
    Err(failed)
}
