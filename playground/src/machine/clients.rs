//! The clients of a run: what they send, and how they fare.

use std::collections::VecDeque;
use std::time::Duration;

use sinbin_core::{Instant, Interest, Readiness, SourceId};

use crate::frame::{ClientRow, span};
use crate::machine::Event;
use crate::scenario::Talk;

/// The bytes that can be sent to a client before it reads.
const ROOM: usize = 1024;

/// The bytes that can be sent to a slow client before it reads, and the most that it reads at a time.
const SLOW_ROOM: usize = 16;

/// The time between two reads of a slow client.
pub(super) const SLOW_READ: Duration = Duration::from_millis(40);

/// The longest part of a message that is shown.
const SHOWN: usize = 40;

/// The stages of a client's visit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Away,
    Backlog,
    Connected,
    Gone(&'static str),
}

/// A client, and its connection.
pub(super) struct Client {
    pub(super) number: usize,
    requests: VecDeque<String>,
    asks: String,
    /// The least and the most microseconds between a reply and the next request.
    pub(super) pause: (u32, u32),
    pub(super) stage: Stage,
    /// The server's end of the connection.
    pub(super) source: Option<SourceId>,
    /// The bytes that the server has not received.
    pub(super) inbox: VecDeque<u8>,
    /// The bytes that the client has not received.
    pub(super) outbox: VecDeque<u8>,
    /// The bytes that the running task has sent, and true if it has closed the connection. They arrive when its step
    /// ends.
    pub(super) leaving: (Vec<u8>, bool),
    /// True if the client sends nothing more.
    pub(super) has_finished: bool,
    /// True if the server sends nothing more.
    pub(super) is_closed: bool,
    pub(super) is_reset: bool,
    pub(super) is_slow: bool,
    pub(super) is_cut: bool,
    /// True if the client's next read is scheduled.
    pub(super) will_read: bool,
    /// The events of the client that wait until it is connected to the network again.
    pub(super) held: Vec<Event>,
    asked_at: Option<Instant>,
    asked: u32,
    replied: u32,
    longest: Duration,
}

impl Client {
    /// Creates a client which sends texts, or requests fib(n).
    pub(super) fn new(number: usize, talk: Talk, n: u32) -> Self {
        let (requests, asks, pause): (VecDeque<_>, _, _) = match talk {
            Talk::Echo => {
                let line = |i| format!("hello {i} from client {number}\n");
                (
                    (1..=6).map(line).collect(),
                    "six lines, each after the last came back".to_owned(),
                    (500, 9000),
                )
            }
            Talk::Fib if n > 20 => {
                (vec![format!("{n}\n"); 3].into(), format!("fib({n}), three times"), (5000, 9000))
            }
            Talk::Fib => (vec![format!("{n}\n"); 60].into(), format!("fib({n}), sixty times"), (500, 2500)),
        };
        Self {
            number,
            requests,
            asks,
            pause,
            stage: Stage::Away,
            source: None,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            leaving: (Vec::new(), false),
            has_finished: false,
            is_closed: false,
            is_reset: false,
            is_slow: false,
            is_cut: false,
            will_read: false,
            held: Vec::new(),
            asked_at: None,
            asked: 0,
            replied: 0,
            longest: Duration::ZERO,
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self.stage, Stage::Gone(_))
    }

    /// Returns the readiness of the server's end.
    pub(super) fn readiness(&self) -> Readiness {
        if self.is_reset {
            return Interest::RECV | Interest::SEND;
        }
        let recv = if self.inbox.is_empty() && !self.has_finished { Interest::NONE } else { Interest::RECV };
        let send = if self.room() == 0 { Interest::NONE } else { Interest::SEND };
        recv | send
    }

    /// Returns the number of bytes that can be sent to the client.
    pub(super) fn room(&self) -> usize {
        let room = if self.is_slow { SLOW_ROOM } else { ROOM };
        room.saturating_sub(self.outbox.len() + self.leaving.0.len())
    }

    /// Lets what the running task has sent arrive. Returns true if there is something for the client to receive.
    pub(super) fn let_arrive(&mut self) -> bool {
        let (bytes, closes) = std::mem::take(&mut self.leaving);
        self.outbox.extend(&bytes);
        self.is_closed |= closes;
        closes || !bytes.is_empty()
    }

    /// Sends the next request, or finishes if there is none. Returns what the client does.
    pub(super) fn ask(&mut self, now: Instant) -> String {
        let Some(request) = self.requests.pop_front() else {
            self.has_finished = true;
            return "has no more requests, and half-closes".to_owned();
        };
        self.inbox.extend(request.as_bytes());
        self.asked_at = Some(now);
        self.asked += 1;
        format!("sends {}", quoted(request.as_bytes()))
    }

    /// Receives what has arrived. Returns what the client does, and true if a reply is complete.
    pub(super) fn read(&mut self, now: Instant) -> (String, bool) {
        let most = if self.is_slow { SLOW_ROOM } else { ROOM };
        let bytes: Vec<u8> = self.outbox.drain(..most.min(self.outbox.len())).collect();
        if bytes.is_empty() && self.is_closed {
            self.stage = Stage::Gone("has left");
            return ("sees the end of the connection, and leaves".to_owned(), false);
        }
        let mut is_complete = false;
        if bytes.contains(&b'\n')
            && let Some(asked_at) = self.asked_at.take()
        {
            self.replied += 1;
            self.longest = self.longest.max(now.since(asked_at));
            is_complete = true;
        }
        (format!("receives {}", quoted(&bytes)), is_complete)
    }

    pub(super) fn reset(&mut self) {
        self.is_reset = true;
        self.stage = Stage::Gone("has reset the connection");
        self.inbox.clear();
        self.outbox.clear();
    }

    /// Returns the client as the page shows it.
    pub(super) fn row(&self) -> ClientRow {
        let state = match self.stage {
            Stage::Away => "is on its way",
            Stage::Backlog => "waits to be accepted",
            Stage::Gone(how) => how,
            Stage::Connected if self.is_cut => "is cut off",
            Stage::Connected if self.has_finished => "has finished",
            Stage::Connected if self.asked_at.is_some() => "waits for a reply",
            Stage::Connected => "is connected",
        };
        let longest = u64::try_from(self.longest.as_nanos()).unwrap_or(u64::MAX);
        ClientRow {
            number: self.number,
            asks: self.asks.clone(),
            state: state.to_owned(),
            is_slow: self.is_slow,
            is_cut: self.is_cut,
            is_gone: self.is_gone(),
            replies: format!("{} of {}", self.replied, self.asked),
            longest: if self.replied == 0 { "–".to_owned() } else { span(longest) },
            unread: format!("{} / {}", self.inbox.len(), self.outbox.len()),
        }
    }
}

/// Returns bytes as text in quotes, cut if they are long.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let (shown, rest) = bytes.split_at(bytes.len().min(SHOWN));
    format!("“{}{}”", shown.escape_ascii(), if rest.is_empty() { "" } else { "…" })
}
