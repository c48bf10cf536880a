//! The rules for owners and waiters that hold for any schedule.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// The capacity of the channel.
pub const ROOM: usize = 2;
/// The number of permits.
pub const PERMITS: u32 = 3;
/// The number of tasks that pass the barrier together.
pub const PARTY: usize = 3;

/// The index of a task of a program.
pub type Who = usize;

/// The waiters for one primitive, in the order of their arrival, each with its amount.
#[derive(Default)]
pub struct Line {
    standing: RefCell<VecDeque<Ticket>>,
    next: Cell<u32>,
}

#[derive(Clone, Copy, PartialEq)]
struct Ticket {
    number: u32,
    who: Who,
    amount: u32,
}

struct Standing<'a>(&'a Line, Ticket);

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.standing.borrow_mut().retain(|ticket| ticket.number != self.1.number);
    }
}

impl Line {
    /// Runs `future`, by which `who` waits for this amount. Checks that the served task is the first waiter, except for
    /// `excused` tasks.
    pub async fn stand<T, E>(
        &self,
        (who, amount): (Who, u32),
        excused: &Excused,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut future = pin!(future);
        let mut standing = None;
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Pending => {
                standing.get_or_insert_with(|| self.join(who, amount));
                Poll::Pending
            }
            Poll::Ready(result) => {
                if let (Ok(_), Some(Standing(_, ticket))) = (&result, standing.take().as_ref()) {
                    self.serve(ticket, &excused.borrow());
                }
                Poll::Ready(result)
            }
        })
        .await
    }

    fn join(&self, who: Who, amount: u32) -> Standing<'_> {
        let ticket = Ticket { number: self.next.get(), who, amount };
        self.next.set(ticket.number + 1);
        self.standing.borrow_mut().push_back(ticket);
        Standing(self, ticket)
    }

    fn serve(&self, ticket: &Ticket, excused: &BTreeSet<Who>) {
        let standing = self.standing.borrow();
        let earlier =
            standing.iter().find(|other| other.number < ticket.number && !excused.contains(&other.who));
        let Some(earlier) = earlier.filter(|_| !excused.contains(&ticket.who)) else { return };
        panic!("task {} is served before task {}", ticket.who, earlier.who);
    }

    fn first_amount(&self) -> Option<u32> {
        Some(self.standing.borrow().front()?.amount)
    }
}

/// A value on its way through the channel.
#[derive(Debug)]
pub struct Value(pub u32, #[expect(dead_code, reason = "the references are counted")] Rc<()>);

/// Tasks that need not be served in order.
pub type Excused = RefCell<BTreeSet<Who>>;

#[derive(Default)]
pub struct Oracle {
    pub excused: Excused,
    /// An empty set for locks, which excuse no task: only one task at a time can be granted a lock without having
    /// noticed it.
    pub nobody: Excused,

    pub locks: [Line; 2],
    holders: [Cell<Option<Who>>; 2],

    pub permits: Line,
    held: Cell<u32>,

    pub senders: Line,
    pub receivers: Line,
    /// The values that were sent and not received.
    sent: RefCell<VecDeque<u32>>,
    closed: Cell<bool>,
    values: Cell<u32>,
    alive: Rc<()>,

    arrived: RefCell<BTreeSet<u32>>,
    passed: RefCell<BTreeSet<u32>>,
    arrivals: Cell<u32>,

    set: Cell<bool>,
    sets: Cell<u32>,
    /// The number of tasks that wait for the event.
    hoping: Cell<u32>,

    /// The number of tasks that wait to be notified, or for the lock after that.
    listening: Cell<u32>,
    notified: Cell<u32>,
}

/// Calls its function when it is dropped.
pub struct Undo<F: FnMut()>(F);

impl<F: FnMut()> Drop for Undo<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Oracle {
    /// Allows `who` to notice out of order that it was served, since the task also wakes for another reason.
    pub fn excuse(&self, who: Who) {
        self.excused.borrow_mut().insert(who);
    }

    /// Notes that `who` holds the lock until the returned value is dropped.
    pub fn has_lock(&self, at: usize, who: Who) -> Undo<impl FnMut()> {
        let holder = &self.holders[at];
        assert_eq!(holder.replace(Some(who)), None, "one has it at a time");
        Undo(move || assert_eq!(holder.take(), Some(who)))
    }

    pub fn has_permits(&self, count: u32) -> Undo<impl FnMut()> {
        self.held.set(self.held.get() + count);
        assert!(self.held.get() <= PERMITS, "at most all permits are held");
        Undo(move || self.held.set(self.held.get() - count))
    }

    pub fn value(&self) -> Value {
        self.values.set(self.values.get() + 1);
        Value(self.values.get(), self.alive.clone())
    }

    pub fn sent(&self, number: u32) {
        assert!(!self.closed.get(), "nothing is sent after the end");
        self.sent.borrow_mut().push_back(number);
        assert!(self.sent.borrow().len() <= ROOM, "the channel holds at most its capacity");
    }

    pub fn received(&self, value: &Value) {
        assert_eq!(self.sent.borrow_mut().pop_front(), Some(value.0), "first in, first out, each once");
    }

    pub fn closes(&self) {
        self.closed.set(true);
    }

    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub fn is_over(&self) -> bool {
        self.closed.get() && self.sent.borrow().is_empty()
    }

    /// Notes that a task arrives at the barrier, and leaves it when the returned value is dropped.
    pub fn arrives(&self) -> (u32, Undo<impl FnMut()>) {
        let number = self.arrivals.get();
        self.arrivals.set(number + 1);
        self.arrived.borrow_mut().insert(number);
        let leave = move || {
            self.arrived.borrow_mut().remove(&number);
            self.passed.borrow_mut().remove(&number);
        };
        (number, Undo(leave))
    }

    pub fn passes(&self, number: u32, is_leader: bool) {
        if is_leader {
            assert!(self.arrived.borrow_mut().remove(&number));
            assert_eq!(self.arrived.borrow().len(), PARTY - 1, "the last one is the leader");
            self.passed.borrow_mut().extend(self.arrived.take());
        } else {
            assert!(
                self.passed.borrow_mut().remove(&number),
                "a passing task had arrived before the last one"
            );
        }
    }

    pub fn sets(&self, is_set: bool) {
        self.set.set(is_set);
        self.sets.set(self.sets.get() + u32::from(is_set));
    }

    /// Notes that a task waits for the event. The returned function tells whether the task may continue.
    pub fn hopes(&self) -> (impl Fn() -> bool, Undo<impl FnMut()>) {
        let before = self.sets.get() - u32::from(self.set.get());
        self.hoping.set(self.hoping.get() + 1);
        (move || self.sets.get() > before, Undo(|| self.hoping.set(self.hoping.get() - 1)))
    }

    pub fn listens(&self) -> Undo<impl FnMut()> {
        self.listening.set(self.listening.get() + 1);
        Undo(|| {
            self.listening.set(self.listening.get() - 1);
            // The notification of this task passes to another listener, if one exists.
            self.notified.set(self.notified.get().min(self.listening.get()));
        })
    }

    pub fn notifies(&self, all: bool) {
        let (notified, listening) = (self.notified.get(), self.listening.get());
        self.notified.set(if all { listening } else { listening.min(notified + 1) });
    }

    pub fn hears(&self) {
        let before = self.notified.get();
        self.notified.set(before.checked_sub(1).expect("a task that continues was notified"));
    }

    /// Checks, when no task can continue, that no task waits for something that is available.
    pub fn all_rest(&self) {
        for (line, holder) in self.locks.iter().zip(&self.holders) {
            assert!(line.first_amount().is_none() || holder.get().is_some(), "a lock with waiters is held");
        }
        let free = PERMITS - self.held.get();
        assert!(
            self.permits.first_amount().is_none_or(|amount| amount > free),
            "the first waiter lacks permits"
        );
        let sent = self.sent.borrow().len();
        let is_open = !self.closed.get();
        assert!(
            self.senders.first_amount().is_none() || (is_open && sent == ROOM),
            "a waiting sender has no capacity"
        );
        assert!(
            self.receivers.first_amount().is_none() || (is_open && sent == 0),
            "a waiting receiver has no value"
        );
        assert!(self.arrived.borrow().len() < PARTY && self.passed.borrow().is_empty(), "too few are there");
        assert!(self.hoping.get() == 0 || !self.set.get(), "the flag is not set");
        let has_value = self.holders[0].get().is_some();
        assert!(
            self.notified.get() == 0 || has_value,
            "no notification is lost, but some wait for the value"
        );
    }

    /// Checks that no resource is held after the end of all tasks. Returns the number of values in the channel.
    pub fn all_ended(&self) -> usize {
        assert!(self.holders.iter().all(|holder| holder.get().is_none()));
        assert_eq!((self.held.get(), self.hoping.get(), self.listening.get()), (0, 0, 0));
        let sent = self.sent.borrow().len();
        assert_eq!(Rc::strong_count(&self.alive), 1 + sent, "all other values were dropped");
        sent
    }
}
