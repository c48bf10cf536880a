//! The jobs of `async fn`s whose host can have jobs of one type computed elsewhere.

use crate::job::erased::{BoxedJob, BoxedOutput, ErasedJob};
use crate::job::{Job, Progress, WireJob};

/// The job type of a host that computes the jobs of `async fn`s.
pub trait JobOfTasks: WireJob {
    /// Takes the job out of `erased`. Returns `None` if it was taken before.
    fn take_from(erased: &mut dyn ErasedJob) -> Option<Self>;

    /// Stores the result of a job in `erased`. Returns true if the result is one of that job.
    fn put_into(output: Self::Output, erased: &mut dyn ErasedJob) -> bool;
}

impl JobOfTasks for BoxedJob {
    fn take_from(erased: &mut dyn ErasedJob) -> Option<Self> {
        erased.boxed()
    }

    fn put_into(mut output: BoxedOutput, erased: &mut dyn ErasedJob) -> bool {
        erased.put(&mut *output)
    }
}

/// A job of an `async fn`: of type `J`, which can be sent to another instance, or of any other type, which is computed
/// where it is.
pub enum TaskJob<J> {
    /// A job that can be sent.
    Sent(J),
    /// A job of another type.
    Boxed(BoxedJob),
}

/// The result of a [`TaskJob`].
pub enum TaskOutput<T> {
    /// The result of a job that can be sent.
    Sent(T),
    /// The result of a job of another type.
    Boxed(BoxedOutput),
}

impl<J: Job> Job for TaskJob<J> {
    type Output = TaskOutput<J::Output>;

    fn run(&mut self, budget: u32) -> Progress<Self::Output> {
        match self {
            Self::Sent(job) => map(job.run(budget), TaskOutput::Sent),
            Self::Boxed(job) => map(job.run(budget), TaskOutput::Boxed),
        }
    }
}

fn map<T, U>(progress: Progress<T>, output: impl FnOnce(T) -> U) -> Progress<U> {
    match progress {
        Progress::More => Progress::More,
        Progress::Done(value) => Progress::Done(output(value)),
    }
}

impl<J: WireJob> WireJob for TaskJob<J> {
    fn encode(&self, put: &mut dyn FnMut(&[u8])) -> bool {
        match self {
            Self::Sent(job) => job.encode(put),
            Self::Boxed(job) => job.encode(put),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        J::decode(bytes).map(Self::Sent)
    }

    fn encode_output(output: &Self::Output, put: &mut dyn FnMut(&[u8])) {
        match output {
            TaskOutput::Sent(output) => J::encode_output(output, put),
            TaskOutput::Boxed(output) => BoxedJob::encode_output(output, put),
        }
    }

    fn decode_output(bytes: &[u8]) -> Option<Self::Output> {
        J::decode_output(bytes).map(TaskOutput::Sent)
    }
}

impl<J: WireJob<Output: Send + 'static> + Send + 'static> JobOfTasks for TaskJob<J> {
    fn take_from(erased: &mut dyn ErasedJob) -> Option<Self> {
        match erased.job().downcast_mut::<Option<J>>() {
            Some(job) => job.take().map(Self::Sent),
            None => erased.boxed().map(Self::Boxed),
        }
    }

    fn put_into(output: Self::Output, erased: &mut dyn ErasedJob) -> bool {
        match output {
            TaskOutput::Sent(output) => erased.put(&mut Some(output)),
            TaskOutput::Boxed(output) => BoxedJob::put_into(output, erased),
        }
    }
}
