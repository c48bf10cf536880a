//! Tasks whose state is a future, and how they begin.

#[cfg(feature = "alloc")]
use core::panic::Location;

use crate::kernel::id::TaskId;
use crate::task::error::SpawnError;
use crate::task::handle::Handle;
#[cfg(feature = "alloc")]
use crate::task::join::JoinHandle;
use crate::task::slot::{Body, Slot};
use crate::task::task_ref::Owned;
#[cfg(feature = "alloc")]
use crate::task::task_ref::TaskRef;

/// A task whose state is a future: what an `async fn` returns.
///
/// The future lies in a [`Pool`](crate::task::Pool), or on the heap. Which it is this type does not say, unless it is
/// to: an `Async<'d, Slot<F>>` is polled without a look into a table of functions, and becomes an `Async<'d>`
/// [when it is erased](Self::erase). It is a task when an [`Executor`](crate::Executor) or [`Handle::start`] takes it in.
#[must_use = "it does nothing until it is spawned"]
pub struct Async<'d, B: Body + ?Sized + 'd = dyn Body + 'd> {
    pub(crate) handle: Handle<'d>,
    pub(crate) body: Owned<'d, B>,
}

impl<'d, F: Future + 'd> Async<'d, Slot<F>> {
    /// The task, with its future's type forgotten.
    pub fn erase(self) -> Async<'d> {
        Async { handle: self.handle, body: self.body.erase() }
    }
}

#[cfg(feature = "alloc")]
impl<'d> Async<'d> {
    /// A task on the heap, for an executor to take in. From within a task, [`Handle::spawn`] does it all.
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
    /// Spawns what a [`Pool`](crate::task::Pool) has taken in. It runs in the next turn.
    ///
    /// # Errors
    ///
    /// Gives the task back when the kernel has no place for another, or while no task of this loop runs.
    #[inline]
    pub fn start(self, task: Async<'d>) -> Result<TaskId, SpawnError<Async<'d>>> {
        let Async { handle, body } = task;
        let mut body = Some(body);
        let started = self.run_context().with(|ops| ops.spawn(handle.run_context(), &mut body));
        match (started, body) {
            (Ok(id), None) => Ok(id),
            (_, Some(body)) => Err(SpawnError(Async::of(handle, body))),
            (Err(_), None) => unreachable!("a closed run context accepts no task"),
        }
    }

    /// Spawns a task on the heap, and returns the handle to join or cancel it by; dropping that leaves the task
    /// alone. It runs in the next turn.
    ///
    /// A spawned task can outlive the task that spawns it, so it borrows nothing from there: what tasks share is in an
    /// [`Rc`](alloc::rc::Rc), and an `async move` block takes it along.
    ///
    /// # Errors
    ///
    /// Gives the future back when the kernel has no place for another, or while no task of this loop runs.
    #[cfg(feature = "alloc")]
    #[track_caller]
    pub fn spawn<F: Future + 'd>(self, future: F) -> Result<JoinHandle<'d, F::Output>, SpawnError<F>> {
        if !self.run_context().with(|ops| ops.has_room()).unwrap_or(false) {
            return Err(SpawnError(future));
        }
        let (task, join_handle) = Async::new(self, future);
        let started = self.start(task);
        debug_assert!(started.is_ok(), "there was room");
        Ok(join_handle)
    }
}
