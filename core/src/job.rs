//! Compute: work that is done in slices, so that it runs in one go on a worker thread, between other tasks
//! where there are no threads, or in another instance, and can be cancelled between two slices.

/// How far a slice got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress<T> {
    /// There is more to do.
    More,
    /// The result.
    Done(T),
}

/// A resumable computation.
pub trait Job {
    /// What it comes to.
    type Output;

    /// Works for about `budget` units, a unit being the job's own measure of some nanoseconds, and at least
    /// so much that repeated calls come to an end.
    fn run(&mut self, budget: u32) -> Progress<Self::Output>;
}

/// The job of a service that has none.
#[derive(Clone, Copy, Debug)]
pub enum NoJob {}

impl Job for NoJob {
    type Output = core::convert::Infallible;

    fn run(&mut self, _: u32) -> Progress<Self::Output> {
        match *self {}
    }
}
