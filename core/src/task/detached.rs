//! Tasks that are not joined.

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
    /// The future of a detached task, whose errors are reported whatever their type.
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
    /// [Spawns](Self::spawn) a task that is not joined. Its error is reported ([`Reports`](crate::task::Reports);
    /// natively as a warning), whatever the type of the error. For tasks that are spawned by other means and not
    /// joined, only errors of some types are reported.
    ///
    /// # Errors
    ///
    /// Fails if the kernel has no slot for another task, or if no task of this loop runs.
    #[track_caller]
    pub fn detach<T, E, F>(self, future: F) -> Result<TaskId, SpawnError>
    where
        E: Display,
        F: Future<Output = Result<T, E>> + 'd,
    {
        let task = self.spawn(Detached { handle: self, at: Location::caller(), future });
        task.map(|task| task.task())
    }
}
