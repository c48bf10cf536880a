//! Tasks that are mostly of one type.

use core::pin::Pin;

use crate::exec::context::{Cx, Task};
use crate::exec::label::Label;
use crate::kernel::id::TaskId;
use crate::kernel::step::Step;
use crate::task::host::AsyncHost;
use crate::task::slot::Slot;
use crate::task::start::Async;

/// A task of a host that mostly runs one `async fn` (to serve connections, for example), and sometimes others. Tasks of
/// the former are polled without a vtable.
#[must_use = "it does nothing until it is spawned"]
pub enum ConnTask<'d, F: Future + 'd> {
    /// A task of the frequent type.
    Own(Async<'d, Slot<F>>),
    /// Any other task.
    Other(Async<'d>),
}

impl<'d, F: Future> From<Async<'d>> for ConnTask<'d, F> {
    fn from(task: Async<'d>) -> Self {
        Self::Other(task)
    }
}

impl<'d, F: Future, H: AsyncHost<'d>> Task<H> for ConnTask<'d, F> {
    #[inline]
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        match self.get_mut() {
            Self::Own(task) => Pin::new(task).resume(cx),
            Self::Other(task) => Pin::new(task).resume(cx),
        }
    }

    fn spawned(self: Pin<&mut Self>, id: TaskId) {
        match self.get_mut() {
            Self::Own(task) => Task::<H>::spawned(Pin::new(task), id),
            Self::Other(task) => Task::<H>::spawned(Pin::new(task), id),
        }
    }

    fn label(&self) -> Option<Label> {
        match self {
            Self::Own(task) => Task::<H>::label(task),
            Self::Other(task) => Task::<H>::label(task),
        }
    }

    fn wait_name(&self) -> Option<&'static str> {
        match self {
            Self::Own(task) => Task::<H>::wait_name(task),
            Self::Other(task) => Task::<H>::wait_name(task),
        }
    }

    fn panicked(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        match self.get_mut() {
            Self::Own(task) => Pin::new(task).panicked(cx),
            Self::Other(task) => Pin::new(task).panicked(cx),
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        match self.get_mut() {
            Self::Own(task) => Pin::new(task).end(cx),
            Self::Other(task) => Pin::new(task).end(cx),
        }
    }
}
