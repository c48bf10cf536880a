//! Waiting for any number of futures at once in one task.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::replace;
use core::pin::Pin;
use core::task::{Context, Poll};

/// Waits for all futures, and returns their outputs in the order of the futures. A future that completes is dropped at
/// once.
///
/// The futures are parts of one task: each is polled whenever the task runs, O(n). Together they can wait for
/// [four](crate::kernel::MAX_WAITS) sources and jobs, and for any number of locks, channels and deadlines. For more, and for
/// results in the order of the ends, use a [`JoinSet`](crate::group::JoinSet) of tasks.
///
/// ```
/// # use sinbin_core::task::{Handle, Error, join_all};
/// # async fn fetch(handle: Handle<'_>, page: u32) -> usize { handle.yield_now().await; page as usize }
/// async fn total(handle: Handle<'_>) -> usize {
///     join_all((1..=3).map(|page| fetch(handle, page))).await.into_iter().sum()
/// }
/// ```
pub fn join_all<I: IntoIterator<Item: Future>>(futures: I) -> JoinAll<I::Item> {
    JoinAll { parts: parts(futures) }
}

/// Waits for all futures as [`join_all`] does, but not for the others if one fails.
pub fn try_join_all<T, E, I>(futures: I) -> TryJoinAll<I::Item>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    TryJoinAll { parts: parts(futures) }
}

fn parts<I: IntoIterator<Item: Future>>(futures: I) -> Vec<Part<I::Item>> {
    futures.into_iter().map(|future| Part::Running(Box::pin(future))).collect()
}

/// A future, and then its output.
enum Part<F: Future> {
    Running(Pin<Box<F>>),
    Done(F::Output),
    Taken,
}

impl<F: Future> Part<F> {
    /// Polls the future if it has not completed. Returns true if the future has completed.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let Self::Running(future) = self else { return true };
        let Poll::Ready(output) = future.as_mut().poll(context) else { return false };
        *self = Self::Done(output);
        true
    }

    fn take(&mut self) -> Option<F::Output> {
        let Self::Done(output) = replace(self, Self::Taken) else { return None };
        Some(output)
    }
}

/// The future returned by [`join_all`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct JoinAll<F: Future> {
    parts: Vec<Part<F>>,
}

// The futures are pinned on the heap, and the outputs are not pinned.
impl<F: Future> Unpin for JoinAll<F> {}

impl<F: Future> Future for JoinAll<F> {
    type Output = Vec<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { parts } = self.get_mut();
        // Every part is polled, whatever the others return.
        let running = parts.iter_mut().filter_map(|part| (!part.poll(context)).then_some(())).count();
        if running > 0 {
            return Poll::Pending;
        }
        Poll::Ready(core::mem::take(parts).iter_mut().filter_map(Part::take).collect())
    }
}

/// The future returned by [`try_join_all`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct TryJoinAll<F: Future> {
    parts: Vec<Part<F>>,
}

// As for `JoinAll`.
impl<F: Future> Unpin for TryJoinAll<F> {}

impl<T, E, F: Future<Output = Result<T, E>>> Future for TryJoinAll<F> {
    type Output = Result<Vec<T>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { parts } = self.get_mut();
        let mut running = 0;
        for part in &mut *parts {
            running += usize::from(!part.poll(context));
            if matches!(part, Part::Done(Err(_)))
                && let Some(Err(error)) = part.take()
            {
                // The other futures are dropped here.
                parts.clear();
                return Poll::Ready(Err(error));
            }
        }
        if running > 0 {
            return Poll::Pending;
        }
        Poll::Ready(core::mem::take(parts).iter_mut().filter_map(Part::take).collect())
    }
}
