use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use sinbin_simulator::Rng;
use socket2::SockRef;

use super::burst::Burst;

/// The inverse probability of a reset after a burst.
const RESET_ONE_IN: u32 = 10;

/// The most requests of a burst.
const BURST: u32 = 6;

/// The number of the largest job.
const LARGEST: u32 = 22;

/// The number of a job that takes so long that no client waits for its end.
const ENDLESS: u32 = 45;

/// The moment at which a client resets its connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Moment {
    /// Before anything is sent.
    Silent,
    /// As soon as the requests and half of another one are sent.
    MidLine,
    /// When all answers have arrived, and the server has half a request.
    HalfLineLeft,
    /// While the client's job runs, which would run very long.
    DuringJob,
    /// When answers have arrived that the client has not read.
    Unread,
}

impl Moment {
    const ALL: [Self; 5] = [Self::Silent, Self::MidLine, Self::HalfLineLeft, Self::DuringJob, Self::Unread];
}

/// The planned end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// The connection continues after the answers.
    GoesOn,
    /// The connection ends in a reset.
    Reset(Moment),
    /// The client has half-closed, and waits for the server's end of the stream.
    Leaves,
}

/// The state of a client.
pub(super) enum Now {
    /// The client waits for more.
    Waits,
    /// All requests are answered.
    Answered,
    /// The client resets its connection.
    Resets(Moment),
    /// The client has read the server's end of the stream.
    Gone,
}

/// A client's connection.
pub(super) struct Seat {
    stream: TcpStream,
    fate: Fate,
    answers: Vec<u8>,
    /// The number of bytes of the answers that have arrived.
    at: usize,
    /// True until the first answer arrives on this connection.
    pub(super) is_new: bool,
}

impl Seat {
    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).expect("an option");
        Self { stream, fate: Fate::GoesOn, answers: Vec::new(), at: 0, is_new: true }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends one small request.
    pub(super) fn greet(&mut self) {
        self.send(Burst::of([1]), b"");
    }

    /// Requests a job that would run very long, with a request before it and some behind it. The server has to keep the
    /// latter meanwhile.
    pub(super) fn pile_up(&mut self) {
        // The first answer is sent in the same step in which the job is submitted, so its arrival shows that the job
        // was submitted.
        self.send(Burst::of([1]), format!("{ENDLESS}\n{}", "2\n".repeat(8)).as_bytes());
    }

    /// Returns true if answers are still missing.
    fn waits(&self) -> bool {
        self.at < self.answers.len()
    }

    /// Begins a random action.
    pub(super) fn begin(&mut self, rng: &mut Rng) -> Now {
        let is_reset = rng.below(RESET_ONE_IN) == RESET_ONE_IN - 1;
        let moment = is_reset.then(|| *rng.pick(&Moment::ALL));
        self.fate = moment.map_or(Fate::GoesOn, Fate::Reset);
        let count = rng.between(1, BURST);
        let burst = Burst::random(rng, count, LARGEST);
        match moment {
            None | Some(Moment::Unread) => self.send(burst, b""),
            Some(Moment::Silent) => return Now::Resets(Moment::Silent),
            Some(Moment::MidLine) => {
                self.send(burst, b"1");
                return Now::Resets(Moment::MidLine);
            }
            Some(Moment::HalfLineLeft) => self.send(burst, b"1"),
            // The first answer is sent in the same step in which the job is submitted.
            Some(Moment::DuringJob) => self.send(Burst::of([1]), format!("{ENDLESS}\n").as_bytes()),
        }
        Now::Waits
    }

    /// Half-closes the connection.
    pub(super) fn leave(&mut self) {
        self.fate = Fate::Leaves;
        self.stream.shutdown(Shutdown::Write).expect("a connected socket");
    }

    /// Receives the bytes that are available.
    pub(super) fn receive(&mut self) -> Result<Now, String> {
        if let Fate::Reset(moment @ Moment::Unread) = self.fate {
            return Ok(Now::Resets(moment));
        }
        let mut chunk = [0; 256];
        let count = match self.stream.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Now::Waits),
            Err(error) => return Err(self.trouble(&error.to_string())),
        };
        if count == 0 {
            let is_due = self.fate == Fate::Leaves;
            return if is_due { Ok(Now::Gone) } else { Err(self.trouble("the server ended it")) };
        }
        self.is_new = false;
        if !self.answers[self.at..].starts_with(&chunk[..count]) {
            return Err(self.trouble(&format!("{:?} came", String::from_utf8_lossy(&chunk[..count]))));
        }
        self.at += count;
        Ok(match self.fate {
            _ if self.waits() => Now::Waits,
            Fate::Reset(moment) => Now::Resets(moment),
            Fate::GoesOn | Fate::Leaves => Now::Answered,
        })
    }

    /// Resets the connection.
    pub(super) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("an option");
    }

    fn send(&mut self, burst: Burst, behind: &[u8]) {
        let bytes = [&burst.requests, behind].concat();
        // The socket always accepts these bytes, because so few are in flight.
        let sent = self.stream.write(&bytes).unwrap_or_else(|error| panic!("cannot send: {error}"));
        assert_eq!(sent, bytes.len(), "everything is sent at once");
        (self.answers, self.at) = (burst.answers, 0);
    }

    fn trouble(&self, what: &str) -> String {
        let due = String::from_utf8_lossy(&self.answers[self.at..]);
        format!("{what}, where {due:?} should ({:?})", self.fate)
    }
}
