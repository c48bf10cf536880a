//! Compute off the loop, from an `async fn`.

use core::pin::Pin;
use core::task::{Context, Poll, ready};

use crate::job::Job;
use crate::job::call::IntoJob;
use crate::job::carry::Parcel;
use crate::kernel::id::JobId;
use crate::kernel::step::What;
use crate::task::conn::Waiting;
use crate::task::error::{Lost, Refused};
use crate::task::handle::Loop;
use crate::task::late::Late;

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
