use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde::Deserialize;

/// The options of a service by their names, without the leading dashes.
pub type Options = BTreeMap<String, String>;

/// A conversation between a service and its clients, as described by a file of `tests/dialogues`.
#[derive(Clone, PartialEq, Debug)]
pub struct Dialogue {
    /// The name of the service and of the file, such as `fib/pipelined`.
    pub name: String,
    /// The service that the clients talk to.
    pub service: Service,
    /// A sentence that says what the dialogue shows.
    pub shows: String,
    /// The options with which the service is started.
    pub options: Options,
    /// The capabilities that the dialogue needs and that not every host has.
    pub needs: Vec<Need>,
    /// The clients, which all act concurrently.
    pub clients: Vec<Client>,
}

/// A service for which dialogues exist.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Service {
    /// The service of the talk: answers each line with its Fibonacci number.
    Fib,
    /// A service that returns the bytes that it receives.
    Echo,
    /// A service that returns the bytes in upper case, with `_SB` behind each read.
    Upper,
}

impl Service {
    /// All services.
    pub const ALL: [Self; 3] = [Self::Fib, Self::Echo, Self::Upper];

    /// Returns the service's name on the command line, which is also the name of the directory of its dialogues.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fib => "fib",
            Self::Echo => "echo",
            Self::Upper => "upper",
        }
    }
}

impl Display for Service {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A capability that a dialogue needs of its host, beyond the service itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The host does not reset a connection that is closed while its client still sends, so that the last answer
    /// arrives.
    Linger,
}

impl Display for Need {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linger => f.write_str("linger"),
        }
    }
}

/// A client with one connection.
///
/// A client has two halves. Outgoing data goes into a queue, from which it is sent as fast as the connection accepts
/// it; meanwhile the steps continue. The client reads only while a step expects something, and no more than the step
/// expects.
#[derive(Clone, PartialEq, Debug)]
pub struct Client {
    /// The client's name in messages.
    pub name: String,
    /// The steps in order. Exactly one is [`Step::Connect`]; the last one is [`Step::ExpectEnd`], [`Step::Reset`] or
    /// [`Step::Close`].
    pub steps: Vec<Step>,
}

/// A step of a client.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Connects, and waits until the connection is established.
    Connect,
    /// Appends bytes to the queue of outgoing data.
    Send(Vec<Piece>),
    /// Appends the end of the stream to the queue.
    HalfClose,
    /// Waits until the queue is empty, that is, until the system has accepted everything.
    Flush,
    /// Reads one of these alternatives, of which none is a prefix of another. Most steps have only one.
    Expect(Vec<Vec<u8>>),
    /// Checks, without waiting, that neither data nor the end of the stream can be read.
    ExpectNothing,
    /// Reads the end of the stream, and nothing before it. This ends the connection.
    ExpectEnd {
        /// Accepts a reset as an end.
        or_reset: bool,
    },
    /// Resets the connection. The data in the queue is lost.
    Reset,
    /// Closes the socket. The data in the queue is lost.
    Close,
    /// Lets time pass. This is only a hint: it makes it likely that the peer has read what was sent.
    Pause(Duration),
    /// Announces that the client has reached this point.
    Reach(String),
    /// Waits until all clients that ever reach this point have reached it.
    Await(String),
}

/// A part of the outgoing data that is sent at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The pause before the piece. This is only a hint, like [`Step::Pause`].
    pub pause: Duration,
    /// The bytes, never empty.
    pub bytes: Vec<u8>,
}

impl Client {
    /// Returns the number that the file gives to the step at this index: counted from 1, without an implicit
    /// [`Step::Connect`].
    #[must_use]
    pub fn number(&self, index: usize) -> usize {
        if self.steps[0] == Step::Connect { index } else { index + 1 }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Send(pieces) => {
                let bytes: Vec<_> = pieces.iter().flat_map(|piece| &piece.bytes).copied().take(100).collect();
                write!(f, "send {}", excerpt(&bytes))
            }
            Self::HalfClose => f.write_str("half-close"),
            Self::Flush => f.write_str("flush"),
            Self::Expect(any) => {
                write!(f, "expect {}", any.iter().map(|one| excerpt(one)).collect::<Vec<_>>().join(" or "))
            }
            Self::ExpectNothing => f.write_str("expect-nothing"),
            Self::ExpectEnd { or_reset: false } => f.write_str("expect-end"),
            Self::ExpectEnd { or_reset: true } => f.write_str("expect-end-or-reset"),
            Self::Reset => f.write_str("reset"),
            Self::Close => f.write_str("close"),
            Self::Pause(pause) => write!(f, "pause of {pause:?}"),
            Self::Reach(point) => write!(f, "reach {point:?}"),
            Self::Await(point) => write!(f, "await {point:?}"),
        }
    }
}

/// Quotes bytes for messages, shortened if there are many.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const ROOM: usize = 60;
    let shown = bytes[..bytes.len().min(ROOM)].escape_ascii();
    match bytes.len() {
        0..=ROOM => format!("\"{shown}\""),
        len => format!("\"{shown}\"... ({len} bytes)"),
    }
}
