//! What a driver can hold a driven loop to, whatever it said itself.

use std::collections::{BTreeMap, BTreeSet};

use sinbin_core::driven::{Command, Event, SourceHandle, TurnOutput};
use sinbin_core::fib::FibJob;
use sinbin_core::{Interest, JobId, WireJob};

/// What was said, and what may come of it.
#[derive(Default)]
pub struct Watcher {
    /// By their handles, everything that was introduced and not closed since.
    sources: BTreeMap<u64, Source>,
    /// Those that are to be computed.
    jobs: BTreeSet<JobId>,
    /// Events that the driver told of.
    pub told: u64,
    /// How many connections there is room for, as far as the driver knows.
    room: u32,
    /// More came than that, and may wait for ever.
    pub is_overrun: bool,
}

#[derive(Default)]
struct Source {
    /// How often it was introduced: if twice, the loop may take the second for another one, and close both.
    introduced: u32,
    /// What the loop wants of it; if anything, it surely has it.
    watched: Option<Interest>,
    is_stuck: bool,
    has_failed: bool,
    /// The longest piece of this turn.
    received: u32,
    /// In this turn.
    sent: usize,
}

impl Watcher {
    /// Of a loop with so many tasks.
    pub fn new(tasks: usize) -> Self {
        Self { room: u32::try_from(tasks).unwrap_or(u32::MAX), ..Self::default() }
    }

    /// The jobs that the loop wants computed.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.jobs.iter().copied()
    }

    /// The handles that may name something.
    pub fn handles(&self) -> impl Iterator<Item = SourceHandle> {
        self.sources.keys().copied().map(SourceHandle)
    }

    /// The driver says this.
    pub fn hear(&mut self, events: &[Event], input: &[u8]) {
        for source in self.sources.values_mut() {
            (source.received, source.sent) = (0, 0);
        }
        self.told += events.len() as u64;
        let mut left = input.len();
        // Bytes that are not there make an event mean nothing.
        let mut take = |len: u32| left.checked_sub(len as usize).map(|rest| left = rest).is_some();
        for event in events {
            match *event {
                Event::Listener(handle) => self.introduce(handle),
                Event::Accepted { connection, len, .. } => {
                    take(len);
                    self.introduce(connection);
                }
                Event::Received { source, len } if take(len) => {
                    self.tell(source, |source| source.received = source.received.max(len));
                }
                Event::Computed { job, len } if take(len) => drop(self.jobs.remove(&job)),
                Event::Lost(job) => drop(self.jobs.remove(&job)),
                // What the loop does not have yet it can't be told about.
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

    /// A connection needs a task, and so does a listener.
    fn introduce(&mut self, handle: SourceHandle) {
        self.is_overrun |= self.room == 0;
        self.room = self.room.saturating_sub(1);
        self.sources.entry(handle.0).or_default().introduced += 1;
    }

    fn tell(&mut self, handle: SourceHandle, what: impl FnOnce(&mut Source)) {
        if let Some(source) = self.sources.get_mut(&handle.0) {
            what(source);
        }
    }

    /// The loop answers that.
    pub fn see(&mut self, answer: &TurnOutput, window: usize) {
        let mut output = &answer.output[..];
        let mut next = |len: u32| output.split_off(..len as usize).expect("as many bytes as were put out");
        for command in &answer.commands {
            match *command {
                Command::Send { source, len } => {
                    next(len);
                    self.source(source).send(len as usize, window);
                }
                Command::Submit { job, len } => {
                    assert!(FibJob::decode(next(len)).is_some(), "a job can be computed elsewhere");
                    assert!(self.jobs.insert(job), "{job} is there already");
                }
                Command::Cancel(job) => assert!(self.jobs.remove(&job), "{job} is not there"),
                Command::Watch { source, interest } => {
                    let before = self.source(source).watched.replace(interest);
                    assert_ne!(before.unwrap_or_default(), interest, "{source:?} is watched so already");
                }
                Command::Unread { source, len } => {
                    let received = self.source(source).received;
                    assert!(len <= received, "{source:?} had no such piece");
                }
                Command::Close(source) => self.close(source),
                other => panic!("the services never say {other:?}"),
            }
        }
        assert!(output.is_empty(), "every byte belongs to a command");
        self.room = answer.room;
    }

    fn source(&mut self, handle: SourceHandle) -> &mut Source {
        self.sources.get_mut(&handle.0).unwrap_or_else(|| panic!("{handle:?} is not there"))
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
        assert!(!self.is_stuck, "nothing is sent to who is stuck");
        assert!(!self.has_failed, "nothing is sent to who has failed");
        self.sent += len;
        assert!(self.sent <= window, "no more than the window");
    }
}
