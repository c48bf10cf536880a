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
const MAX_USES: u32 = 4;

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
    /// Counts an operation in this turn. Returns false if there were too many.
    pub(super) fn count(&mut self, turn: u32) -> bool {
        if self.turn != turn {
            *self = Self { turn, count: 0 };
        }
        self.count += 1;
        self.count <= MAX_USES
    }
}

/// The task that waits for one direction of a source.
#[derive(Default)]
struct Side {
    waker: Option<Waker>,
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

    /// Stores the waker of a task. The one before belongs to the same task, since streams have one reader.
    pub(super) fn park(&mut self, direction: Direction, waker: &Waker) {
        match &mut self.side(direction).waker {
            Some(old) => old.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Wakes the task that waits for a direction.
    pub(super) fn wake(&mut self, direction: Direction) {
        if let Some(waker) = self.side(direction).waker.take() {
            waker.wake();
        }
    }

    /// Counts an operation in this turn. Returns false if there were too many.
    pub(super) fn count(&mut self, direction: Direction, turn: u32) -> bool {
        self.side(direction).uses.count(turn)
    }

    /// Returns true if a task waits for a direction.
    pub(super) fn is_for(&self, direction: Direction) -> bool {
        match direction {
            Direction::Input => self.input.waker.is_some(),
            Direction::Output => self.output.waker.is_some(),
        }
    }

    /// Returns true if a task waits.
    pub(super) fn has_any(&self) -> bool {
        self.input.waker.is_some() || self.output.waker.is_some()
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
    rare: Vec<Waker>,
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
        if !self.rare.iter().any(|other| other.will_wake(waker)) {
            self.rare.push(waker.clone());
        }
    }

    /// Wakes the tasks that wait for rare events, to look again.
    pub(super) fn wake_rare(&mut self) {
        for waker in mem::take(&mut self.rare) {
            waker.wake();
        }
    }

    /// Creates a timer, which wakes nobody yet. Returns `None` if there are `most` timers already.
    pub(super) fn timer(&mut self, deadline: Instant, most: usize) -> Option<Timer> {
        self.last_timer += 1;
        let timers = Arc::clone(&self.timers);
        let has_room = timers.lock().len() < most;
        has_room.then_some(Timer { timers, deadline, id: self.last_timer })
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
        !self.late.is_empty() || !self.rare.is_empty() || !self.timers.lock().is_empty()
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
    /// One of the handles of a source.
    Source(u32, u8),
    /// A handle of stdout or stderr.
    Standard(u32),
    /// A lookup of a name.
    Lookup(u32),
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
    fn each_turn_has_its_operations() {
        let mut waiting = Waiting::default();
        for turn in 1..4 {
            assert!((0..MAX_USES).all(|_| waiting.count(Direction::Input, turn)));
            assert!(!waiting.count(Direction::Input, turn));
            assert!(waiting.count(Direction::Output, turn));
        }
    }

    #[test]
    fn timers_wake_in_their_order_and_end_with_their_tasks() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let count = Arc::new(Count::default());
        let waker = Arc::clone(&count).into();
        let mut tasks = Tasks::default();
        let timers: Vec<_> = [3, 1, 2].map(|seconds| tasks.timer(at(seconds), 3).unwrap()).into();
        timers.iter().for_each(|timer| timer.park(&waker));
        assert!(tasks.timer(at(4), 3).is_none(), "the limit");
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
