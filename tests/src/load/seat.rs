use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use sinbin_simulator::Rng;
use socket2::SockRef;

use super::burst::Burst;

/// One burst in so many ends in a reset.
const RESET_ONE_IN: u32 = 10;

/// Requests of a burst, at most.
const BURST: u32 = 6;

/// The largest job.
const LARGEST: u32 = 22;

/// A job that nobody waits for to its end.
const ENDLESS: u32 = 45;

/// When a client resets its connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Moment {
    /// Instead of sending anything.
    Silent,
    /// As soon as a request and half another one are sent.
    MidLine,
    /// When it has all its answers, and half a request is with the server.
    HalfLineLeft,
    /// While its job runs, which would run on for very long.
    DuringJob,
    /// When answers are there that it has not read.
    Unread,
}

impl Moment {
    const ALL: [Self; 5] = [Self::Silent, Self::MidLine, Self::HalfLineLeft, Self::DuringJob, Self::Unread];
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// After its answers it goes on.
    GoesOn,
    /// It ends in a reset.
    Reset(Moment),
    /// It has said that it will send no more, and waits for the server's end.
    Leaves,
}

/// Where a client has come to.
pub(super) enum Now {
    /// There is more to come.
    Waits,
    /// All is answered.
    Answered,
    /// It resets its connection.
    Resets(Moment),
    /// It has seen the server's end.
    Gone,
}

/// A client's connection.
pub(super) struct Seat {
    stream: TcpStream,
    fate: Fate,
    answers: Vec<u8>,
    /// How much of the answers has come.
    at: usize,
    /// It has got no answer on this connection.
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

    /// Asks for one small number.
    pub(super) fn greet(&mut self) {
        self.send(Burst::of([1]), b"");
    }

    /// Asks for a job that nobody waits for to its end, with a request before it and some behind it, which the server has
    /// to keep meanwhile.
    pub(super) fn pile_up(&mut self) {
        // The first answer goes out in the same step in which the job is handed over.
        self.send(Burst::of([1]), format!("{ENDLESS}\n{}", "2\n".repeat(8)).as_bytes());
    }

    /// Whether answers are still to come.
    fn waits(&self) -> bool {
        self.at < self.answers.len()
    }

    /// Begins what luck has it do next.
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
            // The first answer goes out in the same step in which the job is handed over.
            Some(Moment::DuringJob) => self.send(Burst::of([1]), format!("{ENDLESS}\n").as_bytes()),
        }
        Now::Waits
    }

    /// Says that it will send no more.
    pub(super) fn leave(&mut self) {
        self.fate = Fate::Leaves;
        self.stream.shutdown(Shutdown::Write).expect("a connected socket");
    }

    /// Takes what is there.
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

    /// Ends the connection by a reset.
    pub(super) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("an option");
    }

    fn send(&mut self, burst: Burst, behind: &[u8]) {
        let bytes = [&burst.requests, behind].concat();
        // So little is under way that the socket always has room for it.
        let sent = self.stream.write(&bytes).unwrap_or_else(|error| panic!("cannot send: {error}"));
        assert_eq!(sent, bytes.len(), "all of it goes out at once");
        (self.answers, self.at) = (burst.answers, 0);
    }

    fn trouble(&self, what: &str) -> String {
        let due = String::from_utf8_lossy(&self.answers[self.at..]);
        format!("{what}, where {due:?} should ({:?})", self.fate)
    }
}
