//! A client and its connection, with the state of both ends.

use std::collections::VecDeque;

use sinbin_core::{Instant, Interest, Readiness, SourceId, TaskId, WaitTarget};

use crate::client_model::ClientModel;
use crate::expected::Expected;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::tally::Tally;
use crate::world::relay::Call;

/// The way in which a client leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leaves {
    /// The client waits for all answers, and then half-closes.
    Answered,
    /// The client half-closes, and then waits for the answers that it expects.
    HalfClosed,
    /// The client resets the connection after it has sent and received this many bytes in total.
    Reset(u64),
    /// The client stays until the server closes the connection.
    Never,
    /// A script decides, as for all other actions.
    AsTold,
}

/// The phase of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// The client has not connected yet.
    Away,
    /// The connection is in the backlog, or accepted.
    Connected,
    /// Both ends have closed the connection.
    Over,
}

/// A client and its connection.
pub(crate) struct Peer<T> {
    pub(crate) client_model: T,
    pub(crate) expected: Expected,
    pub(crate) phase: Phase,
    leaves: Leaves,
    /// The number of requests that are still to come, and the text of the present one.
    requests: u32,
    script: Vec<u8>,
    said: usize,
    /// The number of bytes that the client has sent and received.
    pub(crate) moved: u64,
    /// The client does nothing before this time.
    pub(crate) asleep_until: u64,
    /// True if an event of this client is scheduled.
    pub(crate) is_scheduled: bool,
    /// The bytes that the client has sent and the server has not read.
    pub(crate) inbox: VecDeque<u8>,
    /// True if the client has sent its last byte.
    pub(crate) finished: bool,
    /// True if the connection is reset.
    pub(crate) reset: bool,
    /// True if the client has closed its end, and receives no more.
    pub(crate) gone: bool,
    /// The bytes that the server has sent and the client has not read, and their limit.
    pub(crate) outbox: VecDeque<u8>,
    pub(crate) room: usize,
    pub(crate) source: Option<SourceId>,
    /// The server's task that serves the connection, and the one that lingers afterwards.
    pub(crate) task: Option<TaskId>,
    pub(crate) lingering: Option<TaskId>,
    /// True if the server has read the end of the stream.
    pub(crate) saw_end: bool,
    /// True if the server has sent its last byte.
    pub(crate) shut: bool,
    /// True if the server has closed the connection.
    pub(crate) closed: bool,
    /// The end of the linger time, by the kernel's time. Until then the server must not lose bytes that it has sent to
    /// the client.
    pub(crate) lingers_until: Instant,
    /// True if the server's task was cancelled, or has reached its deadline.
    pub(crate) cancelled: bool,
    pub(crate) timed_out: bool,
    /// The time when the client connected.
    pub(crate) came_at: Instant,
    /// The kernel's time when the server accepted the connection, and when it last received or sent bytes.
    pub(crate) began_at: Instant,
    pub(crate) moved_at: Instant,
    /// The state of the connection that a relay requests for the client.
    pub(crate) call: Call,
    /// The bytes that a relay has read from the client and not sent to the upstream.
    pub(crate) owed: VecDeque<u8>,
    /// The time when a relay looked up the name of the client's upstream.
    pub(crate) asked_at: Option<Instant>,
    /// All bytes that the client has sent, and all that it has received; and all that it is to receive before the end.
    pub(crate) spoken: Tally,
    pub(crate) heard: Tally,
    pub(crate) due: Option<Tally>,
    /// The client reads nothing before this time.
    reads_at: u64,
    /// The times since which the server can receive, and send, without interruption.
    readable_since: Option<Instant>,
    writable_since: Option<Instant>,
}

impl<T: ClientModel> Peer<T> {
    /// Creates a client that has not connected yet, with random properties according to `plan`.
    pub(crate) fn new(mut client_model: T, plan: &Plan, rng: &mut Rng) -> Self {
        let faults = &plan.faults;
        let leaves = match rng.below(2) {
            _ if rng.strikes(faults.resets) => Leaves::Reset(u64::from(rng.below(400))),
            _ if rng.strikes(faults.squatters) => Leaves::Never,
            0 => Leaves::Answered,
            _ => Leaves::HalfClosed,
        };
        let mut expected = Expected::default();
        client_model.connected(&mut expected);
        Self {
            client_model,
            expected,
            phase: Phase::Away,
            leaves,
            requests: rng.between(0, plan.requests),
            script: Vec::new(),
            said: 0,
            moved: 0,
            asleep_until: 0,
            is_scheduled: false,
            inbox: VecDeque::new(),
            finished: false,
            reset: false,
            gone: false,
            outbox: VecDeque::new(),
            room: if rng.strikes(faults.narrow) { 1 + rng.below(100) as usize } else { 1 << 16 },
            source: None,
            task: None,
            lingering: None,
            saw_end: false,
            shut: false,
            closed: false,
            lingers_until: Instant::ZERO,
            cancelled: false,
            timed_out: false,
            came_at: Instant::ZERO,
            began_at: Instant::ZERO,
            moved_at: Instant::ZERO,
            call: Call::Missing,
            owed: VecDeque::new(),
            asked_at: None,
            spoken: Tally::default(),
            heard: Tally::default(),
            due: None,
            reads_at: 0,
            readable_since: None,
            writable_since: None,
        }
    }

    /// Records after an event since when the server can receive, and since when it can send.
    pub(crate) fn note(&mut self, now: Instant) {
        let readiness = self.readiness();
        let since = |is_so: bool, since: Option<Instant>| is_so.then(|| since.unwrap_or(now));
        self.readable_since = since(readiness.contains(Interest::RECV), self.readable_since);
        self.writable_since = since(readiness.contains(Interest::SEND), self.writable_since);
    }

    /// Returns the time since when the server can receive.
    pub(crate) fn ready_since(&self) -> Option<Instant> {
        self.readable_since
    }

    /// Returns the time since when the system can know that the server can receive: not before it accepted the
    /// connection.
    pub(crate) fn known_since(&self) -> Option<Instant> {
        self.readable_since.map(|since| since.max(self.began_at))
    }

    /// Returns true if the server has closed the connection and the client has not received all bytes.
    pub(crate) fn is_leaving(&self) -> bool {
        self.closed && !self.reset && !self.outbox.is_empty()
    }

    /// Returns true if what the server waits for on this connection had happened before `deadline`.
    pub(crate) fn came_before(&self, what: WaitTarget, deadline: Instant) -> bool {
        let since = match what {
            WaitTarget::Recv(_) => self.readable_since,
            WaitTarget::Send(_) => self.writable_since,
            WaitTarget::Hangup(_) | WaitTarget::Job(_) => None,
        };
        since.is_some_and(|since| since < deadline)
    }

    /// Creates a client that only acts when its script says so.
    pub(crate) fn scripted(client_model: T, plan: &Plan, rng: &mut Rng) -> Self {
        Self { leaves: Leaves::AsTold, requests: 0, ..Self::new(client_model, plan, rng) }
    }

    pub(crate) fn is_scripted(&self) -> bool {
        self.leaves == Leaves::AsTold
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let so = |holds, interest| if holds { interest } else { Interest::NONE };
        so(self.reset || self.finished || !self.inbox.is_empty(), Interest::RECV)
            | so(self.reset || self.outbox.len() < self.room, Interest::SEND)
            | so(self.reset || self.finished && self.shut, Interest::HANGUP)
    }

    /// Sends some bytes and reads some bytes. Returns the number of each.
    pub(crate) fn act(&mut self, plan: &Plan, rng: &mut Rng, now: u64) -> (usize, usize) {
        if !self.outbox.is_empty() && rng.strikes(plan.faults.stuck_readers) {
            self.reads_at = now + u64::from(rng.between(0, 500_000));
        }
        let sent = if self.finished || self.closed { 0 } else { self.speak(plan, rng) };
        let is_stuck = now < self.reads_at && !rng.is_calm();
        let count = if is_stuck { 0 } else { rng.part(self.outbox.len(), plan.faults.pieces) };
        self.heard.add(self.outbox.iter().take(count));
        self.outbox.drain(..count);
        self.moved += (sent + count) as u64;
        self.leave();
        (sent, count)
    }

    fn speak(&mut self, plan: &Plan, rng: &mut Rng) -> usize {
        if self.said == self.script.len() && self.requests > 0 && !rng.is_calm() {
            self.requests -= 1;
            self.script.clear();
            self.said = 0;
            self.client_model.say(rng, &mut self.script);
        }
        let rest = &self.script[self.said..];
        let count = rng.part(rest.len(), plan.faults.pieces);
        self.inbox.extend(&rest[..count]);
        self.spoken.add(&rest[..count]);
        self.said += count;
        count
    }

    fn leave(&mut self) {
        let has_said_all = self.has_said_all();
        match self.leaves {
            Leaves::Reset(at) if self.moved >= at => self.break_off(),
            Leaves::HalfClosed | Leaves::Reset(_) => self.finished |= has_said_all,
            Leaves::Answered => {
                self.finished |= has_said_all
                    && self.inbox.is_empty()
                    && self.expected.is_settled()
                    && self.outbox.is_empty();
            }
            Leaves::Never | Leaves::AsTold => {}
        }
        if self.closed && self.outbox.is_empty() || self.shut && self.outbox.is_empty() {
            self.finished = true;
        }
    }

    pub(crate) fn break_off(&mut self) {
        self.reset = true;
        self.inbox.clear();
        self.outbox.clear();
    }

    /// Ends the requests: the client only completes the present one.
    pub(crate) fn calm_down(&mut self) {
        self.requests = 0;
        self.room = 1 << 16;
        // Another client may wait for the capacity that this one occupies.
        if self.leaves == Leaves::Never {
            self.leaves = Leaves::HalfClosed;
        }
    }

    fn has_said_all(&self) -> bool {
        self.requests == 0 && self.said == self.script.len()
    }

    /// Returns true if the client can continue by itself.
    pub(crate) fn has_something_to_do(&self) -> bool {
        let speaks = !self.finished && !self.closed && !self.has_said_all();
        let resets = matches!(self.leaves, Leaves::Reset(at) if self.moved >= at);
        !self.reset
            && (speaks || resets || !self.outbox.is_empty() || !self.finished && self.wants_to_leave())
    }

    fn wants_to_leave(&self) -> bool {
        let is_left_alone = (self.closed || self.shut) && self.outbox.is_empty();
        let is_answered = self.inbox.is_empty() && self.expected.is_settled();
        is_left_alone
            || match self.leaves {
                Leaves::HalfClosed | Leaves::Reset(_) => self.has_said_all(),
                Leaves::Answered => self.has_said_all() && is_answered,
                Leaves::Never | Leaves::AsTold => false,
            }
    }

    /// Returns true if both ends have closed the connection.
    pub(crate) fn is_over(&self) -> bool {
        self.closed && (self.reset || self.finished && self.outbox.is_empty())
    }
}
