//! Tests of the backends on a model of the system that controls the time. Time passes whenever a clock is read,
//! sometimes by hours at once. Waits are interrupted, alarms go off without being reported, and more sources are ready
//! than there is capacity for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use sinbin_core::{Instant, Interest, Readiness};

use super::super::{Until, Waiting, Wake, wait};
use super::portable;

#[cfg(target_os = "linux")]
use super::{epoll, kqueue};
#[cfg(target_os = "linux")]
use rustix::event::epoll as linux;

/// The minimum time that passes between two reads of the clock.
const TICK: Duration = Duration::from_micros(20);

/// The initial capacity for events of a wait in the model.
const ROOM: usize = 3;

/// A sleep of at least this duration may end early.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The state of the system, as far as the backends can observe it.
#[derive(Default)]
struct World {
    now: Duration,
    /// The times that pass before the next reads of the clock, in addition to [`TICK`].
    jumps: VecDeque<Duration>,
    /// The times that pass after a read of the clock, before the next waits or settings of the alarm.
    delays: VecDeque<Duration>,
    /// For each of the next waits, true if it is interrupted.
    interrupts: VecDeque<bool>,
    /// The ready sources. The source that was not reported for the longest time is first.
    ready: VecDeque<usize>,
    /// The sources that will become ready, with the times at which they do.
    arrivals: Vec<(Duration, usize)>,
    alarm: Option<Duration>,
    /// True if the alarm has gone off and was not reported yet.
    rings: bool,
    /// True if the waker was used and was not reported, or not cleared, yet.
    woken: bool,
    /// The numbers of interrupted waits and of reported alarms. Both may end a wait early.
    interrupted: usize,
    rung: usize,
    /// True if time has passed between a read of the clock and a wait.
    is_late: bool,
    /// The start and the end of each sleep of the process.
    sleeps: Vec<(Duration, Duration)>,
}

/// An event that a wait in the model finds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Source(usize),
    Alarm,
    Waker,
}

impl World {
    fn read_clock(&mut self) -> Duration {
        self.now += TICK + self.jumps.pop_front().unwrap_or_default();
        self.now
    }

    fn delay(&mut self) {
        let delay = self.delays.pop_front().unwrap_or_default();
        self.now += delay;
        self.is_late |= !delay.is_zero();
    }

    /// Sets the alarm. A span of zero disarms it.
    fn set_alarm(&mut self, span: Duration) {
        (self.alarm, self.rings) = ((!span.is_zero()).then_some(self.now + span), false);
    }

    /// Makes sources ready, and the alarm go off, if their time has come.
    fn arrive(&mut self) {
        let Self { now, arrivals, ready, .. } = self;
        arrivals.retain(|(at, source)| {
            let is_there = at <= now;
            if is_there && !ready.contains(source) {
                ready.push_back(*source);
            }
            !is_there
        });
        if self.alarm.is_some_and(|at| at <= self.now) {
            (self.alarm, self.rings) = (None, true);
        }
    }

    fn is_anything(&self) -> bool {
        !self.ready.is_empty() || self.rings || self.woken
    }

    /// Waits like epoll and kqueue: finds at most `room` events, and moves the sources that it has found to the end.
    fn wait(&mut self, room: usize, timeout: Option<Duration>) -> io::Result<Vec<Found>> {
        self.delay();
        self.arrive();
        if self.interrupts.pop_front() == Some(true) {
            self.interrupted += 1;
            return Err(io::ErrorKind::Interrupted.into());
        }
        if !self.is_anything() && timeout != Some(Duration::ZERO) {
            let next = self.arrivals.iter().map(|(at, _)| *at).chain(self.alarm);
            let end = next.chain(timeout.map(|timeout| self.now + timeout)).min();
            let end = end.ok_or_else(|| io::Error::other("the process sleeps for ever"))?;
            self.sleeps.push((self.now, end));
            self.now = end;
            self.arrive();
        }
        let mut found = Vec::new();
        if self.rings {
            found.push(Found::Alarm);
            (self.rings, self.rung) = (false, self.rung + 1);
        }
        if self.woken && found.len() < room {
            found.push(Found::Waker);
        }
        let count = self.ready.len().min(room - found.len());
        found.extend(self.ready.range(..count).copied().map(Found::Source));
        self.ready.rotate_left(count);
        Ok(found)
    }
}

/// The calls of each backend, in this world.
#[derive(Clone)]
struct Handle {
    world: Rc<RefCell<World>>,
    /// The events that the last wait found, and its capacity.
    found: Vec<Found>,
    room: usize,
    bug: Option<Bug>,
}

impl Handle {
    fn new(world: &Rc<RefCell<World>>) -> Self {
        Self { world: Rc::clone(world), found: Vec::new(), room: ROOM, bug: None }
    }

    fn sources(&self) -> impl Iterator<Item = usize> {
        self.found.iter().filter_map(|found| match found {
            Found::Source(index) => Some(*index),
            Found::Alarm | Found::Waker => None,
        })
    }
}

impl Wake for Handle {
    fn wake(&self) {
        self.world.borrow_mut().woken = true;
    }
}

#[cfg(target_os = "linux")]
impl epoll::Calls for Handle {
    fn wait(&mut self, events: &mut Vec<linux::Event>, timeout: Option<Duration>) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        let mut found = world.wait(events.capacity(), timeout)?;
        if self.bug == Some(Bug::LostAlarm) && found.contains(&Found::Waker) {
            found.retain(|found| *found != Found::Alarm);
        }
        let flags = linux::EventFlags::IN;
        // The waker is edge-triggered: it is reported once.
        world.woken &= !found.contains(&Found::Waker);
        events.extend(found.iter().map(|found| {
            let number = match found {
                Found::Source(index) => *index as u64,
                Found::Alarm => epoll::ALARM,
                Found::Waker => epoll::WAKER,
            };
            linux::Event { flags, data: linux::EventData::new_u64(number) }
        }));
        Ok(())
    }

    fn set_alarm(&mut self, span: Duration) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        world.delay();
        world.set_alarm(span);
        Ok(())
    }
}

impl portable::Calls for Handle {
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        self.found = world.wait(self.room, timeout)?;
        // `polling` clears its notifier itself.
        world.woken &= !self.found.contains(&Found::Waker);
        Ok(())
    }

    fn room(&self) -> usize {
        self.room
    }

    fn grow(&mut self) {
        self.room *= 2;
    }

    fn found(&self) -> impl Iterator<Item = (usize, Readiness)> {
        self.sources().map(|index| (index, Interest::RECV))
    }
}

#[cfg(target_os = "linux")]
impl kqueue::Calls for Handle {
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.found = self.world.borrow_mut().wait(self.room, timeout)?;
        Ok(())
    }

    fn room(&self) -> usize {
        self.room
    }

    fn grow(&mut self) {
        self.room *= 2;
    }

    fn found(&self) -> impl Iterator<Item = kqueue::Event> {
        let wakers = self.found.iter().filter(|found| **found == Found::Waker).map(|_| kqueue::WAKER);
        let keys = self.sources().map(|index| index << 1 | 1).chain(wakers);
        keys.map(|key| kqueue::Event { key, filter: kqueue::Filter::Read, is_over: false, is_broken: false })
    }

    fn clear_waker(&mut self) {
        if self.bug != Some(Bug::WokenForEver) {
            self.world.borrow_mut().woken = false;
        }
    }
}

/// A step of a test case.
#[derive(Clone, Debug)]
enum Step {
    /// A poll, or a wait until a time in the future. The sources that are found stay ready.
    Look,
    Wait(Duration),
    /// A wait until a deadline that has passed by the given time.
    WaitLate(Duration),
    WaitForEver,
    /// Time that passes before a wait, or at one of the next reads of the clock.
    Pass(Duration),
    Jump(usize, Duration),
    /// Time that passes after a read of the clock, before the system waits. Only an alarm compensates for it.
    Delay(usize, Duration),
    /// An interruption of one of the next waits.
    Interrupt(usize),
    Notify,
    /// The given number of sources become ready after a time.
    Arrive(usize, Duration),
    /// The given number of sources are no longer ready.
    Consume(usize),
}

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0_u64..3).prop_map(Duration::from_nanos),
        (0_u64..3_000).prop_map(Duration::from_micros),
        (0_u64..40).prop_map(Duration::from_millis),
        (0_u64..40_000).prop_map(Duration::from_secs),
        Just(Duration::from_secs(60 * 60 * 24 * 365 * 400)),
    ]
}

fn short() -> impl Strategy<Value = Duration> {
    (0_u64..60_000).prop_map(Duration::from_micros)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Look),
        6 => span().prop_map(Step::Wait),
        1 => short().prop_map(Step::WaitLate),
        1 => Just(Step::WaitForEver),
        2 => short().prop_map(Step::Pass),
        3 => (0_usize..4, prop_oneof![short(), (0_u64..20_000).prop_map(Duration::from_secs)])
            .prop_map(|(at, jump)| Step::Jump(at, jump)),
        1 => (0_usize..4, (0_u64..20_000).prop_map(Duration::from_secs))
            .prop_map(|(at, delay)| Step::Delay(at, delay)),
        2 => (0_usize..4).prop_map(Step::Interrupt),
        2 => Just(Step::Notify),
        3 => (0_usize..20, prop_oneof![Just(Duration::ZERO), short()])
            .prop_map(|(count, after)| Step::Arrive(count, after)),
        2 => (0_usize..20).prop_map(Step::Consume),
    ]
}

/// Generates the busy-polling span and the steps of a test case.
fn story() -> impl Strategy<Value = (Duration, Vec<Step>)> {
    let busy = prop_oneof![
        2 => Just(Duration::ZERO),
        1 => (0_u64..400).prop_map(Duration::from_micros),
    ];
    (busy, prop::collection::vec(step(), 0..40))
}

/// A backend in the world, and the expected state.
struct Run<B> {
    world: Rc<RefCell<World>>,
    waiting: Waiting<B, Handle>,
    notified: bool,
    next_source: usize,
    /// The maximum lateness of a wait if time has passed between the last read of the clock and the wait, or `None` if
    /// its lateness is not limited.
    slack: Option<Duration>,
}

impl<B: wait::System> Run<B> {
    fn take(&mut self, step: &Step) -> TestCaseResult {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let at = |moment: Duration| Until::At(Instant::ZERO + moment);
        let until = match *step {
            Step::Look => Until::Now,
            Step::Wait(span) => at(now + span),
            Step::WaitLate(span) => at(now.saturating_sub(span)),
            Step::WaitForEver => Until::Ever,
            Step::Pass(span) => {
                world.now += span;
                return Ok(());
            }
            Step::Jump(place, span) => {
                let enough = world.jumps.len().max(place + 1);
                world.jumps.resize(enough, Duration::ZERO);
                world.jumps[place] += span;
                return Ok(());
            }
            Step::Delay(place, span) => {
                let enough = world.delays.len().max(place + 1);
                world.delays.resize(enough, Duration::ZERO);
                world.delays[place] = self.slack.map_or(Duration::ZERO, |_| span);
                return Ok(());
            }
            Step::Interrupt(place) => {
                let enough = world.interrupts.len().max(place + 1);
                world.interrupts.resize(enough, false);
                world.interrupts[place] = true;
                return Ok(());
            }
            Step::Notify => {
                drop(world);
                self.notified = true;
                self.waiting.notice.notify();
                return Ok(());
            }
            Step::Arrive(count, after) => {
                for _ in 0..count {
                    self.next_source += 1;
                    world.arrivals.push((now + after, self.next_source));
                }
                return Ok(());
            }
            Step::Consume(count) => {
                let count = count.min(world.ready.len());
                world.ready.drain(..count);
                return Ok(());
            }
        };
        world.arrive();
        let something = world.is_anything() || !world.arrivals.is_empty() || world.alarm.is_some();
        let is_endless =
            until == Until::Ever || matches!(until, Until::At(deadline) if deadline == Instant::NEVER);
        if is_endless && !something {
            return Ok(());
        }
        drop(world);
        self.wait(until)
    }

    fn wait(&mut self, until: Until) -> TestCaseResult {
        let (began, ready, ends_early) = {
            let mut world = self.world.borrow_mut();
            world.sleeps.clear();
            world.is_late = false;
            (world.now, Vec::from_iter(world.ready.iter().copied()), world.interrupted + world.rung)
        };
        let mut reported = Vec::new();
        let world = Rc::clone(&self.world);
        let clock = || Instant::ZERO + world.borrow_mut().read_clock();
        let notified = self.waiting.wait(until, clock, |index, _| reported.push(index));
        let notified = notified.map_err(|error| TestCaseError::fail(error.to_string()))?;

        let world = self.world.borrow();
        prop_assert_eq!(notified, self.notified, "a notification is reported once, by the next wait");
        let deadline = match until {
            Until::Now => Some(began),
            Until::At(moment) => Some(Duration::from_nanos(moment.as_nanos())),
            Until::Ever => None,
        };
        for (from, to) in &world.sleeps {
            prop_assert!(!notified && ready.is_empty(), "it slept although there was something to report");
            if let Some(deadline) = deadline {
                let slack = self.slack.filter(|_| world.is_late);
                let latest = slack.map_or(deadline, |slack| deadline.max(*from) + slack);
                prop_assert!(*to <= latest, "it slept until {to:?}, but the deadline was {deadline:?}");
            }
        }
        let mut twice = reported.clone();
        twice.sort_unstable();
        twice.dedup();
        prop_assert_eq!(twice.len(), reported.len(), "a source is reported once");
        let missed = ready.iter().find(|source| !reported.contains(source));
        prop_assert!(missed.is_none(), "{missed:?} was ready, but is not reported");
        let is_interrupted = world.interrupted + world.rung > ends_early;
        let is_long = world.sleeps.iter().any(|(from, to)| *to - *from >= LONGEST);
        let may_be_early = is_interrupted || is_long || notified || !reported.is_empty();
        let is_early = deadline.is_none_or(|deadline| world.now < deadline);
        prop_assert!(may_be_early || !is_early, "a wait ended early without a reason");
        self.notified = false;
        Ok(())
    }
}

/// Runs the steps on a backend that `make` creates.
fn tell<B: wait::System>(
    (busy_poll, steps): &(Duration, Vec<Step>),
    slack: Option<Duration>,
    make: impl FnOnce(Handle) -> B,
) -> TestCaseResult {
    let world = Rc::new(RefCell::new(World { now: Duration::from_secs(1), ..World::default() }));
    let handle = Handle::new(&world);
    let waiting = Waiting::new(make(handle.clone()), handle, *busy_poll);
    let mut run = Run { world, waiting, notified: false, next_source: 0, slack };
    steps.iter().try_for_each(|step| run.take(step))
}

proptest! {
    #![proptest_config(Config { cases: 500, ..Config::default() })]

    #[cfg(target_os = "linux")]
    #[test]
    fn epoll_keeps_the_contract(story in story()) {
        tell(&story, Some(epoll::LONG), |handle| epoll::Backend::with(handle, ROOM))?;
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn kqueue_keeps_the_contract(story in story()) {
        tell(&story, None, kqueue::Backend::with)?;
    }

    #[test]
    fn the_portable_backend_keeps_the_contract(story in story()) {
        tell(&story, None, portable::Backend::with)?;
    }
}

/// A bug that a backend could have. Some of these bugs existed once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    /// No bug.
    None,
    /// The backend trusts the caller's time, and sets the alarm for a span, which disarms the alarm if it is zero.
    StaleNow,
    /// An interrupted poll is not repeated.
    CutShort,
    /// A poll whose capacity was too small is not repeated.
    NoRoom,
    /// The waker is never cleared.
    WokenForEver,
    /// An alarm that goes off together with a notification is not reported.
    LostAlarm,
    /// A wait ends after a span, not at a time.
    Span,
}

/// A backend with a bug.
struct Planted<S> {
    inner: S,
    bug: Bug,
    world: Rc<RefCell<World>>,
    /// The time that the caller assumes, and the time for which the alarm is set.
    now: Instant,
    set_for: Instant,
}

impl<S> Planted<S> {
    fn new(bug: Bug, mut handle: Handle, make: impl FnOnce(Handle) -> S) -> Self {
        let world = Rc::clone(&handle.world);
        let now = Instant::ZERO + world.borrow().now;
        handle.bug = Some(bug);
        Self { inner: make(handle), bug, world, now, set_for: Instant::NEVER }
    }

    fn stale(&mut self, deadline: Instant, clock: &impl Fn() -> Instant) -> Option<Duration> {
        let is_long = deadline.since(self.now) >= Duration::from_millis(10);
        if is_long && self.now < self.set_for && self.set_for <= deadline {
            return None;
        }
        let left = deadline.since(clock());
        if !is_long {
            return Some(left);
        }
        self.world.borrow_mut().set_alarm(left);
        self.set_for = deadline;
        None
    }
}

impl<S: wait::System> wait::System for Planted<S> {
    fn timeout(&mut self, deadline: Instant, clock: &impl Fn() -> Instant) -> io::Result<Option<Duration>> {
        match self.bug {
            Bug::StaleNow => Ok(self.stale(deadline, clock)),
            Bug::Span => Ok(Some(deadline.since(clock()))),
            _ => self.inner.timeout(deadline, clock),
        }
    }

    fn fill(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let rung = self.world.borrow().rung;
        let filled = self.inner.fill(timeout);
        if self.world.borrow().rung > rung {
            self.set_for = Instant::NEVER;
        }
        match self.bug {
            Bug::CutShort if filled.is_err() => Ok(false),
            Bug::NoRoom => filled.map(|_| false),
            _ => filled,
        }
    }

    fn tell(&mut self, ready: &mut impl FnMut(usize, Readiness)) -> usize {
        let count = self.inner.tell(ready);
        self.now = Instant::ZERO + self.world.borrow().now;
        count
    }
}

/// Returns true if the test cases find the bug.
fn is_found<S: wait::System>(bug: Bug, slack: Option<Duration>, make: impl Fn(Handle) -> S) -> bool {
    let config = Config { cases: 1000, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let luck = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let planted = |story| tell(&story, slack, |handle| Planted::new(bug, handle, &make));
    TestRunner::new_with_rng(config, luck).run(&story(), planted).is_err()
}

#[cfg(target_os = "linux")]
#[test]
fn bugs_that_are_planted_in_epoll_are_found() {
    for bug in [Bug::None, Bug::StaleNow, Bug::CutShort, Bug::NoRoom, Bug::LostAlarm, Bug::Span] {
        let make = |handle| epoll::Backend::with(handle, ROOM);
        assert_eq!(is_found(bug, Some(epoll::LONG), make), bug != Bug::None, "{bug:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn bugs_that_are_planted_in_kqueue_are_found() {
    for bug in [Bug::None, Bug::CutShort, Bug::NoRoom, Bug::WokenForEver] {
        assert_eq!(is_found(bug, None, kqueue::Backend::with), bug != Bug::None, "{bug:?}");
    }
}
