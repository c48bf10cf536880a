//! Tasks that wait for their turn at something, first in, first out. The queue is threaded through the futures that
//! wait, so it needs no memory of its own, and has no limit.

use core::cell::Cell;
use core::future::poll_fn;
use core::marker::PhantomPinned;
use core::pin::{Pin, pin};
use core::ptr::NonNull;
use core::task::{Context, Poll, ready};

use crate::kernel::id::TaskId;
use crate::kernel::step::ExpectedWaker;
use crate::task::error::WaitError;
use crate::task::handle::Handle;

/// Who waits, the longest first. All operations are O(1).
///
/// Every node that can be reached from here is pinned and alive: it leaves the queue before its memory is used for
/// anything else, because it does so at the latest when it is dropped. Nodes don't point to their queue, which can
/// move when all that stand in it are leaked. All this is on one thread, since neither can be sent to another.
pub(crate) struct Queue {
    first: Cell<Link>,
    last: Cell<Link>,
}

type Link = Option<NonNull<Node>>;

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// It is this one's turn.
    Granted,
    /// There will be no more turns.
    Over,
}

/// How somebody left before its wait had ended, or before it learned of that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Left {
    /// It has been granted a turn, which it does not use.
    Granted,
    /// It stood in the queue, and was followed by this task.
    Waiting(Option<TaskId>),
}

/// A place in a queue.
struct Node {
    next: Cell<Link>,
    before: Cell<Link>,
    state: Cell<State>,
    /// Who polled it last: that one is to be woken.
    task: Cell<TaskId>,
    /// How much it waits for, of whatever it is.
    amount: u32,
    _pinned: PhantomPinned,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It stands in the queue; in all other states it does not.
    Waiting,
    Ended(Turn),
    Away,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { first: Cell::new(None), last: Cell::new(None) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.get().is_none()
    }

    /// How much the first in the queue waits for.
    pub(crate) fn first_amount(&self) -> Option<u32> {
        Some(node(self.first.get()?).amount)
    }

    /// Takes the first off the queue and gives it its turn. The caller wakes it.
    pub(crate) fn grant(&self) -> Option<TaskId> {
        self.end_first(Turn::Granted)
    }

    /// Gives a turn to all that wait now.
    pub(crate) fn grant_all(&self, handle: Handle<'_>) {
        while let Some(task) = self.grant() {
            handle.wake(task);
        }
    }

    /// Tells all that wait now that they do so in vain.
    pub(crate) fn end_all(&self, handle: Handle<'_>) {
        while let Some(task) = self.end_first(Turn::Over) {
            handle.wake(task);
        }
    }

    fn end_first(&self, turn: Turn) -> Option<TaskId> {
        let first = node(self.first.get()?);
        self.remove(first);
        first.state.set(State::Ended(turn));
        Some(first.task.get())
    }

    /// Waits for a turn. `by` says who is to give it, and is told who is next before this one in the queue. `left`
    /// is called if the future is dropped, or refused, before it has returned how the wait ended; it passes on
    /// what was granted.
    ///
    /// # Errors
    ///
    /// Where the task must not wait.
    pub(crate) async fn wait(
        &self,
        handle: Handle<'_>,
        amount: u32,
        by: impl Fn(Option<TaskId>) -> ExpectedWaker,
        left: impl Fn(Left),
    ) -> Result<Turn, WaitError> {
        let place = pin!(QueuedWaiter { queue: self, node: Node::new(handle.current()?, amount) });
        let place = place.into_ref();
        place.join();
        let unused = Unused { place, left };
        let turn = poll_fn(|context| place.poll(handle, &by, context)).await?;
        core::mem::forget(unused);
        Ok(turn)
    }

    fn push(&self, node: Pin<&Node>) {
        let node = node.get_ref();
        let link = Some(NonNull::from(node));
        node.state.set(State::Waiting);
        node.before.set(self.last.get());
        match self.last.replace(link) {
            Some(last) => self::node(last).next.set(link),
            None => self.first.set(link),
        }
    }

    /// Takes the node, which stands in this queue, out of it. Who stood behind it?
    fn remove(&self, node: &Node) -> Option<TaskId> {
        let (before, next) = (node.before.take(), node.next.take());
        match before {
            Some(before) => self::node(before).next.set(next),
            None => self.first.set(next),
        }
        match next {
            Some(next) => self::node(next).before.set(before),
            None => self.last.set(before),
        }
        next.map(|next| self::node(next).task.get())
    }
}

impl Node {
    const fn new(task: TaskId, amount: u32) -> Self {
        Self {
            next: Cell::new(None),
            before: Cell::new(None),
            state: Cell::new(State::Away),
            task: Cell::new(task),
            amount,
            _pinned: PhantomPinned,
        }
    }
}

/// The node behind a link, which a queue, or somebody who stands in one, has.
#[inline]
fn node<'a>(link: NonNull<Node>) -> &'a Node {
    // SAFETY: see `Queue`: what can be reached is there. The reference is used within one function of this file,
    // none of which lets a node be dropped, and everything that changes is in cells.
    #[expect(unsafe_code, reason = "neighbours in a queue can't own each other")]
    unsafe {
        link.as_ref()
    }
}

/// A node, in the future that waits, and the queue that it may stand in.
struct QueuedWaiter<'q> {
    queue: &'q Queue,
    node: Node,
}

impl QueuedWaiter<'_> {
    fn join(self: Pin<&Self>) {
        // SAFETY: pinning is structural for the node: nobody moves it out of a place, and the place leaves the
        // queue when it is dropped.
        #[expect(unsafe_code, reason = "there is no safe projection in the standard library")]
        let node = unsafe { self.map_unchecked(|place| &place.node) };
        self.queue.push(node);
    }

    fn poll(
        &self,
        handle: Handle<'_>,
        by: impl Fn(Option<TaskId>) -> ExpectedWaker,
        context: &Context<'_>,
    ) -> Poll<Result<Turn, WaitError>> {
        if let State::Ended(turn) = self.node.state.get() {
            return Poll::Ready(Ok(turn));
        }
        self.node.task.set(handle.current()?);
        let ahead = self.node.before.get().map(|before| node(before).task.get());
        let refused = ready!(handle.run_context().leave_named(by(ahead), context));
        Poll::Ready(Err(refused))
    }

    /// Leaves the queue, and says how.
    fn leave(&self) -> Option<Left> {
        match self.node.state.replace(State::Away) {
            State::Waiting => Some(Left::Waiting(self.queue.remove(&self.node))),
            State::Ended(Turn::Granted) => Some(Left::Granted),
            State::Ended(Turn::Over) | State::Away => None,
        }
    }
}

impl Drop for QueuedWaiter<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Says how somebody left, unless it is forgotten.
struct Unused<'a, 'q, F: Fn(Left)> {
    place: Pin<&'a QueuedWaiter<'q>>,
    left: F,
}

impl<F: Fn(Left)> Drop for Unused<'_, '_, F> {
    fn drop(&mut self) {
        if let Some(left) = self.place.leave() {
            (self.left)(left);
        }
    }
}
