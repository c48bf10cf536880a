//! Jobs that an `async fn` submits to be computed off the loop, and calls that block.

use core::pin::Pin;
use core::task::{Context, Poll, ready};

use crate::job::Job;
use crate::job::call::{Call, IntoJob};
use crate::job::erased::JobCell;
use crate::kernel::id::JobId;
use crate::kernel::step::WaitTarget;
use crate::task::conn::Waiting;
use crate::task::deferred::Deferred;
use crate::task::error::{JobError, WaitError};
use crate::task::handle::Handle;

/// The future returned by [`Handle::job`] and [`Handle::blocking`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct JobFuture<'d, J: Job> {
    handle: Handle<'d>,
    parcel: JobCell<J>,
    /// True if the job blocks instead of computing.
    blocks: bool,
    /// The wait, from the submission of the job until its result is available.
    wait: Option<(JobId, Waiting<'d>)>,
}

impl<'d> Handle<'d> {
    /// Submits a job to be computed where it does not block the loop: on a worker thread, in slices, or as the host
    /// does it. A closure is a job of one slice, and the jobs behind it wait for the whole slice: if the host has few
    /// workers, write a long computation as a [`Job`]. If the future is dropped before its end, the job is cancelled at
    /// the next slice boundary. A job that still waits for a worker is cancelled at once, and dropped on the loop.
    ///
    /// # Errors
    ///
    /// Fails with the reason why the job has no result.
    pub fn job<K, J: IntoJob<K>>(self, job: J) -> JobFuture<'d, J::Job> {
        JobFuture::new(self, job.into_job(), false)
    }

    /// Calls `call`, which blocks, on a thread that is kept for such calls: a system call without a nonblocking form, a
    /// library that waits, a look-up of a name. The threads of [`job`](Self::job) compute at low priority, and are as
    /// many as cores; these threads mostly wait, run at normal priority, and start when they are needed. The host limits
    /// their number, and further calls wait for a thread.
    ///
    /// A call that has begun can't be interrupted. If the future is dropped, the call runs to its end, and its result is
    /// dropped on its thread. A call that still waits for a thread is dropped on the loop, and never begins.
    ///
    /// # Errors
    ///
    /// Fails with [`JobError::Failed`] if the call panics, and with [`WaitError::Full`] if the host has no threads for
    /// such calls, or if too many jobs and calls are in progress.
    ///
    /// ```
    /// # use sinbin_core::task::{Handle, JobError};
    /// async fn hostname(handle: Handle<'_>) -> Result<String, JobError> {
    ///     let read = handle.blocking(|| std::fs::read_to_string("/etc/hostname")).await?;
    ///     Ok(read.unwrap_or_default())
    /// }
    /// ```
    pub fn blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        self,
        call: F,
    ) -> JobFuture<'d, Call<F>> {
        JobFuture::new(self, Call::new(call), true)
    }
}

impl<'d, J: Job> JobFuture<'d, J> {
    const fn new(handle: Handle<'d>, job: J, blocks: bool) -> Self {
        Self { handle, parcel: JobCell { job: Some(job), output: None }, blocks, wait: None }
    }
}

// Neither the job nor its output is pinned here.
impl<J: Job> Unpin for JobFuture<'_, J> {}

impl<J: Job<Output: Send + 'static> + Send + 'static> Future for JobFuture<'_, J> {
    type Output = Result<J::Output, JobError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handle, parcel, blocks, wait } = self.get_mut();
        let run_context = handle.run_context();
        let (id, waiting) = match wait {
            Some(wait) => wait,
            None => {
                if !run_context.spend(context)? {
                    return Poll::Pending;
                }
                let submitted = run_context.with(|ops| ops.submit_job(parcel, *blocks))?;
                let id = submitted.map_err(|_| WaitError::Full)?;
                wait.insert((id, Waiting::new(WaitTarget::Job(id))))
            }
        };
        let id = *id;
        if run_context.with(|ops| ops.take_job(id, parcel))? {
            *wait = None;
            return Poll::Ready(parcel.output.take().ok_or(JobError::Failed));
        }
        // The job has ended without a result: its worker failed.
        if waiting.has_begun() && !run_context.with(|ops| ops.has_job(id))? {
            *wait = None;
            return Poll::Ready(Err(JobError::Failed));
        }
        let refused = ready!(waiting.wait(*handle, context));
        Poll::Ready(Err(refused.into()))
    }
}

impl<J: Job> Drop for JobFuture<'_, J> {
    fn drop(&mut self) {
        if let Some((id, _)) = self.wait {
            self.handle.run_context().give_back(Deferred::CancelJob(id));
        }
    }
}
