//! A first-in, first-out queue of waiting tasks. The queue is linked through the futures that wait, so it needs no
//! memory of its own, and has no limit.

use core::cell::Cell;
use core::future::poll_fn;
use core::marker::PhantomPinned;
use core::pin::{Pin, pin};
use core::ptr::NonNull;
use core::task::{Context, Poll, ready};

use crate::exec::label::{NamedWait, WaitKind};
use crate::kernel::id::TaskId;
use crate::kernel::step::ExpectedWaker;
use crate::task::error::WaitError;
use crate::task::handle::Handle;

/// The waiting tasks, ordered by the time that they have waited, longest first. All operations are O(1).
///
/// Every node that is reachable from the queue is pinned and alive: a node leaves the queue at the latest when it is
/// dropped, and so before its memory is used for anything else. Nodes do not point to their queue, because the queue
/// can move if all nodes in it are leaked. Everything happens on one thread, since neither queues nor nodes can be sent
/// to another.
pub(crate) struct Queue {
    first: Cell<Link>,
    last: Cell<Link>,
    /// The name for reports; empty if there is none.
    name: &'static str,
}

type Link = Option<NonNull<Node>>;

/// The end of a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// The task has been granted its turn.
    Granted,
    /// No more turns will be granted.
    Over,
}

/// The state of a wait that was abandoned before it had ended, or before its task learned of the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Abandoned {
    /// The task has been granted a turn, which it does not use.
    Granted,
    /// The node was in the queue, and was followed by a node of this task.
    Waiting(Option<TaskId>),
}

/// An entry in a queue.
struct Node {
    next: Cell<Link>,
    before: Cell<Link>,
    state: Cell<State>,
    /// The task that polled the node last, which is the one to wake.
    task: Cell<TaskId>,
    /// The amount that the task waits for; its unit depends on the user of the queue.
    amount: u32,
    kind: WaitKind,
    _pinned: PhantomPinned,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The node is in the queue; in all other states it is not.
    Waiting,
    Ended(Turn),
    Away,
}

impl Queue {
    /// Creates a queue without waiting tasks. Reports show the name, unless it is empty.
    pub(crate) const fn named(name: &'static str) -> Self {
        Self { first: Cell::new(None), last: Cell::new(None), name }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.get().is_none()
    }

    /// Returns the amount that the first task in the queue waits for.
    pub(crate) fn first_amount(&self) -> Option<u32> {
        Some(node(self.first.get()?).amount)
    }

    /// Removes the first node from the queue and grants it its turn. The caller wakes the returned task.
    pub(crate) fn grant(&self) -> Option<TaskId> {
        self.end_first(Turn::Granted)
    }

    /// Grants a turn to all tasks that wait now.
    pub(crate) fn grant_all(&self, handle: Handle<'_>) {
        while let Some(task) = self.grant() {
            handle.wake(task);
        }
    }

    /// Ends the waits of all tasks that wait now, without a turn.
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

    /// Waits for a turn, in a wait of the `kind`. `by` gets the task ahead in the queue, and returns which task is expected to grant the turn.
    /// `left` is called if the future is dropped or refused before it has returned the end of the wait; it passes on a
    /// turn that was granted.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub(crate) async fn wait(
        &self,
        handle: Handle<'_>,
        kind: WaitKind,
        amount: u32,
        by: impl Fn(Option<TaskId>) -> ExpectedWaker,
        left: impl Fn(Abandoned),
    ) -> Result<Turn, WaitError> {
        let node = Node::new(handle.current()?, kind, amount);
        let named = (!self.name.is_empty()).then_some(handle);
        let place = pin!(QueuedWaiter { queue: self, node, named });
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

    /// Removes the node, which must be in this queue. Returns the task of the node behind it.
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
    const fn new(task: TaskId, kind: WaitKind, amount: u32) -> Self {
        Self {
            next: Cell::new(None),
            before: Cell::new(None),
            state: Cell::new(State::Away),
            task: Cell::new(task),
            amount,
            kind,
            _pinned: PhantomPinned,
        }
    }
}

/// Returns the node behind a link that a queue, or another node in the queue, contains.
#[inline]
fn node<'a>(link: NonNull<Node>) -> &'a Node {
    // SAFETY: as `Queue` documents, every reachable node exists. The reference is used within one function of this
    // file, none of which lets a node be dropped, and all mutable state is in cells.
    #[expect(unsafe_code, reason = "neighbours in a queue can't own each other")]
    unsafe {
        link.as_ref()
    }
}

/// A node, stored in the future that waits, and the queue that it may be in.
struct QueuedWaiter<'q, 'd> {
    queue: &'q Queue,
    node: Node,
    /// The loop whose reports show the name of the queue, if it has one.
    named: Option<Handle<'d>>,
}

impl QueuedWaiter<'_, '_> {
    fn join(self: Pin<&Self>) {
        // SAFETY: pinning is structural for the node: no code moves it out of its `QueuedWaiter`, which leaves the
        // queue when it is dropped.
        #[expect(unsafe_code, reason = "there is no safe projection in the standard library")]
        let node = unsafe { self.map_unchecked(|place| &place.node) };
        self.queue.push(node);
        self.show_name();
    }

    const fn named_wait(&self) -> NamedWait {
        NamedWait { kind: self.node.kind, name: self.queue.name }
    }

    fn show_name(&self) {
        if let Some(handle) = self.named {
            handle.run_context().enter_wait(self.node.task.get(), self.named_wait());
        }
    }

    fn hide_name(&self) {
        if let Some(handle) = self.named {
            handle.run_context().leave_wait(self.node.task.get(), self.named_wait());
        }
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
        let task = handle.current()?;
        if task != self.node.task.get() {
            self.hide_name();
            self.node.task.set(task);
            self.show_name();
        }
        let ahead = self.node.before.get().map(|before| node(before).task.get());
        let refused = ready!(handle.run_context().leave_named(by(ahead), context));
        Poll::Ready(Err(refused))
    }

    /// Leaves the queue. Returns the state that the wait had.
    fn leave(&self) -> Option<Abandoned> {
        if self.node.state.get() != State::Away {
            self.hide_name();
        }
        match self.node.state.replace(State::Away) {
            State::Waiting => Some(Abandoned::Waiting(self.queue.remove(&self.node))),
            State::Ended(Turn::Granted) => Some(Abandoned::Granted),
            State::Ended(Turn::Over) | State::Away => None,
        }
    }
}

impl Drop for QueuedWaiter<'_, '_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A guard that calls `left` with the state of an abandoned wait, unless it is forgotten.
struct Unused<'a, 'q, 'd, F: Fn(Abandoned)> {
    place: Pin<&'a QueuedWaiter<'q, 'd>>,
    left: F,
}

impl<F: Fn(Abandoned)> Drop for Unused<'_, '_, '_, F> {
    fn drop(&mut self) {
        if let Some(left) = self.place.leave() {
            (self.left)(left);
        }
    }
}
