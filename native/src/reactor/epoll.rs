//! Waiting on the poller's own epoll descriptor: one system call, where `Poller::wait` makes five.

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

/// The key of the waker. No source has it as its index, nor the two others.
pub(super) const WAKER: u64 = ALARM - 1;

/// The key of the alarm. The one above it is `polling`'s, for a notifier of its own that is not used here.
pub(super) const ALARM: u64 = usize::MAX as u64 - 1;

/// A wait that may be longer than this is ended by the alarm. A timeout of the wait itself costs the system
/// a timer each time, where the alarm, set once, serves as many waits as come before it.
pub(super) const LONG: Duration = Duration::from_millis(10);

/// The longest span for the system. Nobody waits longer than 34 years, nor does every clock count further.
const LONGEST: Duration = Duration::from_secs(1 << 30);

/// The system calls of the backend.
pub(super) trait Calls {
    /// Waits for events, in the room that `events` has, for so long at the most.
    fn wait(&mut self, events: &mut Vec<epoll::Event>, timeout: Option<Duration>) -> io::Result<()>;

    /// Sets the alarm, which then goes off after the span, and not when it was set for before. A span of nothing would
    /// disarm it.
    fn set_alarm(&mut self, span: Duration) -> io::Result<()>;
}

pub(super) struct Backend<C = Linux> {
    calls: C,
    events: Vec<epoll::Event>,
    /// The moment by which the alarm goes off, or shortly after, unless it has gone off and that is not seen yet;
    /// never, if it is not set.
    alarm_by: Instant,
}

impl Backend {
    /// Creates a backend whose waits have room for so many events at first, with its waker and its registry.
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

    /// Has the alarm end a wait until `deadline`, unless that is soon: then that is its timeout.
    #[cold]
    fn set_alarm(&mut self, deadline: Instant, clock: &impl Fn() -> Instant) -> io::Result<Option<Duration>> {
        let mut now = clock();
        loop {
            let left = deadline.since(now);
            if left < LONG {
                return Ok(Some(left));
            }
            self.calls.set_alarm(left.min(LONGEST))?;
            // The process may have stood still between the look at the clock and the call: by as much it is late.
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
        // An alarm that goes off early ends a wait early, and is set anew then.
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
    /// Makes room for twice as many events. Those that there are will be found again, but for the alarm, which is
    /// reported once.
    #[cold]
    fn grow(&mut self) {
        if self.events.iter().any(|event| event.data.u64() == ALARM) {
            self.alarm_by = Instant::NEVER;
        }
        self.events.reserve(self.events.capacity() + 1);
    }
}

/// Ends a wait by an eventfd.
#[derive(Debug)]
pub(super) struct Waker(OwnedFd);

impl Wake for Waker {
    fn wake(&self) {
        // The counter has room for more than anybody can add.
        rustix::io::write(&self.0, &1_u64.to_ne_bytes()).ok();
    }
}

/// The system as it is.
pub(super) struct Linux {
    registry: Registry,
    /// A timer that makes a wait end.
    alarm: OwnedFd,
}

impl Linux {
    fn new(registry: Registry, waker: &Waker) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let alarm = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // Edge-triggered: each time that one of them goes off is reported once, and need not be read.
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
    if flags.intersects(Flags::HUP | Flags::ERR) {
        readiness = readiness | Interest::HANGUP;
    }
    readiness
}
