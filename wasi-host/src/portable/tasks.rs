//! The tasks of a WASI 0.3 guest that wait for this host: their wakers, their timers, and what they have dropped.
//!
//! A task that waits for a source leaves its waker there. An event of the system wakes the tasks of its source and no
//! others, so an event costs the same with ten connections as with ten thousand.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use sinbin::Instant;

/// The maximum number of operations of a source, in one direction and one turn of the loop. A client that never stops
/// sending then waits until the others have been served.
pub(super) const MAX_USES: u32 = 4;

/// The maximum number of connections that a listener accepts in one turn of the loop. With fewer, many clients that connect
/// at once would wait while those that are connected are served in each turn.
pub(super) const MAX_ACCEPTS: u32 = 256;

/// The number of wakers of one event after which those of tasks that were cancelled are looked for.
const MANY: usize = 32;

/// A direction of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    Input,
    Output,
}

/// The number of operations in the current turn.
#[derive(Clone, Copy, Default)]
pub(super) struct Uses {
    turn: u32,
    count: u32,
}

impl Uses {
    /// Counts an operation in this turn. Returns false if there were `most` already.
    pub(super) fn count(&mut self, turn: u32, most: u32) -> bool {
        if self.turn != turn {
            *self = Self { turn, count: 0 };
        }
        self.count += 1;
        self.count <= most
    }
}

/// The tasks that wait for one event.
///
/// A task that was cancelled leaves its waker behind. If there are many wakers, all are woken, and those that still wait
/// come back. The number at which that happens doubles each time, so it costs a constant time for each waker.
#[derive(Default)]
struct Wakers {
    list: Vec<Waker>,
    /// The number of wakers at which all are woken, if it is larger than [`MANY`].
    most: usize,
}

impl Wakers {
    fn park(&mut self, waker: &Waker) {
        if self.list.iter().rev().take(2).any(|other| other.will_wake(waker)) {
            return;
        }
        if self.list.len() >= MANY.max(self.most) {
            self.most = self.list.len().saturating_mul(2);
            self.wake();
        }
        self.list.push(waker.clone());
    }

    fn wake(&mut self) {
        for waker in self.list.drain(..) {
            waker.wake();
        }
    }
}

/// The tasks that wait for one direction of a source.
#[derive(Default)]
struct Side {
    wakers: Wakers,
    uses: Uses,
}

/// The tasks that wait for a source.
#[derive(Default)]
pub(super) struct Waiting {
    input: Side,
    output: Side,
}

impl Waiting {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Input => &mut self.input,
            Direction::Output => &mut self.output,
        }
    }

    /// Stores the waker of a task.
    pub(super) fn park(&mut self, direction: Direction, waker: &Waker) {
        self.side(direction).wakers.park(waker);
    }

    /// Wakes the tasks that wait for a direction.
    pub(super) fn wake(&mut self, direction: Direction) {
        self.side(direction).wakers.wake();
    }

    /// Counts an operation in this turn. Returns false if there were `most` already.
    pub(super) fn count(&mut self, direction: Direction, turn: u32, most: u32) -> bool {
        self.side(direction).uses.count(turn, most)
    }

    /// Returns true if a task waits for a direction.
    pub(super) fn is_for(&self, direction: Direction) -> bool {
        match direction {
            Direction::Input => !self.input.wakers.list.is_empty(),
            Direction::Output => !self.output.wakers.list.is_empty(),
        }
    }

    /// Returns true if a task waits.
    pub(super) fn has_any(&self) -> bool {
        self.is_for(Direction::Input) || self.is_for(Direction::Output)
    }
}

/// The tasks of a guest.
#[derive(Default)]
pub(super) struct Tasks {
    /// The number of the current turn of the loop.
    pub(super) turn: u32,
    /// The tasks whose sources had as many operations in this turn as they may have.
    late: Vec<Waker>,
    /// The tasks that wait for rare events: capacity for a connection or for output, or the address of a name.
    rare: Wakers,
    timers: Arc<Timers>,
    last_timer: u64,
    dropped: Arc<Dropped>,
}

impl Tasks {
    /// Begins a turn: wakes the tasks that the turn before has put off. Returns true if there were any.
    pub(super) fn begin_turn(&mut self) -> bool {
        self.turn = self.turn.wrapping_add(1);
        let had_late = !self.late.is_empty();
        for waker in self.late.drain(..) {
            waker.wake();
        }
        had_late
    }

    /// Puts a task off until the next turn.
    pub(super) fn put_off(&mut self, waker: &Waker) {
        self.late.push(waker.clone());
    }

    /// Stores the waker of a task that waits for a rare event.
    pub(super) fn park_for_rare(&mut self, waker: &Waker) {
        self.rare.park(waker);
    }

    /// Wakes the tasks that wait for rare events, to look again.
    pub(super) fn wake_rare(&mut self) {
        self.rare.wake();
    }

    /// Creates a timer, which wakes no task yet.
    pub(super) fn timer(&mut self, deadline: Instant) -> Timer {
        self.last_timer += 1;
        Timer { timers: Arc::clone(&self.timers), deadline, id: self.last_timer }
    }

    /// Returns the deadline of the first timer.
    pub(super) fn next_timer(&self) -> Instant {
        self.timers.lock().first_key_value().map_or(Instant::NEVER, |((deadline, _), _)| *deadline)
    }

    /// Wakes the tasks whose deadline has passed.
    pub(super) fn wake_due(&mut self, now: impl FnOnce() -> Instant) {
        let mut timers = self.timers.lock();
        if timers.is_empty() {
            return;
        }
        let now = now();
        while timers.first_key_value().is_some_and(|((deadline, _), _)| *deadline <= now) {
            if let Some((_, waker)) = timers.pop_first() {
                waker.wake();
            }
        }
    }

    /// Returns true if a task waits for something other than a source.
    pub(super) fn has_any(&self) -> bool {
        !self.late.is_empty() || !self.rare.list.is_empty() || !self.timers.lock().is_empty()
    }

    /// Creates a handle that tells the host when a task has dropped it.
    pub(super) fn hold(&self, what: Held) -> Hold {
        Hold { dropped: Arc::clone(&self.dropped), what }
    }

    /// Takes what tasks have dropped.
    pub(super) fn take_dropped(&mut self) -> Vec<Held> {
        mem::take(&mut *self.dropped.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The timers of all tasks, in the order of their deadlines.
#[derive(Default)]
struct Timers(Mutex<BTreeMap<(Instant, u64), Waker>>);

impl Timers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Instant, u64), Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The timer of a task, which ends with it.
pub(super) struct Timer {
    timers: Arc<Timers>,
    deadline: Instant,
    id: u64,
}

impl Timer {
    /// Returns the time at which the task is woken.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Wakes this task at the deadline.
    pub(super) fn park(&self, waker: &Waker) {
        self.timers.lock().insert((self.deadline, self.id), waker.clone());
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.timers.lock().remove(&(self.deadline, self.id));
    }
}

/// A resource of the host that a task holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    /// A handle of a source.
    Source(u32, u8),
    /// A handle of stdout or stderr.
    Standard(u32),
    /// A lookup of a name.
    Lookup(u32),
    /// A timer.
    Timer,
    /// A call that sends or receives a datagram, and the number of bytes that the host keeps for it.
    Call(usize),
}

/// The resources that tasks have dropped, where they have no access to the host.
#[derive(Default)]
struct Dropped(Mutex<Vec<Held>>);

/// A handle that tells the host when it is dropped.
pub(super) struct Hold {
    dropped: Arc<Dropped>,
    what: Held,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.dropped.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.what);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn take(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    #[test]
    fn an_event_wakes_only_its_direction() {
        let (input, output) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut waiting = Waiting::default();
        waiting.park(Direction::Input, &Arc::clone(&input).into());
        waiting.park(Direction::Output, &Arc::clone(&output).into());
        waiting.wake(Direction::Input);
        waiting.wake(Direction::Input);
        assert_eq!((input.take(), output.take()), (1, 0), "a waker is used once");
        assert!(waiting.has_any());
        waiting.wake(Direction::Output);
        assert!(!waiting.has_any());
    }

    #[test]
    fn wakers_of_cancelled_tasks_do_not_pile_up() {
        let mut waiting = Waiting::default();
        let lasting = Arc::new(Count::default());
        waiting.park(Direction::Input, &Arc::clone(&lasting).into());
        for _ in 0..1000 {
            waiting.park(Direction::Input, &Arc::new(Count::default()).into());
            if lasting.take() > 0 {
                waiting.park(Direction::Input, &Arc::clone(&lasting).into());
            }
        }
        assert!(waiting.input.wakers.list.len() < 1000);
        waiting.wake(Direction::Input);
        assert_eq!(lasting.take(), 1, "the task that waits is not forgotten");
    }

    #[test]
    fn many_tasks_may_wait_for_one_event() {
        let counts: Vec<_> = (0..100).map(|_| Arc::new(Count::default())).collect();
        let mut waiting = Waiting::default();
        let mut polls = 0;
        let mut pending: Vec<_> = counts.clone();
        while !pending.is_empty() {
            for count in mem::take(&mut pending) {
                waiting.park(Direction::Input, &count.into());
                polls += 1;
            }
            pending.extend(counts.iter().filter(|count| count.take() > 0).cloned());
        }
        assert!(polls < 1000, "{polls}");
        waiting.wake(Direction::Input);
        assert!(counts.iter().all(|count| count.take() == 1));
    }

    #[test]
    fn each_turn_has_its_operations() {
        let mut waiting = Waiting::default();
        for turn in 1..4 {
            assert!((0..MAX_USES).all(|_| waiting.count(Direction::Input, turn, MAX_USES)));
            assert!(!waiting.count(Direction::Input, turn, MAX_USES));
            assert!(waiting.count(Direction::Output, turn, MAX_USES));
        }
    }

    #[test]
    fn timers_wake_in_their_order_and_end_with_their_tasks() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let count = Arc::new(Count::default());
        let waker = Arc::clone(&count).into();
        let mut tasks = Tasks::default();
        let timers: Vec<_> = [3, 1, 2].map(|seconds| tasks.timer(at(seconds))).into();
        timers.iter().for_each(|timer| timer.park(&waker));
        assert_eq!(tasks.next_timer(), at(1));
        tasks.wake_due(|| at(2));
        assert_eq!((count.take(), tasks.next_timer()), (2, at(3)));
        drop(timers);
        assert!(!tasks.has_any());
        tasks.wake_due(|| at(9));
        assert_eq!(count.take(), 0);
    }

    #[test]
    fn what_is_put_off_comes_with_the_next_turn() {
        let count = Arc::new(Count::default());
        let mut tasks = Tasks::default();
        tasks.put_off(&Arc::clone(&count).into());
        assert_eq!(count.take(), 0);
        assert!(tasks.begin_turn() && !tasks.begin_turn());
        assert_eq!(count.take(), 1);
    }

    #[test]
    fn the_host_learns_what_was_dropped() {
        let mut tasks = Tasks::default();
        let held = tasks.hold(Held::Source(7, 2));
        assert!(tasks.take_dropped().is_empty());
        drop(held);
        assert!(matches!(tasks.take_dropped()[..], [Held::Source(7, 2)]));
    }
}
