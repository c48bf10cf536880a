//! Marks around the changes of a kernel's tables, for readers in other processes.

/// Marks around each change of a kernel's tables.
///
/// A host that lets another process read the tables where they are ([`observe`](crate::observe)) counts the marks in
/// memory that the reader sees. A copy that was made between two equal, even counts is not torn. Each method runs up to
/// twice for a step, so it should take a few instructions.
pub trait Beacon {
    /// Marks that a change begins. The marks are not nested.
    fn begin(&self);

    /// Marks that a change has ended. `head` is the index of the oldest task in the run queue, or [`u32::MAX`] if no
    /// task ever was in it.
    fn end(&self, head: u32);

    /// Notes that the task at index `head` is the oldest in the run queue now, while no task has changed.
    fn rotated(&self, head: u32);
}

/// The beacon of a kernel whose tables no other process reads.
impl Beacon for () {
    #[inline]
    fn begin(&self) {}

    #[inline]
    fn end(&self, _: u32) {}

    #[inline]
    fn rotated(&self, _: u32) {}
}
