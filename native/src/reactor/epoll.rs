//! Waiting on the poller's own epoll descriptor.

use std::io;
use std::time::Duration;

use polling::{Events, Poller};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use sinbin_core::{Instant, Interest, Readiness};

use super::Until;

/// Sources that one wait reports at the most.
const BATCH: usize = 1024;

/// The key under which `polling` keeps its notifier. No source has it as its index.
const NOTIFIER: u64 = usize::MAX as u64;

/// The key of the alarm; nor this one.
const ALARM: u64 = NOTIFIER - 1;

/// A wait that may be longer than this is ended by the alarm. A timeout of the wait itself costs the system
/// a timer each time, where the alarm, set once, serves as many waits as come before it.
const LONG: Duration = Duration::from_millis(10);

pub(super) struct Backend {
    events: Vec<epoll::Event>,
    alarm: Alarm,
}

impl Backend {
    pub(super) fn new(poller: &Poller) -> io::Result<Self> {
        Ok(Self { events: Vec::with_capacity(BATCH), alarm: Alarm::new(poller)? })
    }

    /// Returns how many sources were reported.
    pub(super) fn wait(
        &mut self,
        poller: &Poller,
        until: Until,
        now: Instant,
        clock: &impl Fn() -> Instant,
        ready: &mut impl FnMut(usize, Readiness),
    ) -> io::Result<usize> {
        let timeout = match until {
            Until::Now => Some(Timespec::default()),
            Until::At(deadline) => self.alarm.timeout(deadline, now, clock)?,
            Until::Ever => None,
        };
        self.events.clear();
        match epoll::wait(poller, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut count = self.events.len();
        let mut notified = false;
        for event in &self.events {
            match event.data.u64() {
                NOTIFIER => (notified, count) = (true, count - 1),
                ALARM => (self.alarm.set_for, count) = (Instant::NEVER, count - 1),
                index => ready(usize::try_from(index).unwrap_or(usize::MAX), readiness(event.flags)),
            }
        }
        if notified {
            clear_notification(poller)?;
        }
        Ok(count)
    }
}

/// A timer of the system's that makes a wait end.
struct Alarm {
    timer: OwnedFd,
    set_for: Instant,
}

impl Alarm {
    fn new(poller: &Poller) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // Edge-triggered: each time it goes off is reported once, and it need not be read.
        let interest = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(poller, &timer, epoll::EventData::new_u64(ALARM), interest)?;
        Ok(Self { timer, set_for: Instant::NEVER })
    }

    /// The timeout of a wait until `deadline`: none, where the alarm will end it.
    #[inline]
    fn timeout(
        &mut self,
        deadline: Instant,
        now: Instant,
        clock: &impl Fn() -> Instant,
    ) -> io::Result<Option<Timespec>> {
        // An alarm that goes off early ends a wait early, and is set anew then.
        if deadline.since(now) >= LONG && now < self.set_for && self.set_for <= deadline {
            return Ok(None);
        }
        let span = span(deadline.since(clock()));
        if deadline.since(now) < LONG {
            return Ok(Some(span));
        }
        let value = Itimerspec { it_interval: Timespec::default(), it_value: span };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
        self.set_for = deadline;
        Ok(None)
    }
}

/// A span for the system. Nobody waits longer than 34 years, nor does every clock count further.
fn span(span: Duration) -> Timespec {
    Timespec::try_from(span.min(Duration::from_secs(1 << 30))).unwrap_or_default()
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

/// `polling` takes its notification back when it waits itself. Sources that are ready then are ready in the
/// next wait as well.
#[cold]
fn clear_notification(poller: &Poller) -> io::Result<()> {
    poller.wait(&mut Events::new(), Some(Duration::ZERO))?;
    Ok(())
}
