//! Jobs: computations that run in slices. A job can run in one go on a worker thread, between the turns of other tasks
//! if there are no threads, or in another instance, and it can be cancelled between two slices.

pub(crate) mod call;
pub(crate) mod erased;
pub(crate) mod slicer;
#[cfg(feature = "alloc")]
pub(crate) mod task_job;

pub use slicer::Slicer;

/// The result of a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress<T> {
    /// The job is not finished.
    More,
    /// The job is finished, with this result.
    Done(T),
}

/// A resumable computation.
pub trait Job {
    /// The result of the computation.
    type Output;

    /// Works for about `budget` units. A unit is some nanoseconds, as the job measures them. Each call makes progress,
    /// so that repeated calls finish the job.
    fn run(&mut self, budget: u32) -> Progress<Self::Output>;
}

/// A job that another instance or another machine can compute. The job is sent as bytes, after any number of slices,
/// and its result is returned as bytes.
pub trait WireJob: Job + Sized {
    /// Passes the bytes of the job to `put`, in any number of pieces. Returns true if the job can be sent. A job that
    /// cannot be sent passes no bytes, and is computed where it is.
    fn encode(&self, put: &mut dyn FnMut(&[u8])) -> bool;

    /// Returns the job that `bytes` encode, or `None` if they encode none.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// Passes the bytes of a result to `put`.
    fn encode_output(output: &Self::Output, put: &mut dyn FnMut(&[u8]));

    /// Returns the result that `bytes` encode, or `None` if they encode none.
    fn decode_output(bytes: &[u8]) -> Option<Self::Output>;
}

/// The job type of a service without jobs.
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
