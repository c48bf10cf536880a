//! Jobs on their way to a host that does not know their type, and their results on the way back.

use core::any::Any;

use crate::job::Job;
#[cfg(feature = "alloc")]
use crate::job::Progress;
#[cfg(feature = "alloc")]
use crate::job::WireJob;

/// Carries a job to a host, and its result back. The host looks what it is: one that computes jobs of one type
/// [takes](ErasedJob::job) those, one with a heap takes any, boxed.
pub trait ErasedJob {
    /// An `Option<J>`, where `J` is the job's type: the job on its way to the host.
    fn job(&mut self) -> &mut dyn Any;

    /// Takes its result out of `output`, an `Option<J::Output>`. Whether it was one.
    fn put(&mut self, output: &mut dyn Any) -> bool;

    /// The job, whatever its type; none if it was taken before.
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

/// A boxed job can't travel: its type is not known any more.
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
