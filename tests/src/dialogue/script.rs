use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde::Deserialize;

/// The options of a service by their names, without the dashes in front.
pub type Options = BTreeMap<String, String>;

/// A conversation between a service and its clients, as a file of `tests/dialogues` tells it.
#[derive(Clone, PartialEq, Debug)]
pub struct Dialogue {
    /// The service and the file, `fib/pipelined`.
    pub name: String,
    /// Who is spoken to.
    pub service: Service,
    /// What it shows, a sentence.
    pub shows: String,
    /// What the service is started with.
    pub options: Options,
    /// What not every host can do.
    pub needs: Vec<Need>,
    /// Who speaks. They do so all at the same time.
    pub clients: Vec<Client>,
}

/// The services that there are dialogues with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Service {
    /// The talk's: fib of each line.
    Fib,
    /// What it got.
    Echo,
    /// What it got in upper case, and `_SB` behind each read.
    Upper,
}

impl Service {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Fib, Self::Echo, Self::Upper];

    /// Its name on the command line, and of the directory of its dialogues.
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

/// Something that a dialogue needs of its host, beyond the service itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// A connection that is closed while its client still sends is not reset, so that the last answer arrives.
    Linger,
}

impl Display for Need {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linger => f.write_str("linger"),
        }
    }
}

/// One who speaks, over one connection.
///
/// It has two halves. What it is to send goes into a queue, and from there out as fast as it is taken; meanwhile the
/// steps go on. It reads while a step expects something, no more than that, and never else.
#[derive(Clone, PartialEq, Debug)]
pub struct Client {
    /// What it is called in messages.
    pub name: String,
    /// What it does, one after the other. There is one [`Step::Connect`]; the last one is [`Step::ExpectEnd`],
    /// [`Step::Reset`] or [`Step::Close`].
    pub steps: Vec<Step>,
}

/// What a client does next.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Connects, and waits until that is done.
    Connect,
    /// Puts bytes into the queue of what is to be sent.
    Send(Vec<Piece>),
    /// Puts the end of the stream there.
    HalfClose,
    /// Waits until the queue is empty: the system has taken everything.
    Flush,
    /// Reads one of these, which differ before the shorter one ends. Usually it is one alone.
    Expect(Vec<Vec<u8>>),
    /// Looks, and finds that nothing is there to be read, nor the end. It does not wait.
    ExpectNothing,
    /// Reads the end of the stream, and nothing before. The connection is over then.
    ExpectEnd {
        /// A reset is an end too.
        or_reset: bool,
    },
    /// Ends the connection by a reset. What is in the queue is lost.
    Reset,
    /// Closes the socket. What is in the queue is lost.
    Close,
    /// Lets time pass. No more than a hint: it makes it likely that the other side has read what was sent.
    Pause(Duration),
    /// Says that this point is reached.
    Reach(String),
    /// Waits until all have reached this point who ever do.
    Await(String),
}

/// What is sent in one go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// How long to wait before. A hint, as [`Step::Pause`] is.
    pub pause: Duration,
    /// What is sent; never empty.
    pub bytes: Vec<u8>,
}

impl Client {
    /// How the step at this index is counted in the file: from 1, without the connecting that is understood.
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

/// Bytes in quotes, the first few if they are many.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const ROOM: usize = 60;
    let shown = bytes[..bytes.len().min(ROOM)].escape_ascii();
    match bytes.len() {
        0..=ROOM => format!("\"{shown}\""),
        len => format!("\"{shown}\"... ({len} bytes)"),
    }
}
