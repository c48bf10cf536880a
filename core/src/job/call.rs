//! Jobs, and closures that are converted to jobs.

use core::marker::PhantomData;

use crate::job::{Job, Progress};

/// A computation that can run off the loop: a [`Job`], or a closure, which becomes a job of one slice. `Kind`
/// distinguishes the two and is inferred.
pub trait IntoJob<Kind> {
    /// The type of the job.
    type Job: Job<Output: Send + 'static> + Send + 'static;

    /// Converts the value to a job.
    fn into_job(self) -> Self::Job;
}

/// The kind of a [`Job`].
#[derive(Debug)]
pub enum Resumable {}

/// The kind of a closure whose result is a `T`.
#[derive(Debug)]
pub struct Closure<T>(PhantomData<T>);

impl<J: Job<Output: Send + 'static> + Send + 'static> IntoJob<Resumable> for J {
    type Job = J;

    fn into_job(self) -> J {
        self
    }
}

impl<T: Send + 'static, F: FnOnce() -> T + Send + 'static> IntoJob<Closure<T>> for F {
    type Job = Call<F>;

    fn into_job(self) -> Call<F> {
        Call::new(self)
    }
}

/// The job that calls a closure.
#[derive(Debug)]
pub struct Call<F>(Option<F>);

impl<F> Call<F> {
    pub(crate) const fn new(call: F) -> Self {
        Self(Some(call))
    }
}

impl<T, F: FnOnce() -> T> Job for Call<F> {
    type Output = T;

    fn run(&mut self, _: u32) -> Progress<T> {
        match self.0.take() {
            Some(call) => Progress::Done(call()),
            None => Progress::More,
        }
    }
}
