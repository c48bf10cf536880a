//! The Fibonacci service: the talk's microservice as a task.
//!
//! What a connection keeps is input alone. Replies are made in the loop's shared output buffer; when the peer
//! takes only a part of them, the connection goes back to the first request that is not fully answered and
//! keeps the input from there, and how much of its reply is out. So one block bounds what a connection
//! holds, however the replies compare with the requests in size.

use core::pin::Pin;
use core::time::Duration;

use crate::bytes::Held;
use crate::error::{Full, IoError, Op};
use crate::fib::{FibJob, fib};
use crate::fib_protocol::{Bad, MAX_REPLY, Reply, Request, Requests, Rules};
use crate::host::{Cx, Host, Jobs, Serves, Service, Task};
use crate::id::{JobId, SourceId};
use crate::step::{Step, Wait, What, Woken};

/// The service and its settings.
#[derive(Clone, Copy, Debug)]
pub struct Fib {
    /// What a server accepts.
    pub rules: Rules,
    /// The largest n that is computed on the loop. It costs 2 fib(n) - 1 calls there.
    pub loop_n: u32,
    /// How long a connection may be silent, or not take what is sent to it; `None` for ever. A job's time
    /// does not count.
    pub idle_timeout: Option<Duration>,
    /// How long a job may take, while it waits for its turn and while it runs; `None` for ever. After that it is cancelled, and
    /// its request gets an error line.
    pub job_timeout: Option<Duration>,
}

impl Default for Fib {
    fn default() -> Self {
        Self { rules: Rules::default(), loop_n: 10, idle_timeout: None, job_timeout: None }
    }
}

impl Service for Fib {
    type Conn = FibConn;
    type Job = FibJob;

    fn connect(&self, source: SourceId) -> FibConn {
        FibConn {
            source,
            work: Work::None,
            held: Held::EMPTY,
            requests: Requests::new(),
            skip: 0,
            ended: false,
        }
    }
}

/// A connection of the [`Fib`] service: 48 bytes.
#[derive(Debug)]
pub struct FibConn {
    source: SourceId,
    work: Work,
    /// Input that is not answered yet. Until it is, nothing more is read.
    held: Held,
    requests: Requests,
    /// How much of the next reply is sent already.
    skip: u8,
    /// The peer has sent its last byte, or the last one that counts before the service stops.
    ended: bool,
}

const _: () = assert!(size_of::<FibConn>() <= 48, "a task is small");
const _: () = assert!(MAX_REPLY <= u8::MAX as usize, "a reply's length fits `skip`");

/// What became of the request before `held`.
#[derive(Clone, Copy, Debug)]
enum Work {
    None,
    /// It is being computed.
    Job(JobId),
    /// It is computed, and not fully sent.
    Reply(Reply),
}

/// Why a batch of replies ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
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
struct Point {
    requests: Requests,
    /// The reply to the job before, if it is still to be sent.
    reply: Option<Reply>,
    /// How much of the input is taken.
    at: usize,
    /// Nothing behind here is a request.
    last: bool,
}

/// Answers requests, from a point on. It depends on the input alone, so that a batch of which a part was
/// sent can be walked again to find where that part ends.
struct Batch<'a> {
    rules: Rules,
    loop_n: u32,
    input: &'a [u8],
    ended: bool,
    point: Point,
}

impl Batch<'_> {
    /// Writes replies to `out` as far as there are some. Returns their length, and why they end.
    #[inline]
    fn fill(&mut self, out: &mut [u8]) -> (usize, Stop) {
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
    fn rewind(&mut self, start: Point, sent: usize) -> usize {
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

impl FibConn {
    fn turn<H>(&mut self, cx: &mut Cx<'_, H>) -> Result<Step, (Op, IoError)>
    where
        H: Serves<Fib> + Jobs<FibJob>,
    {
        if let Work::Job(job) = self.work {
            match cx.take_job(job) {
                Some(value) => self.work = Work::Reply(Reply::Value(value)),
                None if cx.woken() == Woken::Hangup => return Ok(Step::Done),
                None if cx.woken() == Woken::TimedOut => {
                    cx.cancel_job(job);
                    self.work = Work::Reply(Reply::Error(Bad::Late));
                }
                // The job is gone without a result: whoever computed it failed.
                None if !cx.has_job(job) => self.work = Work::Reply(Reply::Error(Bad::Lost)),
                // The connection is.
                None if cx.woken() == Woken::Closed => return Ok(Step::Done),
                None => return Ok(self.wait_for(job, cx)),
            }
        }
        let fresh = if self.is_drained() { Some(self.receive(cx)?) } else { None };
        self.answer(cx, fresh)
    }

    /// Whether everything received so far is answered.
    fn is_drained(&self) -> bool {
        let is_read = self.held.is_empty() && !self.requests.is_pending();
        is_read && matches!(self.work, Work::None) && self.skip == 0 && !self.ended
    }

    /// Reads into the shared input and returns how much.
    fn receive<H: Serves<Fib>>(&mut self, cx: &mut Cx<'_, H>) -> Result<usize, (Op, IoError)> {
        let limit = cx.buffers.read_limit();
        let input = &mut cx.buffers.input.as_mut()[..limit];
        match cx.host.recv(self.source, input) {
            Ok(0) => {
                self.ended = true;
                Ok(0)
            }
            Ok(count) => {
                let whole = count < limit;
                self.requests.begin_read(&cx.host.service().rules, &input[..count], whole);
                Ok(count)
            }
            Err(IoError::WouldBlock) if self.requests.is_cut() => {
                self.requests.end_read();
                Ok(0)
            }
            // What was cut is whole now as well, and nothing comes after it.
            Err(IoError::Stopping) if self.requests.is_cut() => {
                self.ended = true;
                Ok(0)
            }
            Err(error) => Err((Op::Recv, error)),
        }
    }

    /// Answers the first `fresh` bytes of the shared input, or what is held.
    fn answer<H>(&mut self, cx: &mut Cx<'_, H>, fresh: Option<usize>) -> Result<Step, (Op, IoError)>
    where
        H: Serves<Fib> + Jobs<FibJob>,
    {
        let Fib { rules, loop_n, .. } = *cx.host.service();
        let start = self.start();
        let (input, output) = match fresh {
            Some(count) => cx.buffers.input_and_output(count),
            None => cx.buffers.held_and_output(&self.held),
        };
        let mut batch = Batch { rules, loop_n, input, ended: self.ended, point: start };
        let (len, stop) = batch.fill(output);
        let skip = usize::from(self.skip);
        let sent = match &output[skip..len] {
            [] => 0,
            replies => match cx.host.send(self.source, replies) {
                Err(IoError::WouldBlock) => 0,
                sent => sent.map_err(|error| (Op::Send, error))?,
            },
        };
        let all = skip + sent == len;
        let skip = if all { 0 } else { batch.rewind(start, skip + sent) };
        let point = batch.point;
        self.go_to(point, skip, cx, fresh);
        if all { self.after(stop, cx) } else { Err((Op::Send, IoError::WouldBlock)) }
    }

    fn start(&self) -> Point {
        Point {
            requests: self.requests,
            reply: match self.work {
                Work::Reply(reply) => Some(reply),
                Work::None | Work::Job(_) => None,
            },
            at: 0,
            last: false,
        }
    }

    /// Keeps the input from `point` on, and how much of the reply there is out.
    fn go_to<H: Host>(&mut self, point: Point, skip: usize, cx: &mut Cx<'_, H>, fresh: Option<usize>) {
        self.requests = point.requests;
        self.work = point.reply.map_or(Work::None, Work::Reply);
        self.skip = u8::try_from(skip).unwrap_or(u8::MAX);
        match fresh {
            Some(count) if point.at == count => {}
            Some(count) => self.held.keep_input(cx.buffers, point.at..count),
            None => self.held.consume(cx.buffers, point.at),
        }
    }

    /// All replies are sent: what now?
    fn after<H>(&mut self, stop: Stop, cx: &mut Cx<'_, H>) -> Result<Step, (Op, IoError)>
    where
        H: Serves<Fib> + Jobs<FibJob>,
    {
        match stop {
            Stop::Last => Ok(Step::Done),
            Stop::Full => Ok(Step::Yield),
            // The rest of a read that was cut off is there now, or there is none.
            Stop::Drained if self.requests.is_cut() => Ok(Step::Yield),
            // One read an event: a level-triggered host says if there is more.
            Stop::Drained => Err((Op::Recv, IoError::WouldBlock)),
            Stop::Job(n) => match cx.submit(FibJob::new(n)) {
                Ok(job) => {
                    self.work = Work::Job(job);
                    Ok(self.wait_for(job, cx))
                }
                Err(Full) => {
                    self.work = Work::Reply(Reply::Error(Bad::Busy));
                    Ok(Step::Yield)
                }
            },
        }
    }

    /// A client that goes away takes its job with it.
    fn wait_for<H: Serves<Fib>>(&self, job: JobId, cx: &Cx<'_, H>) -> Step {
        let deadline = cx.after(cx.host.service().job_timeout);
        Step::Wait(Wait::job(job).or(What::Hangup(self.source)).until(deadline))
    }
}

impl<H> Task<H> for FibConn
where
    H: Serves<Fib> + Jobs<FibJob>,
{
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        match cx.woken() {
            Woken::Cancelled => return Step::Done,
            Woken::TimedOut | Woken::Closed if !matches!(self.work, Work::Job(_)) => return Step::Done,
            _ => {}
        }
        self.turn(cx).unwrap_or_else(|(op, error)| {
            let deadline = cx.after(cx.host.service().idle_timeout);
            cx.failed(op, self.source, error, deadline)
        })
    }

    fn end(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        if let Work::Job(job) = self.work {
            cx.cancel_job(job);
        }
        self.held.clear(cx.buffers);
        cx.close(self.source);
    }
}
