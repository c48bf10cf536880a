//! The guarantees that a driven loop gives its driver, whatever the driver sends.

use std::collections::{BTreeMap, BTreeSet};

use sinbin_core::driven::{Command, Event, SourceHandle, TurnOutput};
use sinbin_core::fib::FibJob;
use sinbin_core::job::WireJob;
use sinbin_core::{Interest, JobId};

/// The history of a driven loop, and the effects that are still possible.
#[derive(Default)]
pub struct Watcher {
    /// Everything that was introduced and not closed since, by handle.
    sources: BTreeMap<u64, Source>,
    /// The jobs that are to be computed.
    jobs: BTreeSet<JobId>,
    /// The number of events that the driver has sent.
    pub told: u64,
    /// The number of further connections that the loop accepts, as far as the driver knows.
    room: u32,
    /// True if there were more connections than that, which may wait for ever.
    pub is_overrun: bool,
}

#[derive(Default)]
struct Source {
    /// The number of introductions. After two of them, the loop may take the second one for another source, and close
    /// both.
    introduced: u32,
    /// The interest of the loop, or `None` before the first `Watch`. With `Some` the loop certainly knows the source.
    watched: Option<Interest>,
    is_stuck: bool,
    has_failed: bool,
    /// The length of the longest piece of this turn.
    received: u32,
    /// The number of bytes that were sent in this turn.
    sent: usize,
}

impl Watcher {
    /// Creates the watcher of a loop with capacity for `tasks` tasks.
    pub fn new(tasks: usize) -> Self {
        Self { room: u32::try_from(tasks).unwrap_or(u32::MAX), ..Self::default() }
    }

    /// Returns the jobs that the loop has submitted.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.jobs.iter().copied()
    }

    /// Returns the handles that may name a source.
    pub fn handles(&self) -> impl Iterator<Item = SourceHandle> {
        self.sources.keys().copied().map(SourceHandle)
    }

    /// Records events of the driver.
    pub fn hear(&mut self, events: &[Event], input: &[u8]) {
        for source in self.sources.values_mut() {
            (source.received, source.sent) = (0, 0);
        }
        self.told += events.len() as u64;
        let mut left = input.len();
        // An event whose bytes are missing has no effect.
        let mut take = |len: u32| left.checked_sub(len as usize).map(|rest| left = rest).is_some();
        for event in events {
            match *event {
                Event::Listener(handle) => self.introduce(handle),
                Event::Accepted { connection, len, .. } => {
                    take(len);
                    self.introduce(connection);
                }
                // The services request no connection, so the loop closes it at once.
                Event::Connected { source, len, .. } => {
                    take(len);
                    self.name(source);
                }
                Event::Received { source, len } if take(len) => {
                    self.tell(source, |source| source.received = source.received.max(len));
                }
                Event::Computed { job, len } if take(len) => drop(self.jobs.remove(&job)),
                Event::Lost(job) => drop(self.jobs.remove(&job)),
                // An event has no effect on a source that the loop does not know yet.
                Event::Stuck(handle) => {
                    self.tell(handle, |source| source.is_stuck = source.watched.is_some());
                }
                Event::Failed(handle) => {
                    self.tell(handle, |source| source.has_failed = source.watched.is_some());
                }
                Event::Writable(handle) => self.tell(handle, |source| source.is_stuck = false),
                _ => {}
            }
        }
    }

    /// Records a new source. A connection needs a task, and so does a listener.
    fn introduce(&mut self, handle: SourceHandle) {
        self.is_overrun |= self.room == 0;
        self.room = self.room.saturating_sub(1);
        self.name(handle);
    }

    fn name(&mut self, handle: SourceHandle) {
        self.sources.entry(handle.0).or_default().introduced += 1;
    }

    fn tell(&mut self, handle: SourceHandle, what: impl FnOnce(&mut Source)) {
        if let Some(source) = self.sources.get_mut(&handle.0) {
            what(source);
        }
    }

    /// Checks an answer of the loop.
    pub fn see(&mut self, answer: &TurnOutput, window: usize) {
        let mut output = &answer.output[..];
        let mut next = |len: u32| output.split_off(..len as usize).expect("the output has this many bytes");
        for command in &answer.commands {
            match *command {
                Command::Send { source, len } => {
                    next(len);
                    self.source(source).send(len as usize, window);
                }
                Command::Submit { job, len } => {
                    assert!(FibJob::decode(next(len)).is_some(), "a job can be computed elsewhere");
                    assert!(self.jobs.insert(job), "{job} exists already");
                }
                Command::Cancel(job) => assert!(self.jobs.remove(&job), "{job} does not exist"),
                Command::Watch { source, interest } => {
                    let before = self.source(source).watched.replace(interest);
                    assert_ne!(before.unwrap_or_default(), interest, "{source:?} already has this interest");
                }
                Command::Unread { source, len } => {
                    let received = self.source(source).received;
                    assert!(len <= received, "{source:?} received no such piece");
                }
                Command::Close(source) => self.close(source),
                other => panic!("the services never send {other:?}"),
            }
        }
        assert!(output.is_empty(), "every byte belongs to a command");
        self.room = answer.room;
    }

    fn source(&mut self, handle: SourceHandle) -> &mut Source {
        self.sources.get_mut(&handle.0).unwrap_or_else(|| panic!("{handle:?} does not exist"))
    }

    fn close(&mut self, handle: SourceHandle) {
        let Source { introduced, received, .. } = *self.source(handle);
        self.sources.remove(&handle.0);
        if introduced > 1 {
            let next = Source { introduced: introduced - 1, received, ..Source::default() };
            self.sources.insert(handle.0, next);
        }
    }
}

impl Source {
    fn send(&mut self, len: usize, window: usize) {
        assert!(!self.is_stuck, "no output for a stuck source");
        assert!(!self.has_failed, "no output for a failed source");
        self.sent += len;
        assert!(self.sent <= window, "no more than the window");
    }
}
