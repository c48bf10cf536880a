//! Requests in, replies out: the part of the service that waits for nothing.

use crate::protocols::fib::fib;
use crate::protocols::fib_protocol::{Bad, MAX_REPLY, Reply, Request, Requests, Rules};

/// Why a batch of replies ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// All input is answered.
    Drained,
    /// The output buffer is full.
    Full,
    /// The next request is a job.
    Job(u32),
    /// The connection has got its last reply.
    Last,
}

/// Where a connection is in its input: all that answering changes.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// How far the requests are told apart.
    pub requests: Requests,
    /// The reply to the job before, if it is still to be sent.
    pub reply: Option<Reply>,
    /// How much of the input is taken.
    pub at: usize,
    /// Nothing behind here is a request.
    last: bool,
}

impl Point {
    /// The beginning of an input, behind a reply to the job before, if there is one to be sent.
    #[must_use]
    #[inline]
    pub const fn new(requests: Requests, reply: Option<Reply>) -> Self {
        Self { requests, reply, at: 0, last: false }
    }
}

/// Answers requests, from a point on. It depends on the input alone, so that a batch of which a part was
/// sent can be walked again to find where that part ends.
pub struct Batch<'a> {
    /// The rules of what is accepted.
    pub rules: Rules,
    /// The largest n that is computed here; a larger one ends the batch.
    pub loop_n: u32,
    /// Received bytes that are not answered yet.
    pub input: &'a [u8],
    /// The peer has sent its last byte.
    pub ended: bool,
    /// How far the batch is.
    pub point: Point,
}

impl Batch<'_> {
    /// Writes replies to `out` as far as there are some. Returns their length, and why they end.
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

    /// Goes back to `start`, and from there to the first reply that is not wholly among the `sent` bytes.
    /// Returns how much of that one is.
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

    /// The next reply, or why there is none.
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
