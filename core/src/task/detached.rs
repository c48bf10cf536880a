//! Tasks that nobody waits for.

use core::fmt::Display;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::exec::label::Label;
use crate::kernel::id::TaskId;
use crate::task::error::SpawnError;
use crate::task::handle::Handle;
use crate::task::report::name_of;

pin_project! {
    /// A task whose errors are reported, whatever their type.
    pub(crate) struct Detached<'d, F> {
        handle: Handle<'d>,
        at: &'static Location<'static>,
        #[pin]
        future: F,
    }
}

impl<T, E: Display, F: Future<Output = Result<T, E>>> Future for Detached<'_, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if let Err(error) = ready!(this.future.poll(context)) {
            let label = Label { name: name_of::<F>(), spawned: this.at };
            this.handle.run_context().report(&label, &error);
        }
        Poll::Ready(())
    }
}

impl<'d> Handle<'d> {
    /// [Spawns](Self::spawn) a task that nobody waits for. What it fails with is reported
    /// ([`Reports`](crate::task::Reports); natively, that is a warning), whatever its type: of tasks that are spawned
    /// otherwise and not joined, only errors of some types are.
    ///
    /// # Errors
    ///
    /// Gives the future back when the kernel has no place for another, or while no task of this loop runs.
    #[track_caller]
    pub fn detach<T, E, F>(self, future: F) -> Result<TaskId, SpawnError<F>>
    where
        E: Display,
        F: Future<Output = Result<T, E>> + 'd,
    {
        let task = self.spawn(Detached { handle: self, at: Location::caller(), future });
        task.map(|task| task.task()).map_err(|SpawnError(detached)| SpawnError(detached.future))
    }
}
