use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::Duration;

use super::play::{Network, Wants, Wire};
use super::rehearsal::Points;
use super::script::{Client, Step, excerpt};

/// The most bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// A client and its progress.
pub(super) struct Actor<'d, W> {
    pub(super) client: &'d Client,
    /// The index of the current step.
    at: usize,
    pub(super) wire: Option<W>,
    queue: VecDeque<Outgoing<'d>>,
    /// The ends of two pauses: the one at the head of the queue, and the one that is the current step.
    due: [Option<Duration>; 2],
    /// The error that prevents further sending.
    broken: Option<io::Error>,
    pub(super) heard: Vec<u8>,
    /// The offset in `heard` at which the bytes of the current step begin.
    begin: usize,
    /// The number of those bytes that are known to be right, if the step expects only one alternative.
    right: usize,
}

/// An entry of the queue of outgoing data.
enum Outgoing<'d> {
    Pause(Duration),
    Bytes(&'d [u8]),
    End,
}

/// The progress of a step.
enum Stepped {
    Done,
    /// The step has to wait; `moved` is true if it made some progress.
    Waits {
        moved: bool,
    },
}

const WAITS: Stepped = Stepped::Waits { moved: false };

impl<'d, W: Wire> Actor<'d, W> {
    pub(super) fn new(client: &'d Client) -> Self {
        let (queue, heard) = (VecDeque::new(), Vec::new());
        Self { client, at: 0, wire: None, queue, due: [None; 2], broken: None, heard, begin: 0, right: 0 }
    }

    pub(super) fn step(&self) -> Option<&'d Step> {
        self.client.steps.get(self.at)
    }

    /// Returns the number of the current step as the file counts.
    pub(super) fn number(&self) -> usize {
        self.client.number(self.at)
    }

    /// Returns the readiness for which the client waits.
    pub(super) fn wants(&self) -> Wants {
        let recv = matches!(self.step(), Some(Step::Expect(_) | Step::ExpectEnd { .. }));
        Wants { recv, send: matches!(self.queue.front(), Some(Outgoing::Bytes(_))) }
    }

    /// Returns the time for which the client waits.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.due.into_iter().flatten().min()
    }

    /// Does everything that can be done now. Returns true if there was progress.
    pub(super) fn advance<N>(
        &mut self,
        now: Duration,
        network: &mut N,
        points: &mut Points<'d>,
    ) -> Result<bool, String>
    where
        N: Network<Wire = W>,
    {
        let mut moved = false;
        while let Some(step) = self.step() {
            let stepped = self.take(step, now, network, points).map_err(|what| format!("{step}: {what}"));
            moved |= self.send(now);
            match stepped? {
                Stepped::Done => {
                    (self.at, self.begin, self.right) = (self.at + 1, self.heard.len(), 0);
                    moved = true;
                }
                Stepped::Waits { moved: further } => return Ok(moved | further),
            }
        }
        (self.wire, self.due) = (None, [None; 2]);
        self.queue.clear();
        Ok(moved)
    }

    fn take<N>(
        &mut self,
        step: &'d Step,
        now: Duration,
        network: &mut N,
        points: &mut Points<'d>,
    ) -> Result<Stepped, String>
    where
        N: Network<Wire = W>,
    {
        let done = |is: bool| Ok(if is { Stepped::Done } else { WAITS });
        match step {
            Step::Connect => match network.connect() {
                Ok(wire) => self.wire = Some(wire),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(WAITS),
                Err(error) => return Err(error.to_string()),
            },
            Step::Send(pieces) => {
                let queued = pieces
                    .iter()
                    .flat_map(|piece| [Outgoing::Pause(piece.pause), Outgoing::Bytes(&piece.bytes)]);
                self.queue.extend(queued);
            }
            Step::HalfClose => self.queue.push_back(Outgoing::End),
            Step::Flush => return self.flush(),
            Step::Expect(any) => return self.expect(any),
            Step::ExpectNothing => return self.expect_nothing().map(|()| Stepped::Done),
            Step::ExpectEnd { or_reset } => return self.expect_end(*or_reset),
            Step::Reset => {
                if let Some(wire) = self.wire.take() {
                    wire.reset();
                }
            }
            Step::Close => self.wire = None,
            Step::Pause(pause) => return done(is_over(&mut self.due[1], now, *pause)),
            Step::Reach(point) => points.reach(point),
            Step::Await(point) => return done(points.is_reached(point)),
        }
        Ok(Stepped::Done)
    }

    /// Sends as much as can be sent now. If sending fails, the queue is dropped: a flush reports the error, and a step
    /// that reads may find out why.
    fn send(&mut self, now: Duration) -> bool {
        let mut moved = false;
        while let (Some(wire), Some(next)) = (&mut self.wire, self.queue.front_mut()) {
            let sent = match next {
                Outgoing::Pause(pause) if is_over(&mut self.due[0], now, *pause) => Ok(true),
                Outgoing::Pause(_) => return moved,
                Outgoing::Bytes(bytes) => wire.send(bytes).map(|count| {
                    *bytes = &bytes[count..];
                    bytes.is_empty()
                }),
                Outgoing::End => wire.half_close().map(|()| true),
            };
            match sent {
                Ok(true) => drop(self.queue.pop_front()),
                Ok(false) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return moved,
                Err(error) => {
                    self.broken = Some(error);
                    self.queue.clear();
                }
            }
            moved = true;
        }
        moved
    }

    fn flush(&self) -> Result<Stepped, String> {
        match &self.broken {
            Some(error) => Err(format!("sending failed: {error}")),
            None if self.queue.is_empty() => Ok(Stepped::Done),
            None => Ok(WAITS),
        }
    }

    fn expect(&mut self, any: &[Vec<u8>]) -> Result<Stepped, String> {
        let mut moved = false;
        loop {
            let got = &self.heard[self.begin..];
            let right = self.right;
            let fitting = any
                .iter()
                .filter(|bytes| bytes.get(right..).is_some_and(|rest| rest.starts_with(&got[right..])));
            let left = fitting.map(|bytes| bytes.len() - got.len()).min().ok_or_else(|| differs(got, any))?;
            if any.len() == 1 {
                self.right = got.len();
            }
            if left == 0 {
                return Ok(Stepped::Done);
            }
            match self.receive(left) {
                Ok(0) => {
                    return Err(format!("the stream ended after {}", excerpt(&self.heard[self.begin..])));
                }
                Ok(_) => moved = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Stepped::Waits { moved }),
                Err(error) => return Err(format!("{error}, after {}", excerpt(&self.heard[self.begin..]))),
            }
        }
    }

    fn expect_nothing(&mut self) -> Result<(), String> {
        match self.receive(CHUNK) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(0) => Err("the stream has ended".to_owned()),
            Ok(_) => Err(format!("{} was received", excerpt(&self.heard[self.begin..]))),
        }
    }

    fn expect_end(&mut self, or_reset: bool) -> Result<Stepped, String> {
        match self.receive(CHUNK) {
            Ok(0) => Ok(Stepped::Done),
            Ok(_) => Err(format!("{} was received instead", excerpt(&self.heard[self.begin..]))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(WAITS),
            Err(error) if or_reset && error.kind() == ErrorKind::ConnectionReset => Ok(Stepped::Done),
            Err(error) => Err(error.to_string()),
        }
    }

    fn receive(&mut self, most: usize) -> io::Result<usize> {
        let wire = self.wire.as_mut().ok_or(ErrorKind::NotConnected)?;
        let mut room = [0; CHUNK];
        let count = wire.receive(&mut room[..most.min(CHUNK)])?;
        self.heard.extend_from_slice(&room[..count]);
        Ok(count)
    }
}

/// Returns true if a pause has ended. The pause begins at the first call.
fn is_over(due: &mut Option<Duration>, now: Duration, pause: Duration) -> bool {
    let is_over = now >= *due.get_or_insert(now + pause);
    if is_over {
        *due = None;
    }
    is_over
}

/// Describes where `got` differs from all expected alternatives.
fn differs(got: &[u8], any: &[Vec<u8>]) -> String {
    let common = |bytes: &Vec<u8>| bytes.iter().zip(got).take_while(|(one, other)| one == other).count();
    let at = any.iter().map(common).max().unwrap_or(0);
    // A few bytes of the common prefix make the difference easier to find.
    let begin = at.saturating_sub(10);
    format!("the bytes differ at byte {at}: {} from byte {begin} on", excerpt(&got[begin..]))
}
