//! Operations by which tasks give something back, as in destructors. Within a callback the host is borrowed, so that
//! they are done when the callback is over.

use crate::kernel::id::{JobId, SourceId, TaskId};

/// Something to be done that can't fail.
#[derive(Clone, Copy)]
pub(crate) enum Deferred {
    Close(SourceId),
    Wake(TaskId),
    CancelJob(JobId),
    /// A block of bytes.
    GiveBack(u32),
}

#[cfg(feature = "alloc")]
pub(crate) type DeferredQueue = alloc::vec::Vec<Deferred>;
/// Holds at most eight operations a callback: whatever later ones would give back stays taken until the loop ends.
#[cfg(not(feature = "alloc"))]
pub(crate) type DeferredQueue = heapless::Vec<Deferred, 8>;
