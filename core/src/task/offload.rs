//! Compute off the loop, from an `async fn`.

use core::any::Any;
use core::fmt;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use crate::job::{Job, Progress};
use crate::kernel::id::JobId;
use crate::kernel::step::What;
use crate::task::Loop;
use crate::task::conn::Waiting;
use crate::task::error::{Refused, Unspawned};
use crate::task::late::Late;

/// Why a job has no result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Lost {
    /// It was not begun: see [`Refused`]; [`Refused::Full`] also where the host does not compute such jobs.
    Refused(Refused),
    /// It panicked.
    Failed,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => write!(f, "the job was not begun: {refused}"),
            Self::Failed => f.write_str("the job failed"),
        }
    }
}

impl core::error::Error for Lost {}

impl<F> From<Unspawned<F>> for Lost {
    fn from(_: Unspawned<F>) -> Self {
        Self::Refused(Refused::Full)
    }
}

impl From<Refused> for Lost {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// What can be computed off the loop: a [`Job`], or a closure, which is a job of one slice. `Kind` tells the two
/// apart, and is inferred.
pub trait IntoJob<Kind> {
    /// The job.
    type Job: Job<Output: Send + 'static> + Send + 'static;

    /// The job.
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
        Call(Some(self))
    }
}

/// The job that calls a closure.
#[derive(Debug)]
pub struct Call<F>(Option<F>);

impl<T, F: FnOnce() -> T> Job for Call<F> {
    type Output = T;

    fn run(&mut self, _: u32) -> Progress<T> {
        match self.0.take() {
            Some(call) => Progress::Done(call()),
            None => Progress::More,
        }
    }
}

/// Carries a job to a host, and its result back. The host looks what it is: one that computes jobs of one type
/// [takes](Carry::job) those, one with a heap takes any, boxed.
pub trait Carry {
    /// An `Option<J>`, where `J` is the job's type: the job on its way to the host.
    fn job(&mut self) -> &mut dyn Any;

    /// Takes its result out of `output`, an `Option<J::Output>`. Whether it was one.
    fn put(&mut self, output: &mut dyn Any) -> bool;

    /// The job, whatever its type; none if it was taken before.
    #[cfg(feature = "alloc")]
    fn boxed(&mut self) -> Option<BoxedJob>;
}

struct Parcel<J: Job> {
    job: Option<J>,
    output: Option<J::Output>,
}

impl<J: Job<Output: Send + 'static> + Send + 'static> Carry for Parcel<J> {
    fn job(&mut self) -> &mut dyn Any {
        &mut self.job
    }

    fn put(&mut self, output: &mut dyn Any) -> bool {
        let output = output.downcast_mut::<Option<J::Output>>();
        self.output = output.and_then(Option::take);
        self.output.is_some()
    }

    #[cfg(feature = "alloc")]
    fn boxed(&mut self) -> Option<BoxedJob> {
        Some(BoxedJob(alloc::boxed::Box::new(self.job.take()?)))
    }
}

/// A job of any type.
#[cfg(feature = "alloc")]
pub struct BoxedJob(alloc::boxed::Box<dyn AnyJob>);

#[cfg(feature = "alloc")]
trait AnyJob: Send {
    fn run(&mut self, budget: u32) -> Progress<BoxedOutput>;
}

/// What a [`BoxedJob`] comes to: an `Option` of its result, for [`Carry::put`].
#[cfg(feature = "alloc")]
pub type BoxedOutput = alloc::boxed::Box<dyn Any + Send>;

#[cfg(feature = "alloc")]
impl<J: Job<Output: Send + 'static> + Send> AnyJob for J {
    fn run(&mut self, budget: u32) -> Progress<BoxedOutput> {
        match Job::run(self, budget) {
            Progress::More => Progress::More,
            Progress::Done(output) => Progress::Done(alloc::boxed::Box::new(Some(output))),
        }
    }
}

#[cfg(feature = "alloc")]
impl Job for BoxedJob {
    type Output = BoxedOutput;

    fn run(&mut self, budget: u32) -> Progress<BoxedOutput> {
        self.0.run(budget)
    }
}

/// Nobody knows its type any more, so it can't travel.
#[cfg(feature = "alloc")]
impl crate::job::WireJob for BoxedJob {
    fn encode(&self, _: &mut dyn FnMut(&[u8])) -> bool {
        false
    }

    fn decode(_: &[u8]) -> Option<Self> {
        None
    }

    fn encode_output(_: &BoxedOutput, _: &mut dyn FnMut(&[u8])) {}

    fn decode_output(_: &[u8]) -> Option<BoxedOutput> {
        None
    }
}

/// The future of [`Loop::job`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct JobFuture<'d, J: Job> {
    on: Loop<'d>,
    parcel: Parcel<J>,
    /// The wait, once the job is submitted and until its result is there.
    wait: Option<(JobId, Waiting<'d>)>,
}

impl<'d> Loop<'d> {
    /// Has a job computed where it holds up nobody: on a worker thread, in slices, or as the host does it. A
    /// closure is a job of one slice, which the jobs behind it wait for: where there are few workers, a long
    /// computation is better written as a [`Job`]. Dropped before its end, it is given up at the next slice
    /// boundary; or at once, and dropped on the loop, where it still waits for a worker.
    ///
    /// # Errors
    ///
    /// Why there is no result.
    pub fn job<K, J: IntoJob<K>>(self, job: J) -> JobFuture<'d, J::Job> {
        JobFuture { on: self, parcel: Parcel { job: Some(job.into_job()), output: None }, wait: None }
    }
}

// Neither the job nor its output is pinned here.
impl<J: Job> Unpin for JobFuture<'_, J> {}

impl<J: Job<Output: Send + 'static> + Send + 'static> Future for JobFuture<'_, J> {
    type Output = Result<J::Output, Lost>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { on, parcel, wait } = self.get_mut();
        let door = on.door();
        let (id, waiting) = match wait {
            Some(wait) => wait,
            None => {
                if !door.spend(context)? {
                    return Poll::Pending;
                }
                let id = door.with(|ops| ops.submit(parcel))?.map_err(|_| Refused::Full)?;
                wait.insert((id, Waiting::new(What::Job(id))))
            }
        };
        let id = *id;
        if door.with(|ops| ops.collect(id, parcel))? {
            *wait = None;
            return Poll::Ready(parcel.output.take().ok_or(Lost::Failed));
        }
        // The job is gone without a result: whoever computed it failed.
        if waiting.has_begun() && !door.with(|ops| ops.has_job(id))? {
            *wait = None;
            return Poll::Ready(Err(Lost::Failed));
        }
        let refused = ready!(waiting.wait(*on, context));
        Poll::Ready(Err(refused.into()))
    }
}

impl<J: Job> Drop for JobFuture<'_, J> {
    fn drop(&mut self) {
        if let Some((id, _)) = self.wait {
            self.on.door().give_back(Late::Dismiss(id));
        }
    }
}
