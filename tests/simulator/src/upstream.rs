//! An upstream: the other end of a connection that a service has requested, with the state of both ends.

use std::collections::VecDeque;
use std::time::Duration;

use sinbin_core::{Instant, Interest, IoError, Readiness, SourceId, TaskId, WaitTarget};

use crate::network::Troubles;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::tally::Tally;

/// The most answers that an upstream keeps before it receives no more.
const MOST_ANSWERS: usize = 1 << 14;

/// The time after which the connection to an upstream that has vanished is reset.
const GIVES_UP: Duration = Duration::from_secs(20);

/// The progress of an attempt to connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// The name is being resolved.
    Resolving,
    /// The upstream has not answered yet.
    Connecting,
    /// The attempt has failed.
    Failed(IoError),
    /// The connection exists.
    Up,
}

/// The way in which an upstream leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Leaves {
    /// Answers everything, and then ends its sending direction.
    Answered,
    /// Resets the connection.
    Reset,
    /// Does nothing more.
    Vanished,
    /// Ends its sending direction, and continues to receive.
    HalfClosed,
    /// Closes the connection.
    Closed,
}

impl Leaves {
    fn drawn(troubles: &Troubles, rng: &mut Rng) -> Self {
        match () {
            () if rng.strikes(troubles.resets) => Self::Reset,
            () if rng.strikes(troubles.vanishing) => Self::Vanished,
            () if rng.strikes(troubles.early_ends) => Self::HalfClosed,
            () if rng.strikes(troubles.early_closes) => Self::Closed,
            () => Self::Answered,
        }
    }
}

/// An attempt to connect, and the connection to the upstream.
pub(crate) struct Upstream {
    pub(crate) source: SourceId,
    /// The task that has requested the connection, and the client that the task serves.
    pub(crate) task: Option<TaskId>,
    pub(crate) client: Option<usize>,
    /// The turn in which another connection was first used for that client, or in which the client was closed.
    pub(crate) needless_since: Option<u64>,
    pub(crate) line: Line,
    /// True if the service has learned how the attempt ended.
    pub(crate) is_told: bool,
    /// The time when the service requested the connection, and when the attempt ended.
    pub(crate) asked_at: Instant,
    pub(crate) ended_at: Instant,
    /// The deadline of the service's wait for the end of the attempt.
    pub(crate) deadline: Instant,
    leaves: Leaves,
    /// The number of bytes that the upstream receives and sends before it leaves early.
    leaves_at: u64,
    answers_late: bool,
    /// True if an event of this upstream is scheduled.
    pub(crate) is_scheduled: bool,
    /// The upstream does nothing before this time.
    pub(crate) asleep_until: u64,
    /// The bytes that the service has sent and the upstream has not read, and the limit of both queues.
    pub(crate) inbox: VecDeque<u8>,
    pub(crate) room: usize,
    /// The bytes that the upstream has sent and the service has not read.
    pub(crate) outbox: VecDeque<u8>,
    /// The answers that the upstream has not sent.
    answers: VecDeque<u8>,
    /// All bytes that the upstream has received, and all that it has sent.
    pub(crate) heard: Tally,
    pub(crate) spoken: Tally,
    /// All bytes that the upstream is to receive before the end.
    pub(crate) due: Option<Tally>,
    /// True if the upstream has read the end, has sent its last byte, has closed its socket, or has vanished.
    pub(crate) has_end: bool,
    pub(crate) finished: bool,
    gone: bool,
    pub(crate) vanished: bool,
    /// True if the connection is reset.
    pub(crate) reset: bool,
    /// True if the service has sent its last byte, has read the end, and has closed the connection.
    pub(crate) shut: bool,
    pub(crate) saw_end: bool,
    pub(crate) closed: bool,
    /// The number of bytes that a relay has read from the upstream and not sent to the client.
    pub(crate) kept: usize,
    /// The times since which the service can receive, and send, without interruption.
    readable_since: Option<Instant>,
    writable_since: Option<Instant>,
}

impl Upstream {
    /// Creates the attempt to connect as `source`, with random properties.
    pub(crate) fn new(
        source: SourceId,
        line: Line,
        now: Instant,
        troubles: &Troubles,
        rng: &mut Rng,
    ) -> Self {
        Self {
            source,
            task: None,
            client: None,
            needless_since: None,
            line,
            is_told: false,
            asked_at: now,
            ended_at: now,
            deadline: Instant::NEVER,
            leaves: Leaves::drawn(troubles, rng),
            leaves_at: u64::from(rng.below(400)),
            answers_late: rng.strikes(troubles.late_answers),
            is_scheduled: false,
            asleep_until: 0,
            inbox: VecDeque::new(),
            room: if rng.strikes(troubles.narrow) { 1 + rng.below(100) as usize } else { 1 << 16 },
            outbox: VecDeque::new(),
            answers: VecDeque::new(),
            heard: Tally::default(),
            spoken: Tally::default(),
            due: None,
            has_end: false,
            finished: false,
            gone: false,
            vanished: false,
            reset: false,
            shut: false,
            saw_end: false,
            closed: false,
            kept: 0,
            readable_since: None,
            writable_since: None,
        }
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let so = |holds, interest| if holds { interest } else { Interest::NONE };
        match self.line {
            Line::Resolving | Line::Connecting => Interest::NONE,
            Line::Failed(_) => Interest::SEND | Interest::HANGUP,
            Line::Up => {
                so(self.reset || self.finished || !self.outbox.is_empty(), Interest::RECV)
                    | so(self.reset || self.inbox.len() < self.room, Interest::SEND)
                    | so(self.reset || self.finished && self.shut, Interest::HANGUP)
            }
        }
    }

    /// Records after an event since when the service can receive, and since when it can send.
    pub(crate) fn note(&mut self, now: Instant) {
        let readiness = self.readiness();
        let since = |is_so: bool, since: Option<Instant>| is_so.then(|| since.unwrap_or(now));
        self.readable_since = since(readiness.contains(Interest::RECV), self.readable_since);
        self.writable_since = since(readiness.contains(Interest::SEND), self.writable_since);
    }

    /// Returns the time since when the system can know that the service can receive.
    pub(crate) fn known_since(&self) -> Option<Instant> {
        self.readable_since
    }

    /// Returns the time since when the source has been ready for something.
    pub(crate) fn ready_since(&self) -> Option<Instant> {
        [self.readable_since, self.writable_since].into_iter().flatten().min()
    }

    /// Returns true if what the service waits for on this connection had happened before `deadline`.
    pub(crate) fn came_before(&self, what: WaitTarget, deadline: Instant) -> bool {
        let since = match what {
            WaitTarget::Recv(_) => self.readable_since,
            WaitTarget::Send(_) => self.writable_since,
            WaitTarget::Hangup(_) | WaitTarget::Job(_) => None,
        };
        since.is_some_and(|since| since < deadline)
    }

    /// Returns true if all bytes of the upstream were passed on, and both directions have ended.
    pub(crate) fn is_complete(&self) -> bool {
        self.shut && self.saw_end && self.kept == 0
    }

    /// Reads some bytes and sends some bytes. Returns the number of each.
    pub(crate) fn act(&mut self, plan: &Plan, rng: &mut Rng) -> (usize, usize) {
        if self.gone {
            // The socket is closed, so what arrives there is answered by a reset.
            if !self.inbox.is_empty() {
                self.break_off();
            }
            return (0, 0);
        }
        let heard = self.listen(plan, rng);
        let spoken = if self.finished { 0 } else { self.speak(plan, rng) };
        self.leave();
        (heard, spoken)
    }

    fn listen(&mut self, plan: &Plan, rng: &mut Rng) -> usize {
        let count = if self.is_full() { 0 } else { rng.part(self.inbox.len(), plan.faults.pieces) };
        let bytes: Vec<_> = self.inbox.drain(..count).collect();
        self.heard.add(&bytes);
        if !self.finished {
            self.answers.extend(bytes.iter().map(|byte| answer(*byte)));
        }
        self.has_end |= self.shut && self.inbox.is_empty();
        count
    }

    fn speak(&mut self, plan: &Plan, rng: &mut Rng) -> usize {
        let room = self.room.saturating_sub(self.outbox.len());
        let most = if self.may_speak() { self.answers.len().min(room) } else { 0 };
        let count = rng.part(most, plan.faults.pieces);
        self.spoken.add(self.answers.iter().take(count));
        self.outbox.extend(self.answers.drain(..count));
        self.finished |= self.has_end && self.answers.is_empty();
        count
    }

    fn may_speak(&self) -> bool {
        !self.answers_late || self.has_end || self.is_full()
    }

    fn is_full(&self) -> bool {
        self.answers.len() >= MOST_ANSWERS
    }

    fn leave(&mut self) {
        if self.heard.count + self.spoken.count < self.leaves_at {
            return;
        }
        match self.leaves {
            Leaves::Answered => {}
            Leaves::Reset => self.break_off(),
            Leaves::Vanished => self.vanished = true,
            Leaves::HalfClosed => self.end(),
            Leaves::Closed => {
                self.end();
                self.gone = true;
            }
        }
    }

    fn end(&mut self) {
        self.finished = true;
        self.answers.clear();
    }

    pub(crate) fn break_off(&mut self) {
        self.reset = true;
        self.inbox.clear();
        self.outbox.clear();
    }

    /// Ends the faults. An upstream that is to vanish or to break off may still do so.
    pub(crate) fn calm_down(&mut self) {
        self.room = 1 << 16;
        self.asleep_until = 0;
    }

    /// Returns the time after which the connection is reset, if the upstream vanishes now.
    pub(crate) fn gives_up(&self) -> u64 {
        u64::try_from(GIVES_UP.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Returns true if the upstream can continue by itself.
    pub(crate) fn has_something_to_do(&self) -> bool {
        let hears = !self.inbox.is_empty() && (self.gone || !self.is_full());
        let speaks = !self.answers.is_empty() && self.may_speak() && self.outbox.len() < self.room;
        let ends = self.shut && self.inbox.is_empty() && !self.has_end;
        self.line == Line::Up && !self.reset && !self.vanished && (hears || speaks || ends && !self.gone)
    }

    /// Returns true if both ends have closed the connection.
    pub(crate) fn is_over(&self) -> bool {
        let is_lost = self.reset || self.vanished || self.gone && self.inbox.is_empty();
        self.closed && (self.line != Line::Up || is_lost || self.has_end)
    }
}

/// Returns the answer of an upstream to a byte.
fn answer(byte: u8) -> u8 {
    byte.wrapping_mul(5).wrapping_add(1)
}
