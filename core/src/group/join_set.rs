//! Tasks whose results are collected one by one. A failure of one task affects no other.

use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, ready};

use crate::exec::label::WaitKind;
use crate::group::members::{Members, Waits};
use crate::kernel::id::TaskId;
use crate::sync::permits::Permits;
#[cfg(feature = "alloc")]
use crate::task::error::SpawnError;
#[cfg(not(feature = "alloc"))]
use crate::task::error::group::MAX_CHILDREN;
use crate::task::error::{JoinError, TrySpawnError, WaitError};
use crate::task::handle::{Handle, begin};
use crate::task::join::JoinHandle;
use crate::task::start::Async;

/// The number of tasks that every set can hold.
#[cfg(not(feature = "alloc"))]
#[expect(clippy::cast_possible_truncation, reason = "the number is small")]
const MOST: u32 = MAX_CHILDREN as u32;

/// Tasks whose results are collected in the order in which the tasks ended, each with the task's id. A task that fails,
/// panics or is cancelled affects no other (tokio's `JoinSet`, curio's `TaskGroup`). When the set is dropped, its tasks
/// are ended immediately, as those of a [`Group`](crate::group::Group).
///
/// ```
/// # use sinbin_core::group::JoinSet;
/// # use sinbin_core::task::{Error, Handle};
/// # async fn fetch(handle: Handle<'_>, page: u32) -> Result<usize, Error> { handle.yield_now().await; Ok(page as usize) }
/// /// Returns the total size of the pages that could be fetched.
/// # #[cfg(feature = "alloc")]
/// async fn total(handle: Handle<'_>) -> Result<usize, Error> {
///     let pages = JoinSet::new(handle);
///     for page in 1..=3 {
///         pages.spawn(fetch(handle, page))?;
///     }
///     let mut total = 0;
///     while let Some((_task, result)) = pages.join_next().await? {
///         match result {
///             Ok(Ok(size)) => total += size,
///             Ok(Err(_error)) => { /* this page could not be fetched */ }
///             Err(_join_error) => { /* the task panicked, or was cancelled */ }
///         }
///     }
///     Ok(total)
/// }
/// ```
///
/// A set has a limit if it is created with one. Tasks count until their results are collected. [`spawn`](Self::spawn)
/// fails at the limit, and [`reserve`](Self::reserve) waits. A server reserves the place before it accepts the
/// connection, so that further connections wait in the listener's backlog. Concurrently, it collects the results:
///
/// ```
/// # use sinbin_core::group::JoinSet;
/// # use sinbin_core::task::{Conn, Error, Handle, Listener, race};
/// # async fn echo(conn: Conn<'_>) -> Result<(), Error> { drop(conn); Ok(()) }
/// /// Serves up to 1000 connections at a time. An error of a connection ends that connection.
/// # #[cfg(feature = "alloc")]
/// async fn serve<'d>(handle: Handle<'d>, listener: &Listener<'d>) -> Result<(), Error> {
///     let connections = JoinSet::with_limit(handle, 1000);
///     let accept = async {
///         loop {
///             let place = connections.reserve().await?;
///             let (conn, _peer) = listener.accept().await?;
///             place.spawn(echo(conn))?;
///         }
///     };
///     let collect = async {
///         loop {
///             let (_task, result) = connections.next_end().await?;
///             if let Ok(Err(_error)) = result { /* report it */ }
///         }
///     };
///     race(accept, collect).await
/// }
/// ```
pub struct JoinSet<'d, T> {
    members: Members<'d, T>,
    limit: u32,
    /// Permits for places that are neither taken nor reserved.
    places: Permits,
}

/// A place in a [`JoinSet`], for one task. Dropping this value releases the place.
#[must_use = "a place that is not kept is given back at once"]
pub struct Place<'a, 'd, T>(&'a JoinSet<'d, T>);

impl<'d, T> JoinSet<'d, T> {
    /// Creates a set without tasks and without a limit of its own. (Without a heap, a set has at most
    /// [`MAX_CHILDREN`](crate::group::MAX_CHILDREN) tasks.)
    #[must_use]
    pub const fn new(handle: Handle<'d>) -> Self {
        Self::with_limit(handle, u32::MAX)
    }

    /// Creates a set of up to `limit` tasks.
    #[must_use]
    pub const fn with_limit(handle: Handle<'d>, limit: u32) -> Self {
        #[cfg(not(feature = "alloc"))]
        let limit = if limit > MOST { MOST } else { limit };
        Self { members: Members::new(handle), limit, places: Permits::named(limit, "") }
    }

    /// Returns the loop that the tasks run on.
    #[must_use]
    pub const fn handle(&self) -> Handle<'d> {
        self.members.handle
    }

    /// Returns the maximum number of tasks.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Returns the number of tasks in the set, including those that have ended and whose results were not collected.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns true if the set has no tasks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Spawns a task of the set on the heap. O(1), as is its end.
    ///
    /// # Errors
    ///
    /// Fails if the set is at its limit or tasks wait for a place, or if the kernel has no slot for another task. The
    /// future is dropped; [`try_spawn`](Self::try_spawn) returns it.
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn spawn<F: Future<Output = T> + 'd>(&self, future: F) -> Result<TaskId, SpawnError> {
        self.try_spawn(future).map_err(SpawnError::from)
    }

    /// Spawns a task as [`spawn`](Self::spawn) does, and returns the future if that fails.
    ///
    /// # Errors
    ///
    /// Returns the future if [`spawn`](Self::spawn) fails.
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn try_spawn<F: Future<Output = T> + 'd>(&self, future: F) -> Result<TaskId, TrySpawnError<F>> {
        match self.try_reserve() {
            Some(place) => place.try_spawn(future),
            None => Err(TrySpawnError(future)),
        }
    }

    /// Spawns a task that was put into a [`Pool`](crate::task::Pool).
    ///
    /// # Errors
    ///
    /// Returns the task if the set is at its limit or tasks wait for a place, or if the kernel has no slot for another
    /// task.
    pub fn start(
        &self,
        put: (Async<'d>, JoinHandle<'d, T>),
    ) -> Result<TaskId, (Async<'d>, JoinHandle<'d, T>)> {
        match self.try_reserve() {
            Some(place) => place.start(put),
            None => Err(put),
        }
    }

    /// Waits for a place, behind all tasks that wait for one already, and reserves it.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub async fn reserve(&self) -> Result<Place<'_, 'd, T>, WaitError> {
        begin(self.handle()).await?;
        self.places.take(self.handle(), WaitKind::Permits, 1).await?;
        Ok(Place(self))
    }

    /// Reserves a place, if one is free and no task waits for it.
    #[must_use]
    pub fn try_reserve(&self) -> Option<Place<'_, 'd, T>> {
        self.places.try_take(1).then(|| Place(self))
    }

    /// Waits for the next task to end, and returns its id and its result, in the order of the ends. Returns `None` if
    /// the set has no tasks. O(1), except for the first wait of a task, which is O(n) in the number of tasks.
    ///
    /// The result is a [`JoinError`] if the task panicked or was cancelled. If the future is dropped before its end, no
    /// result is lost.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the running task must not wait, and [`WaitError::Busy`] if another task waits for the
    /// set, or if the running task is a task of the set itself.
    pub async fn join_next(&self) -> Result<Option<(TaskId, Result<T, JoinError>)>, WaitError> {
        let waits = Waits::new(&self.members);
        poll_fn(|context| {
            if let Some(ended) = self.try_join_next() {
                return Poll::Ready(Ok(Some(ended)));
            }
            if self.is_empty() {
                return Poll::Ready(Ok(None));
            }
            Poll::Ready(Err(ready!(self.members.poll_wait(context, &waits))))
        })
        .await
    }

    /// Waits for the next task to end as [`join_next`](Self::join_next) does, but also while the set has no tasks: for
    /// a task, or a part of a task, that collects the results while another one spawns.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`], as [`join_next`](Self::join_next) does.
    pub async fn next_end(&self) -> Result<(TaskId, Result<T, JoinError>), WaitError> {
        let waits = Waits::new(&self.members);
        poll_fn(|context| match self.try_join_next() {
            Some(ended) => Poll::Ready(Ok(ended)),
            None => Poll::Ready(Err(ready!(self.members.poll_wait(context, &waits)))),
        })
        .await
    }

    /// Returns the id and the result of the task that ended first, if one has ended and was not collected.
    pub fn try_join_next(&self) -> Option<(TaskId, Result<T, JoinError>)> {
        let member = self.members.take_ended()?;
        let task = member.task();
        let result = member.end().map_err(|why| JoinError { task, label: member.label(), why });
        drop(member);
        self.places.put(self.handle(), 1);
        Some((task, result))
    }

    /// Cancels all tasks that have not ended. The tasks may clean up, and their results can still be collected. O(n).
    pub fn cancel_all(&self) {
        self.members.cancel_all();
    }

    /// Cancels all tasks, waits until they have ended, and drops their results. The running task waits even if it is
    /// cancelled itself.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] as [`join_next`](Self::join_next) does. Tasks that remain end with the set.
    pub async fn shutdown(&self) -> Result<(), WaitError> {
        self.cancel_all();
        let all = async {
            while let Some(ended) = self.join_next().await? {
                drop(ended);
            }
            Ok(())
        };
        self.handle().shield(all).await
    }
}

impl<T> fmt::Debug for JoinSet<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet")
            .field("len", &self.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<'d, T> Place<'_, 'd, T> {
    /// Spawns a task on the heap in this place.
    ///
    /// # Errors
    ///
    /// Fails if the kernel has no slot for another task. The future is dropped, and the place is free again.
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn spawn<F: Future<Output = T> + 'd>(self, future: F) -> Result<TaskId, SpawnError> {
        self.try_spawn(future).map_err(SpawnError::from)
    }

    /// Spawns a task as [`spawn`](Self::spawn) does, and returns the future if that fails.
    ///
    /// # Errors
    ///
    /// Returns the future if [`spawn`](Self::spawn) fails.
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn try_spawn<F: Future<Output = T> + 'd>(self, future: F) -> Result<TaskId, TrySpawnError<F>> {
        let task = self.0.handle().try_spawn(future)?;
        Ok(self.fill(task))
    }

    /// Spawns a task that was put into a [`Pool`](crate::task::Pool) in this place.
    ///
    /// # Errors
    ///
    /// Returns the task if the kernel has no slot for another task. The place is free again.
    pub fn start(
        self,
        (task, join_handle): (Async<'d>, JoinHandle<'d, T>),
    ) -> Result<TaskId, (Async<'d>, JoinHandle<'d, T>)> {
        match self.0.handle().start(task) {
            Ok(_) => Ok(self.fill(join_handle)),
            Err(TrySpawnError(task)) => Err((task, join_handle)),
        }
    }

    fn fill(self, task: JoinHandle<'d, T>) -> TaskId {
        let id = self.0.members.add(task);
        // The place is free when the result has been collected.
        core::mem::forget(self);
        id
    }
}

impl<T> Drop for Place<'_, '_, T> {
    fn drop(&mut self) {
        self.0.places.put(self.0.handle(), 1);
    }
}

impl<T> fmt::Debug for Place<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}
