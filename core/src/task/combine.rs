//! Combinators that run a few futures at once in one task. Each future is polled whenever the task runs.
//! (`embassy-futures` has more of this kind. Every combinator works that passes the task's own waker on.)
//!
//! The futures share the budget of the task, which is the number of operations in one step. A future that is always
//! ready can spend the whole budget. In the steps that follow, the first operations stand back, one more in each step,
//! so that the other futures make progress.

use core::pin::Pin;
use core::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::task::wakers::second_is_first;

/// The output of one of two futures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Either<A, B> {
    /// The output of the first future.
    First(A),
    /// The output of the second future.
    Second(B),
}

/// Waits for both futures. The future that completes first is dropped at once.
pub const fn join<A: Future, B: Future>(a: A, b: B) -> Join<A, B> {
    Join { a: Part::Under { way: a }, b: Part::Under { way: b } }
}

/// Waits for both futures as [`join`] does, but not for the other one if either fails.
///
/// ```
/// use sinbin_core::task::{Conn, Error, try_join};
///
/// /// Returns when both directions have ended, or at the first error.
/// async fn talk(conn: &Conn<'_>, question: &[u8], answer: &mut [u8]) -> Result<usize, Error> {
///     let ((), count) = try_join(conn.send_all(question), conn.recv(answer)).await?;
///     Ok(count)
/// }
/// ```
pub const fn try_join<T, U, E, A, B>(a: A, b: B) -> TryJoin<A, B>
where
    A: Future<Output = Result<T, E>>,
    B: Future<Output = Result<U, E>>,
{
    TryJoin { a: Part::Under { way: a }, b: Part::Under { way: b } }
}

/// Waits for the first of two futures, and drops the other with all of its waits.
///
/// If both are ready, the future that is polled first wins. The order alternates: of the selects and races of a task,
/// every other one polls `b` first, beginning with `a`. In a loop of selects, neither future starves the other. (In an
/// executor within the task, every select polls `a` first. There, too, `b` makes progress when `a` has spent the budget
/// of a step.)
pub const fn select<A: Future, B: Future>(a: A, b: B) -> Select<A, B> {
    Select { second_first: None, a, b }
}

/// Waits for the first of two futures as [`select`] does. Both have the same output type.
pub const fn race<A: Future, B: Future<Output = A::Output>>(a: A, b: B) -> Race<A, B> {
    Race { select: select(a, b) }
}

// As `async fn`s, these would store each future twice: as an argument, and where it is pinned.
pin_project! {
    /// The future returned by [`join`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Join<A: Future, B: Future> {
        #[pin]
        a: Part<A>,
        #[pin]
        b: Part<B>,
    }
}

pin_project! {
    /// The future returned by [`try_join`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct TryJoin<A: Future, B: Future> {
        #[pin]
        a: Part<A>,
        #[pin]
        b: Part<B>,
    }
}

pin_project! {
    #[project = PartProjection]
    enum Part<F: Future> {
        Under {
            #[pin]
            way: F,
        },
        Over { output: Option<F::Output> },
    }
}

impl<F: Future> Part<F> {
    /// Polls the future if it has not completed. Returns true if the future has completed.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> bool {
        let PartProjection::Under { way } = self.as_mut().project() else { return true };
        let Poll::Ready(output) = way.poll(context) else { return false };
        self.set(Self::Over { output: Some(output) });
        true
    }

    fn take(self: Pin<&mut Self>) -> Option<F::Output> {
        match self.project() {
            PartProjection::Under { .. } => None,
            PartProjection::Over { output } => output.take(),
        }
    }
}

pin_project! {
    /// The future returned by [`select`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Select<A, B> {
        // `None` until the first poll, which determines the order.
        second_first: Option<bool>,
        #[pin]
        a: A,
        #[pin]
        b: B,
    }
}

pin_project! {
    /// The future returned by [`race`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Race<A, B> {
        #[pin]
        select: Select<A, B>,
    }
}

impl<A: Future, B: Future> Future for Join<A, B> {
    type Output = (A::Output, B::Output);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // Both are polled, whatever the first poll returns.
        let are_over = this.a.as_mut().poll(context) & this.b.as_mut().poll(context);
        if !are_over {
            return Poll::Pending;
        }
        match (this.a.take(), this.b.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            // The future was polled after its completion.
            _ => Poll::Pending,
        }
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Part<F> {
    /// Returns the error, if the future has failed.
    fn take_error(self: Pin<&mut Self>) -> Option<E> {
        match self.project() {
            PartProjection::Over { output } => output.take_if(|output| output.is_err())?.err(),
            PartProjection::Under { .. } => None,
        }
    }
}

impl<T, U, E, A, B> Future for TryJoin<A, B>
where
    A: Future<Output = Result<T, E>>,
    B: Future<Output = Result<U, E>>,
{
    type Output = Result<(T, U), E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let are_over = this.a.as_mut().poll(context) & this.b.as_mut().poll(context);
        if let Some(error) = this.a.as_mut().take_error().or_else(|| this.b.as_mut().take_error()) {
            return Poll::Ready(Err(error));
        }
        if !are_over {
            return Poll::Pending;
        }
        match (this.a.take(), this.b.take()) {
            (Some(Ok(first)), Some(Ok(second))) => Poll::Ready(Ok((first, second))),
            // The future was polled after its completion.
            _ => Poll::Pending,
        }
    }
}

impl<A: Future, B: Future> Future for Select<A, B> {
    type Output = Either<A::Output, B::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if *this.second_first.get_or_insert_with(|| second_is_first(context.waker())) {
            if let Poll::Ready(output) = this.b.poll(context) {
                return Poll::Ready(Either::Second(output));
            }
            return this.a.poll(context).map(Either::First);
        }
        if let Poll::Ready(output) = this.a.poll(context) {
            return Poll::Ready(Either::First(output));
        }
        this.b.poll(context).map(Either::Second)
    }
}

impl<A: Future, B: Future<Output = A::Output>> Future for Race<A, B> {
    type Output = A::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<A::Output> {
        match ready!(self.project().select.poll(context)) {
            Either::First(output) | Either::Second(output) => Poll::Ready(output),
        }
    }
}
