//! A few futures at once, in one task. Each is polled whenever the task runs. (`embassy-futures` has more of the
//! kind; whatever hands on the task's own waker works.)
//!
//! All share what the task may do in one step. One that always finds what it looks for may spend that alone; in the steps
//! that follow, the first operations stand back, one more each time, so that the others have their turn.

use core::pin::Pin;
use core::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::task::wakers::second_is_first;

/// One of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Either<A, B> {
    /// The first.
    First(A),
    /// The second.
    Second(B),
}

/// Waits for both. The one that is over first is dropped then.
pub const fn join<A: Future, B: Future>(a: A, b: B) -> Join<A, B> {
    Join { a: Part::Under { way: a }, b: Part::Under { way: b } }
}

/// Waits for the first of two, and drops the other: whatever that waited for, it waits no more.
///
/// If both are ready, the first is the one that is looked at first, and they take turns in that: of the selects and races of
/// a task, every other one looks at `b` first. The first of all looks at `a`. So in a loop of selects neither starves the
/// other. (In an executor within the task, each looks at `a` first; there, too, `b` has its turn when `a` has done all that a
/// task may do in one step.)
pub const fn select<A: Future, B: Future>(a: A, b: B) -> Select<A, B> {
    Select { second_first: None, a, b }
}

/// [`select`] of two whose outputs are of one type.
pub const fn race<A: Future, B: Future<Output = A::Output>>(a: A, b: B) -> Race<A, B> {
    Race { select: select(a, b) }
}

// As `async fn`s these would keep each future twice: where it came in, and where it is pinned.
pin_project! {
    /// The future of [`join`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Join<A: Future, B: Future> {
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
    /// Goes on with it. Whether it is over.
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
    /// The future of [`select`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Select<A, B> {
        // Before the first look, nobody knows.
        second_first: Option<bool>,
        #[pin]
        a: A,
        #[pin]
        b: B,
    }
}

pin_project! {
    /// The future of [`race`].
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
        // Both are polled, whatever the first says.
        let are_over = this.a.as_mut().poll(context) & this.b.as_mut().poll(context);
        if !are_over {
            return Poll::Pending;
        }
        match (this.a.take(), this.b.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            // It was polled after its end.
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
