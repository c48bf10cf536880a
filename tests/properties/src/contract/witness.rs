//! The guarantees that a driver gives its guest, whatever the guest answers.

use std::collections::{BTreeMap, BTreeSet};

use sinbin::driven::{Command, ConnectId, Event, LISTEN, SourceHandle, TurnOutput};
use sinbin::{Interest, JobId};

/// A guest's view of its sources.
pub struct Witness {
    block: u32,
    room: u32,
    /// The sources by their handles.
    sources: BTreeMap<u64, Source>,
    jobs: BTreeSet<JobId>,
    /// The numbers of requests, each with how often it was used since the guest abandoned it.
    requests: BTreeMap<ConnectId, u32>,
    /// The numbers that were ever used to request a listener.
    of_listeners: BTreeSet<ConnectId>,
}

struct Source {
    /// True if the driver has given this listener to the guest.
    listens: bool,
    /// True if the guest may have requested this source as a listener.
    may_listen: bool,
    interest: Interest,
    has_ended: bool,
}

impl Witness {
    /// Creates the witness of a guest that accepts `block` bytes of a source in a turn.
    pub fn new(block: u32) -> Self {
        Self {
            block,
            room: 0,
            sources: BTreeMap::new(),
            jobs: BTreeSet::new(),
            requests: BTreeMap::new(),
            of_listeners: BTreeSet::new(),
        }
    }

    /// Returns an existing source.
    pub fn nth(&self, number: usize) -> Option<SourceHandle> {
        let number = number.checked_rem(self.sources.len())?;
        self.sources.keys().nth(number).copied().map(SourceHandle)
    }

    /// Checks events of the driver.
    pub fn hear(&mut self, events: &[Event], input: &[u8]) {
        let mut left = input.len();
        let mut take =
            |len: u32| left = left.checked_sub(len as usize).expect("the input has this many bytes");
        let mut received = BTreeSet::new();
        for event in events {
            match *event {
                Event::Listener(handle) => self.introduce(handle, true),
                Event::Accepted { listener, connection, len } => {
                    take(len);
                    let source = self.source(listener);
                    assert!(source.listens || source.may_listen, "only listeners accept connections");
                    self.room = self.room.checked_sub(1).expect("no more connections than the capacity");
                    self.introduce(connection, false);
                }
                Event::Received { source, len } => {
                    take(len);
                    assert!(
                        len > 0 && len <= self.block,
                        "{len} bytes of a source that takes {}",
                        self.block
                    );
                    assert!(received.insert(source.0), "one piece of each source in a turn");
                    let source = self.connection(source);
                    assert!(source.interest.contains(Interest::RECV), "the guest does not wait for input");
                }
                Event::Ended(source) => {
                    let source = self.connection(source);
                    assert!(!std::mem::replace(&mut source.has_ended, true), "a stream ends once");
                }
                Event::Hangup(source) => {
                    let source = self.connection(source);
                    assert!(
                        source.interest.contains(Interest::HANGUP),
                        "the guest does not wait for a hangup"
                    );
                }
                Event::Writable(source)
                | Event::Stuck(source)
                | Event::Failed(source)
                | Event::Idle(source) => {
                    self.connection(source);
                }
                Event::Computed { job, len } => {
                    take(len);
                    assert!(self.jobs.contains(&job), "a job that was submitted");
                }
                Event::Lost(job) => assert!(self.jobs.contains(&job), "a job that was submitted"),
                Event::Connected { request, source, len } => {
                    take(len);
                    self.answered(request);
                    self.introduce(source, false);
                    self.source(source).may_listen = self.of_listeners.contains(&request);
                }
                Event::ConnectFailed { request, .. } => self.answered(request),
                Event::Entropy { len } => take(len),
                _ => {}
            }
        }
        assert_eq!(left, 0, "every byte belongs to an event");
    }

    fn answered(&mut self, request: ConnectId) {
        let asked = self.requests.get_mut(&request).expect("a request that was not abandoned");
        *asked = asked.checked_sub(1).expect("one answer for each request");
    }

    fn introduce(&mut self, handle: SourceHandle, listens: bool) {
        let new = Source { listens, may_listen: false, interest: Interest::NONE, has_ended: false };
        assert!(self.sources.insert(handle.0, new).is_none(), "{handle:?} exists already");
    }

    fn source(&mut self, handle: SourceHandle) -> &mut Source {
        self.sources.get_mut(&handle.0).unwrap_or_else(|| panic!("{handle:?} does not exist"))
    }

    fn connection(&mut self, handle: SourceHandle) -> &mut Source {
        let source = self.source(handle);
        assert!(!source.listens, "{handle:?} is a listener");
        source
    }

    /// Records an answer of the guest.
    pub fn see(&mut self, answer: &TurnOutput) {
        self.room = answer.room;
        let mut output = &answer.output[..];
        for command in &answer.commands {
            // A guest may announce more bytes than it has put out.
            let bytes = match *command {
                Command::Send { len, .. }
                | Command::Submit { len, .. }
                | Command::Log { len, .. }
                | Command::Connect { len, .. } => output.split_off(..len as usize),
                _ => None,
            };
            match *command {
                Command::Watch { source, interest } => {
                    self.sources.entry(source.0).and_modify(|source| source.interest = interest);
                }
                // The host keeps a listener that the guest closes, and only stops accepting from it.
                Command::Close(handle) => self.sources.retain(|id, source| *id != handle.0 || source.listens),
                Command::Submit { job, .. } => drop(self.jobs.insert(job)),
                Command::Connect { request, .. } => {
                    *self.requests.entry(request).or_default() += 1;
                    if bytes.is_some_and(|text| text.starts_with(LISTEN.as_bytes())) {
                        self.of_listeners.insert(request);
                    }
                }
                Command::Abandon(request) => drop(self.requests.remove(&request)),
                _ => {}
            }
        }
    }
}
