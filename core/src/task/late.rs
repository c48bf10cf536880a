//! Operations by which tasks give something back, as in destructors. Within a callback the host is borrowed, so that
//! they are done when the callback is over.

use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::task::door::{Door, Ops};

/// Something to be done that can't fail.
#[derive(Clone, Copy)]
pub(crate) enum Late {
    Close(SourceId),
    Wake(TaskId),
    Dismiss(JobId),
    /// A block of bytes.
    GiveBack(u32),
}

#[cfg(feature = "alloc")]
pub(crate) type Lates = alloc::vec::Vec<Late>;
/// Holds at most eight operations a callback: whatever later ones would give back stays taken until the loop ends.
#[cfg(not(feature = "alloc"))]
pub(crate) type Lates = heapless::Vec<Late, 8>;

impl Late {
    pub(crate) fn act<'d>(self, ops: &mut dyn Ops<'d>) -> bool {
        match self {
            Self::Close(source) => {
                ops.close(source);
                true
            }
            Self::Wake(task) => ops.wake(task),
            Self::Dismiss(job) => {
                ops.dismiss(job);
                true
            }
            Self::GiveBack(block) => {
                ops.give_back(block);
                true
            }
        }
    }
}

/// Does what was left by a callback, when that is over.
pub(crate) struct Catches<'a, 'd>(pub(crate) &'a Door<'d>);

impl Drop for Catches<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        self.0.catch_up();
    }
}
