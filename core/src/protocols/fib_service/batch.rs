//! Requests in, replies out: the part of the service that never waits.

use crate::protocols::fib::fib;
use crate::protocols::fib_protocol::{Bad, MAX_REPLY, Reply, Request, Requests, Rules};

/// The reason why a batch of replies ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// All input is answered.
    Drained,
    /// The output buffer is full.
    Full,
    /// The next request is a job.
    Job(u32),
    /// The connection has received its last reply.
    Last,
}

/// A position in a connection's input, with all state that changes as requests are answered.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The state of the parser.
    pub requests: Requests,
    /// The reply to the last job, if it is not sent yet.
    pub reply: Option<Reply>,
    /// The number of bytes of the input that are consumed.
    pub at: usize,
    /// Set if no further request follows.
    last: bool,
}

impl Point {
    /// Creates the position at the beginning of an input, with the unsent reply to the last job, if any.
    #[must_use]
    #[inline]
    pub const fn new(requests: Requests, reply: Option<Reply>) -> Self {
        Self { requests, reply, at: 0, last: false }
    }
}

/// Answers requests from a position on. The replies depend only on the input, so a batch that was sent in part can be
/// computed again to find the end of that part.
pub struct Batch<'a> {
    /// The rules for requests.
    pub rules: Rules,
    /// The largest n that is computed here. A larger one ends the batch.
    pub loop_n: u32,
    /// The received bytes that are not answered yet.
    pub input: &'a [u8],
    /// Set if the peer has sent its last byte.
    pub ended: bool,
    /// The current position.
    pub point: Point,
}

impl Batch<'_> {
    /// Writes as many replies to `out` as are available and fit. Returns their length, and why the batch ended.
    #[inline]
    pub fn fill(&mut self, out: &mut [u8]) -> (usize, Stop) {
        let mut len = 0;
        while out.len() - len >= MAX_REPLY {
            match self.next() {
                Ok(reply) => len += reply.render(&self.rules, &mut out[len..]),
                Err(stop) => return (len, stop),
            }
            if self.point.last {
                return (len, Stop::Last);
            }
        }
        (len, Stop::Full)
    }

    /// Goes back to `start`, and from there to the first reply that is not completely among the `sent` bytes. Returns
    /// how many bytes of that reply are among them.
    #[cold]
    pub fn rewind(&mut self, start: Point, sent: usize) -> usize {
        let mut out = [0; MAX_REPLY];
        let mut through = 0;
        self.point = start;
        loop {
            let before = self.point;
            let len = self.next().map_or(0, |reply| reply.render(&self.rules, &mut out));
            debug_assert!(len > 0, "more was sent than there are replies");
            if len == 0 || through + len > sent {
                self.point = before;
                return sent - through;
            }
            through += len;
        }
    }

    /// Returns the next reply, or why there is none.
    #[inline]
    fn next(&mut self) -> Result<Reply, Stop> {
        let point = &mut self.point;
        if let Some(reply) = point.reply.take() {
            return Ok(reply);
        }
        let through = self.ended || point.requests.is_bare();
        if point.at == self.input.len() && !through {
            return Err(Stop::Drained);
        }
        let (taken, request) = point.requests.next(&self.rules, &self.input[point.at..]);
        point.at += taken;
        match request {
            Some(request) => self.reply(request),
            None if through => self.finish(),
            None => Err(Stop::Drained),
        }
    }

    fn finish(&mut self) -> Result<Reply, Stop> {
        match self.point.requests.finish(&self.rules) {
            Some(request) => self.reply(request),
            None if self.ended => Err(Stop::Last),
            None => Err(Stop::Drained),
        }
    }

    #[inline]
    fn reply(&mut self, request: Request) -> Result<Reply, Stop> {
        match request {
            Ok(n) if n <= self.loop_n => Ok(Reply::Value(fib(n))),
            Ok(n) => Err(Stop::Job(n)),
            Err(bad) => {
                self.point.last = bad == Bad::TooLong;
                Ok(Reply::Error(bad))
            }
        }
    }
}
