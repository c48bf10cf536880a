//! Tasks whose state is a future, and how they are started.

#[cfg(feature = "alloc")]
use core::panic::Location;

use crate::kernel::id::TaskId;
#[cfg(feature = "alloc")]
use crate::task::error::SpawnError;
use crate::task::error::TrySpawnError;
use crate::task::handle::Handle;
#[cfg(feature = "alloc")]
use crate::task::join::JoinHandle;
use crate::task::slot::{Body, Slot};
use crate::task::task_ref::Owned;
#[cfg(feature = "alloc")]
use crate::task::task_ref::TaskRef;

/// A task whose state is the future that an `async fn` returns.
///
/// The future is stored in a [`Pool`](crate::task::Pool) or on the heap. The type `Async<'d>` does not say which, and
/// uses a vtable. An `Async<'d, Slot<F>>` is polled without a vtable, and becomes an `Async<'d>` by
/// [`erase`](Self::erase). The task runs after it was spawned on an [`Executor`](crate::Executor) or by
/// [`Handle::start`].
#[must_use = "it does nothing until it is spawned"]
pub struct Async<'d, B: Body + ?Sized + 'd = dyn Body + 'd> {
    pub(crate) handle: Handle<'d>,
    pub(crate) body: Owned<'d, B>,
}

impl<'d, F: Future + 'd> Async<'d, Slot<F>> {
    /// Erases the future's type.
    pub fn erase(self) -> Async<'d> {
        Async { handle: self.handle, body: self.body.erase() }
    }
}

#[cfg(feature = "alloc")]
impl<'d> Async<'d> {
    /// Creates a task on the heap, to be spawned on an executor. Within a task, use [`Handle::spawn`] instead.
    #[track_caller]
    pub fn new<F: Future + 'd>(handle: Handle<'d>, future: F) -> (Self, JoinHandle<'d, F::Output>) {
        let (task, join_handle) =
            TaskRef::heap(Slot::of(future, Location::caller(), &handle.run_context().source));
        (Async::of(handle, Owned::new(task)).erase(), JoinHandle::of(handle, join_handle))
    }
}

impl<'d, B: Body + ?Sized + 'd> Async<'d, B> {
    #[inline]
    pub(crate) const fn of(handle: Handle<'d>, body: Owned<'d, B>) -> Self {
        Self { handle, body }
    }

    #[inline]
    pub(crate) fn is(&self, id: TaskId) {
        self.body.head().caller.is(id);
    }
}

impl<'d> Handle<'d> {
    /// Spawns a task that was put into a [`Pool`](crate::task::Pool). It runs in the next turn.
    ///
    /// # Errors
    ///
    /// Returns the task if the kernel has no slot for another, or if no task of this loop runs.
    #[inline]
    pub fn start(self, task: Async<'d>) -> Result<TaskId, TrySpawnError<Async<'d>>> {
        let Async { handle, body } = task;
        let mut body = Some(body);
        let started = self.run_context().with(|ops| ops.spawn(handle.run_context(), &mut body));
        match (started, body) {
            (Ok(id), None) => Ok(id),
            (_, Some(body)) => Err(TrySpawnError(Async::of(handle, body))),
            (Err(_), None) => unreachable!("a closed run context accepts no task"),
        }
    }

    /// Spawns a task on the heap, and returns a handle to join or cancel it. Dropping the handle does not affect the
    /// task. The task runs in the next turn.
    ///
    /// A spawned task can outlive the task that spawns it, so it can't borrow from that task. Put data that tasks share
    /// into an [`Rc`](alloc::rc::Rc), and move it into an `async move` block.
    ///
    /// # Errors
    ///
    /// Fails if the kernel has no slot for another task, or if no task of this loop runs. The future is dropped;
    /// [`try_spawn`](Self::try_spawn) returns it.
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn spawn<F: Future + 'd>(self, future: F) -> Result<JoinHandle<'d, F::Output>, SpawnError> {
        self.try_spawn(future).map_err(SpawnError::from)
    }

    /// Spawns a task as [`spawn`](Self::spawn) does, and returns the future if that fails.
    ///
    /// # Errors
    ///
    /// Returns the future if the kernel has no slot for another task, or if no task of this loop runs.
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn try_spawn<F: Future + 'd>(self, future: F) -> Result<JoinHandle<'d, F::Output>, TrySpawnError<F>> {
        if !self.run_context().with(|ops| ops.has_room()).unwrap_or(false) {
            return Err(TrySpawnError(future));
        }
        let (task, join_handle) = Async::new(self, future);
        let started = self.start(task);
        debug_assert!(started.is_ok(), "the capacity was checked");
        Ok(join_handle)
    }
}
