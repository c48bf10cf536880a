//! Operations by which tasks release resources, for example in destructors. A callback borrows the host, so operations
//! within it are performed when the callback returns.

use crate::kernel::id::{JobId, SourceId, TaskId};

/// An operation that can't fail.
#[derive(Clone, Copy)]
pub(crate) enum Deferred {
    Close(SourceId),
    /// Ends the sending direction. Whether that fails is not reported: the connection is broken or closed then.
    #[cfg(feature = "alloc")]
    Shutdown(SourceId),
    Wake(TaskId),
    CancelJob(JobId),
    /// Releases a block of bytes.
    GiveBack(u32),
}

#[cfg(feature = "alloc")]
pub(crate) type DeferredQueue = alloc::vec::Vec<Deferred>;
/// Holds at most eight operations per callback. Resources that later operations would release stay occupied until the
/// loop ends.
#[cfg(not(feature = "alloc"))]
pub(crate) type DeferredQueue = heapless::Vec<Deferred, 8>;
