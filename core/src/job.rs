//! Compute: work that is done in slices, so that it runs in one go on a worker thread, between other tasks
//! where there are no threads, or in another instance, and can be cancelled between two slices.

pub(crate) mod call;
pub(crate) mod erased;
pub(crate) mod slicer;

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

/// A job that can be computed elsewhere, in another instance or on another machine: it travels as bytes, as it stands
/// after any number of slices, and so does its result.
pub trait WireJob: Job + Sized {
    /// Hands the bytes of the job to `put`, in as many pieces as it likes. Whether it can travel; one that can't has
    /// handed out nothing, and is computed where it is.
    fn encode(&self, put: &mut dyn FnMut(&[u8])) -> bool;

    /// The job of these bytes; `None` where they are none.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// Hands the bytes of a result to `put`.
    fn encode_output(output: &Self::Output, put: &mut dyn FnMut(&[u8]));

    /// The result of these bytes; `None` where they are none.
    fn decode_output(bytes: &[u8]) -> Option<Self::Output>;
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

impl WireJob for NoJob {
    fn encode(&self, _: &mut dyn FnMut(&[u8])) -> bool {
        match *self {}
    }

    fn decode(_: &[u8]) -> Option<Self> {
        None
    }

    fn encode_output(output: &Self::Output, _: &mut dyn FnMut(&[u8])) {
        match *output {}
    }

    fn decode_output(_: &[u8]) -> Option<Self::Output> {
        None
    }
}
