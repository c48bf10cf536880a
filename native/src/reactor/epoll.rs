//! The epoll backend. It waits on the poller's own epoll descriptor, with one system call instead of the five of
//! `Poller::wait`.

use std::io;
use std::time::Duration;

use polling::Poller;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use sinbin_core::{Instant, Interest, Readiness};

use super::Wake;
use super::wait::System;

pub(crate) use super::register::Registry;

/// True if the end of the input is reported as [`Interest::HANGUP`] to watchers.
pub(crate) const REPORTS_END: bool = true;

/// The key of the waker. No source has this key or one of the two above it as its index.
pub(super) const WAKER: u64 = ALARM - 1;

/// The key of the alarm. The next key belongs to the notifier of `polling`, which is not used here.
pub(super) const ALARM: u64 = usize::MAX as u64 - 1;

/// The shortest wait that the alarm ends. A timeout of the wait itself costs the system a timer for each wait, while an
/// alarm that is set once serves all waits before it.
pub(super) const LONG: Duration = Duration::from_millis(10);

/// The longest span for which the alarm is set (34 years). Not every clock supports longer ones.
const LONGEST: Duration = Duration::from_secs(1 << 30);

/// The system calls of the backend.
pub(super) trait Calls {
    /// Waits for at most `timeout`, and stores events in the spare capacity of `events`.
    fn wait(&mut self, events: &mut Vec<epoll::Event>, timeout: Option<Duration>) -> io::Result<()>;

    /// Sets the alarm to go off after `span`, and cancels its previous setting. A span of zero would disarm it.
    fn set_alarm(&mut self, span: Duration) -> io::Result<()>;
}

pub(super) struct Backend<C = Linux> {
    calls: C,
    events: Vec<epoll::Event>,
    /// The time by which the alarm goes off, or shortly after it. [`Instant::NEVER`] if the alarm is not set. If the
    /// alarm has gone off and was not reported yet, the time is in the past.
    alarm_by: Instant,
}

impl Backend {
    /// Creates a backend whose waits have an initial capacity of `room` events, with its waker and its registry.
    pub(super) fn new(room: usize) -> io::Result<(Self, Waker, Registry)> {
        let registry = Registry::new()?;
        let waker = Waker(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let calls = Linux::new(registry.clone(), &waker)?;
        Ok((Self::with(calls, room), waker, registry))
    }
}

impl<C: Calls> Backend<C> {
    pub(super) fn with(calls: C, room: usize) -> Self {
        Self { calls, events: Vec::with_capacity(room), alarm_by: Instant::NEVER }
    }

    /// Sets the alarm to end a wait until `deadline`. If the deadline is near, returns the timeout for the wait
    /// instead.
    #[cold]
    fn set_alarm(&mut self, deadline: Instant, clock: &impl Fn() -> Instant) -> io::Result<Option<Duration>> {
        let mut now = clock();
        loop {
            let left = deadline.since(now);
            if left < LONG {
                return Ok(Some(left));
            }
            self.calls.set_alarm(left.min(LONGEST))?;
            // The process may have been suspended between reading the clock and setting the alarm. The alarm is late by
            // that time.
            let after = clock();
            if after.since(now) < LONG {
                self.alarm_by = deadline;
                return Ok(None);
            }
            self.alarm_by = after + left;
            now = after;
        }
    }
}

impl<C: Calls> System for Backend<C> {
    #[inline]
    fn timeout(&mut self, deadline: Instant, clock: &impl Fn() -> Instant) -> io::Result<Option<Duration>> {
        // An alarm that goes off early ends the wait early, and the next wait sets it again.
        if self.alarm_by <= deadline {
            return Ok(None);
        }
        let left = deadline.since(clock());
        if left < LONG {
            return Ok(Some(left));
        }
        self.set_alarm(deadline, clock)
    }

    #[inline]
    fn fill(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        self.events.clear();
        self.calls.wait(&mut self.events, timeout)?;
        let is_full = self.events.len() == self.events.capacity();
        if is_full {
            self.grow();
        }
        Ok(is_full)
    }

    #[inline]
    fn tell(&mut self, ready: &mut impl FnMut(usize, Readiness)) -> usize {
        let mut count = self.events.len();
        for event in &self.events {
            match event.data.u64() {
                WAKER => count -= 1,
                ALARM => (self.alarm_by, count) = (Instant::NEVER, count - 1),
                index => ready(usize::try_from(index).unwrap_or(usize::MAX), readiness(event.flags)),
            }
        }
        count
    }
}

impl<C> Backend<C> {
    /// Doubles the capacity for events. The next wait finds the current events again, except for the alarm, which is
    /// reported once.
    #[cold]
    fn grow(&mut self) {
        if self.events.iter().any(|event| event.data.u64() == ALARM) {
            self.alarm_by = Instant::NEVER;
        }
        self.events.reserve(self.events.capacity() + 1);
    }
}

/// Ends a wait through an eventfd.
#[derive(Debug)]
pub(super) struct Waker(OwnedFd);

impl Wake for Waker {
    fn wake(&self) {
        // The counter cannot overflow in practice.
        rustix::io::write(&self.0, &1_u64.to_ne_bytes()).ok();
    }
}

/// The real system.
pub(super) struct Linux {
    registry: Registry,
    /// The timer that ends a wait.
    alarm: OwnedFd,
}

impl Linux {
    fn new(registry: Registry, waker: &Waker) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let alarm = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // Edge-triggered: each signal of the alarm or the waker is reported once, and does not have to be read.
        let interest = epoll::EventFlags::IN | epoll::EventFlags::ET;
        let poller: &Poller = registry.poller();
        epoll::add(poller, &alarm, epoll::EventData::new_u64(ALARM), interest)?;
        epoll::add(poller, &waker.0, epoll::EventData::new_u64(WAKER), interest)?;
        Ok(Self { registry, alarm })
    }
}

impl Calls for Linux {
    #[inline]
    fn wait(&mut self, events: &mut Vec<epoll::Event>, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(timespec);
        epoll::wait(self.registry.poller(), spare_capacity(events), timeout.as_ref())?;
        Ok(())
    }

    fn set_alarm(&mut self, span: Duration) -> io::Result<()> {
        let value = Itimerspec { it_interval: Timespec::default(), it_value: timespec(span) };
        timerfd_settime(&self.alarm, TimerfdTimerFlags::empty(), &value)?;
        Ok(())
    }
}

fn timespec(span: Duration) -> Timespec {
    Timespec::try_from(span).unwrap_or_default()
}

fn readiness(flags: epoll::EventFlags) -> Readiness {
    use epoll::EventFlags as Flags;
    let mut readiness = Interest::NONE;
    if flags.intersects(Flags::IN | Flags::PRI) {
        readiness = readiness | Interest::RECV;
    }
    if flags.intersects(Flags::OUT) {
        readiness = readiness | Interest::SEND;
    }
    // Only watchers ask for the end of the input, see `Registry::watch_changes`.
    if flags.intersects(Flags::HUP | Flags::ERR | Flags::RDHUP) {
        readiness = readiness | Interest::HANGUP;
    }
    readiness
}
