//! Type-erased jobs: they pass a job to a host that does not know its type, and the result back.

use core::any::Any;

use crate::job::Job;
#[cfg(feature = "alloc")]
use crate::job::Progress;
#[cfg(feature = "alloc")]
use crate::job::WireJob;

/// A type-erased job, and then its result. The host checks the type: a host that computes jobs of one type takes them
/// by [`job`](ErasedJob::job), and a host with a heap takes jobs of any type, boxed.
pub trait ErasedJob {
    /// Returns an `Option<J>`, where `J` is the type of the job: the job that the host takes.
    fn job(&mut self) -> &mut dyn Any;

    /// Stores the result from `output`, an `Option<J::Output>`. Returns true if `output` had this type and held a
    /// result.
    fn put(&mut self, output: &mut dyn Any) -> bool;

    /// Returns the job, whatever its type, or `None` if it was taken before.
    #[cfg(feature = "alloc")]
    fn boxed(&mut self) -> Option<BoxedJob>;
}

/// A job, and then its result.
pub(crate) struct JobCell<J: Job> {
    pub(crate) job: Option<J>,
    pub(crate) output: Option<J::Output>,
}

impl<J: Job<Output: Send + 'static> + Send + 'static> ErasedJob for JobCell<J> {
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

/// The result of a [`BoxedJob`]: an `Option` of its result, for [`ErasedJob::put`].
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

/// A boxed job cannot be sent, because its type is erased.
#[cfg(feature = "alloc")]
impl WireJob for BoxedJob {
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
