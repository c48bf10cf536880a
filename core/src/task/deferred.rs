//! Operations by which tasks release resources or wake each other, for example in destructors. A callback borrows the host, so operations
//! within it are performed when the callback returns.

#[cfg(feature = "alloc")]
use crate::exec::label::NamedWait;
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
    /// Notifies the host of what a task waits for, for reports.
    #[cfg(feature = "alloc")]
    NameWait(TaskId, Option<NamedWait>),
    /// Wakes all tasks, because the queue had no capacity for the wake of one.
    #[cfg(not(feature = "alloc"))]
    WakeAll,
}

/// Appends an operation.
#[cfg(feature = "alloc")]
pub(crate) fn defer(queue: &mut DeferredQueue, what: Deferred) {
    queue.push(what);
}

/// Appends an operation. No wake is lost if there is no capacity: the last operation then wakes all tasks, which may end
/// waits too early, as any wake may. The operation that it replaces, and others beyond the capacity, are not performed.
#[cfg(not(feature = "alloc"))]
pub(crate) fn defer(queue: &mut DeferredQueue, what: Deferred) {
    let is_wake = |what: &Deferred| matches!(what, Deferred::Wake(_) | Deferred::WakeAll);
    if queue.push(what).is_err() && is_wake(&what) {
        // A wake that is replaced is contained in the new one.
        let replaced = queue.iter().rposition(is_wake).unwrap_or(queue.len() - 1);
        queue[replaced] = Deferred::WakeAll;
    }
}

#[cfg(feature = "alloc")]
pub(crate) type DeferredQueue = alloc::vec::Vec<Deferred>;
/// Holds at most eight operations per callback. Resources that further operations would release stay occupied until the
/// loop ends.
#[cfg(not(feature = "alloc"))]
pub(crate) type DeferredQueue = heapless::Vec<Deferred, 8>;
