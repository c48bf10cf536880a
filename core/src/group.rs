//! Groups of tasks that end together (a nursery in trio, a task group in curio).
//!
//! A group ends when all of its tasks have ended. The first task that fails cancels the others; its error is the error
//! of the group, and contains the errors of the others. No task outlives the scope that it was spawned in, and no error
//! is lost:
//!
//! * A scope that reaches its end, whether normally, by a failure, or because its task is cancelled, cancels the
//!   remaining tasks and waits for them. The tasks are notified, and may clean up.
//! * A scope or group that is dropped before its end ends its tasks immediately: their futures are dropped in place,
//!   and the futures of nested tasks in turn, before the drop returns. This happens by a timeout or a
//!   [`select`](crate::task::select) around it, by a panic, or when its task is dropped. The tasks are not notified,
//!   because a drop can't wait for their cleanup.
//!
//! A time limit that lets the tasks clean up therefore belongs inside the scope:
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
//!         // After the limit, the body fails: the tasks are cancelled, and the scope waits for them.
//!         handle.timeout(Duration::from_secs(5), pages.ended()).await??;
//!         Ok(())
//!     })
//!     .await
//! }
//! ```
//!
//! A [`scope`] is a group that can't be left behind. Use a [`Group`] directly to get the results one after another:
//!
//! ```
//! # use sinbin_core::group::{Failed, Group};
//! # use sinbin_core::task::{Error, Handle};
//! # async fn fetch(handle: Handle<'_>, page: u32) -> Result<usize, Error> { handle.yield_now().await; Ok(page as usize) }
//! /// Returns the total size of all pages, or the first error; in that case the other tasks are ended.
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
//! | for | use |
//! | --- | --- |
//! | tasks that must not outlive a block, and fail together | [`scope`] |
//! | such tasks, whose results are needed one by one | [`Group`] |
//! | tasks whose failures affect no other, with a limit: the connections of a server | [`JoinSet`] |
//!
//! A [failure](Failed) contains the id of the task, its name, and where it was spawned. Cancelled tasks are notified
//! once, and may clean up; [`Group::join`] and [`scope`] wait for that. Without a heap (feature `alloc`), a
//! [`Pool`](crate::task::Pool) contains the slots for the tasks, [`Group::start`] spawns tasks that were put there, and
//! a group has at most [`MAX_CHILDREN`] tasks at a time.

mod join_set;
mod members;

use core::cell::Cell;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll, ready};

use self::members::{Member, Members, Waits};
pub use crate::group::join_set::{JoinSet, Place};
use crate::kernel::id::TaskId;
#[cfg(feature = "alloc")]
use crate::task::error::SpawnError;
pub use crate::task::error::group::{Cause, Failed, MAX_CHILDREN, Other, Others};
use crate::task::error::{JoinErrorKind, TrySpawnError, WaitError};
use crate::task::handle::{Handle, begin};
use crate::task::join::JoinHandle;
use crate::task::start::Async;

/// Tasks that end together. See [the module](self). Prefer [`scope`], which can't leave tasks behind.
pub struct Group<'d, T, E> {
    members: Members<'d, Result<T, E>>,
    /// True if a task has failed, or the group was cancelled: all tasks are cancelled.
    over: Cell<bool>,
}

/// Returns the way in which the task ended.
fn ended<T, E>(member: &Member<'_, Result<T, E>>) -> Ended<T, E> {
    let failed = |cause| {
        Ended::Failed(Other {
            task: member.task(),
            label: member.label(),
            cause,
            was_told: member.was_told(),
        })
    };
    match member.end() {
        Ok(Ok(output)) => Ended::Well(output),
        Ok(Err(error)) => failed(Cause::Error(error)),
        Err(JoinErrorKind::Panicked) => failed(Cause::Panicked),
        Err(_) => Ended::Cancelled,
    }
}

/// The way in which a task of a group ended.
enum Ended<T, E> {
    Well(T),
    Cancelled,
    Failed(Other<E>),
}

impl<'d, T, E> Group<'d, T, E> {
    /// Creates a group without tasks.
    #[must_use]
    pub const fn new(handle: Handle<'d>) -> Self {
        Self { members: Members::new(handle), over: Cell::new(false) }
    }

    /// Returns the loop that the tasks run on.
    #[must_use]
    pub const fn handle(&self) -> Handle<'d> {
        self.members.handle
    }

    /// Returns the number of tasks in the group, including those that have ended and whose results were not taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns true if the group has no tasks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Spawns a task of the group on the heap. O(1), as is its end.
    ///
    /// # Errors
    ///
    /// Fails if the kernel has no slot for another task, or if the group is cancelled. The future is dropped.
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn spawn<F: Future<Output = Result<T, E>> + 'd>(&self, future: F) -> Result<TaskId, SpawnError> {
        if self.over.get() {
            return Err(SpawnError);
        }
        let task = self.handle().spawn(future)?;
        Ok(self.members.add(task))
    }

    /// Spawns a task that was put into a [`Pool`](crate::task::Pool).
    ///
    /// # Errors
    ///
    /// Returns the task if the kernel or the group has no slot for another, or if the group is cancelled.
    pub fn start(
        &self,
        (task, child): (Async<'d>, JoinHandle<'d, Result<T, E>>),
    ) -> Result<TaskId, (Async<'d>, JoinHandle<'d, Result<T, E>>)> {
        if self.over.get() || self.members.is_full() {
            return Err((task, child));
        }
        match self.handle().start(task) {
            Ok(id) => {
                self.members.add(child);
                Ok(id)
            }
            Err(TrySpawnError(task)) => Err((task, child)),
        }
    }

    /// Waits for the next task to end, and returns its result. Results come in the order in which the tasks ended. Returns
    /// `None` if the group has no tasks. Cancelled tasks are skipped. O(1), except for the first wait of a task,
    /// which is O(n) in the number of tasks.
    ///
    /// # Errors
    ///
    /// Fails with the failure of the task; the others are cancelled in that case. Fails with [`WaitError::Busy`] if
    /// another task already waits for the group, or if the caller is a task of the group itself.
    pub async fn next(&self) -> Option<Result<T, Failed<E>>> {
        let waits = Waits::new(&self.members);
        let next = poll_fn(|context| self.poll_next(context, &waits)).await?;
        Some(next.map_err(|stopped| {
            self.cancel();
            self.failed(stopped)
        }))
    }

    /// Waits until all tasks have ended.
    ///
    /// # Errors
    ///
    /// Fails with the first failure, after all other tasks, which are cancelled in that case, have ended as well. The
    /// failure [contains theirs](Failed::others).
    pub async fn join(&self) -> Result<(), Failed<E>> {
        while let Some(ended) = self.next().await {
            if let Err(mut failed) = ended {
                failed.others = self.settle().await;
                return Err(failed);
            }
        }
        Ok(())
    }

    /// Waits until all tasks have ended, without taking their results: these remain available to [`next`](Self::next),
    /// [`join`](Self::join), or the scope. O(1) for each end that it waits for, except for the first wait of a task, which
    /// is O(n) in the number of tasks.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait; [`WaitError::Busy`] also if another task waits for the group.
    pub async fn ended(&self) -> Result<(), WaitError> {
        begin(self.handle()).await?;
        let waits = Waits::new(&self.members);
        poll_fn(|context| self.members.poll_all_ended(context, &waits)).await
    }

    /// Cancels all tasks, once. The tasks may clean up, and their ends can still be waited for. New tasks are rejected.
    pub fn cancel(&self) {
        if self.over.replace(true) {
            return;
        }
        self.members.cancel_all();
    }

    /// Waits for the ends of all tasks, cancelled or not, and returns their failures. Returns at once if the running
    /// task can't wait at all.
    async fn settle(&self) -> Others<E> {
        let mut others = Others::new();
        let all = async {
            let waits = Waits::new(&self.members);
            while let Some(ended) = poll_fn(|context| self.poll_next(context, &waits)).await {
                match ended {
                    Ok(_) => {}
                    // `others` has the capacity: a cancelled group accepts no more tasks.
                    Err(Stopped::Failed(other)) => others.extend([other]),
                    Err(Stopped::Wait(_)) => break,
                }
            }
        };
        self.handle().shield(all).await;
        others
    }

    /// Removes the first task that has ended, and returns its result. Cancelled tasks are removed and skipped.
    fn take_ended(&self) -> Option<Result<T, Other<E>>> {
        loop {
            match ended(&self.members.take_ended()?) {
                Ended::Well(output) => return Some(Ok(output)),
                Ended::Failed(other) => return Some(Err(other)),
                Ended::Cancelled => {}
            }
        }
    }

    fn poll_next(
        &self,
        context: &Context<'_>,
        waits: &Waits<'_, 'd, Result<T, E>>,
    ) -> Poll<Option<Result<T, Stopped<E>>>> {
        if let Some(ended) = self.take_ended() {
            return Poll::Ready(Some(ended.map_err(Stopped::Failed)));
        }
        if self.is_empty() {
            return Poll::Ready(None);
        }
        let refused = ready!(self.members.poll_wait(context, waits));
        Poll::Ready(Some(Err(Stopped::Wait(refused))))
    }

    fn failed(&self, stopped: Stopped<E>) -> Failed<E> {
        match stopped {
            Stopped::Failed(other) => other.into(),
            Stopped::Wait(refused) => self.own(Cause::Wait(refused)),
        }
    }

    /// Creates a failure of the group's own task.
    fn own(&self, cause: Cause<E>) -> Failed<E> {
        let nobody = TaskId::from_bits(u64::MAX);
        let task = self.handle().current().unwrap_or(nobody);
        Failed { task, label: None, cause, others: Others::new() }
    }

    /// Checks the group after the body of a scope was polled. Returns ready with a failure if the body is to be
    /// dropped.
    fn poll_beside_body(
        &self,
        context: &Context<'_>,
        waits: &Waits<'_, 'd, Result<T, E>>,
    ) -> Poll<Failed<E>> {
        if self.over.get() {
            // The ends of cancelled tasks are no reason to interrupt the body.
            return Poll::Pending;
        }
        let run_context = self.handle().run_context();
        // The body has been notified of its task's cancellation, or will be at its next operation. It continues, so
        // that it can clean up.
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
        match self.poll_next(context, waits) {
            Poll::Ready(Some(Err(stopped))) => Poll::Ready(self.failed(stopped)),
            _ => Poll::Pending,
        }
    }
}

/// The reason why a group's task stops waiting for results.
enum Stopped<E> {
    /// A task has failed.
    Failed(Other<E>),
    /// The join was refused.
    Wait(WaitError),
}

/// Runs `body` with a group, and ends when the body and all tasks of the group have ended. If a task fails, the other
/// tasks are cancelled, and the body is dropped where it waits. Results of tasks are dropped, unless the body waits for
/// them at that time ([`Group::next`]).
///
/// If the task that runs the scope is cancelled, the tasks of the group are cancelled too. The body is notified by its
/// own waits, and may clean up; a body that waits for something that can't fail is dropped where it waits. A scope that
/// is dropped before its end, by a timeout around it for example, ends its tasks immediately: see [the module](self).
///
/// # Errors
///
/// Fails with the first failure, which contains the [others](Failed::others).
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
        let waits = Waits::new(&group.members);
        poll_fn(|context| {
            if let Poll::Ready(ended) = body.as_mut().poll(context) {
                return Poll::Ready(Ok(ended));
            }
            group.poll_beside_body(context, &waits).map(Err)
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
