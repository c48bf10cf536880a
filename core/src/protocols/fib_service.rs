//! The Fibonacci service: the talk's microservice as a task.
//!
//! A connection keeps only input. Replies are written to the loop's shared output buffer. If the peer accepts only a
//! part of them, the connection goes back to the first request that is not fully answered, and keeps the input from
//! there and the number of bytes of its reply that are sent. One block therefore limits what a connection keeps,
//! however large replies are compared with requests. A block must have capacity for one reply, [`MAX_REPLY`] bytes;
//! otherwise no reply is ever sent.

mod batch;

use core::pin::Pin;
use core::time::Duration;

use crate::exec::buffers::BufferedBytes;
use crate::exec::context::{Cx, Task};
use crate::exec::host::{Host, Jobs, Serves, Service};
use crate::kernel::error::{Full, IoError, Op};
use crate::kernel::id::{JobId, SourceId};
use crate::kernel::instant::Instant;
use crate::kernel::step::{Step, Wait, WaitTarget, WakeReason};
use crate::protocols::fib::FibJob;
use crate::protocols::fib_protocol::{Bad, MAX_REPLY, Reply, Requests, Rules};

pub use batch::{Batch, Point, Stop};

/// The service and its settings.
#[derive(Clone, Copy, Debug)]
pub struct Fib {
    /// The rules for requests.
    pub rules: Rules,
    /// The largest n that is computed on the loop, which takes 2 fib(n) - 1 calls there.
    pub loop_n: u32,
    /// The time that a connection may be silent or not accept bytes that are sent to it; `None` for no limit. The time
    /// of a job does not count.
    pub idle_timeout: Option<Duration>,
    /// The time that a job may take, both in the queue and running; `None` for no limit. After that the job is
    /// cancelled, and its request gets an error line.
    pub job_timeout: Option<Duration>,
    /// The time that a request may take, from its first byte to its last; `None` for no limit. A late request gets an
    /// error line, and the connection is closed.
    pub request_timeout: Option<Duration>,
    /// The time that a client has to accept replies, from the first send that it does not accept in full until it has
    /// all of them; `None` for no limit. After that the connection is closed. At most the replies to one block of
    /// requests are due at a time.
    pub reply_timeout: Option<Duration>,
}

impl Default for Fib {
    /// Returns the default settings, without timeouts.
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            loop_n: 10,
            idle_timeout: None,
            job_timeout: None,
            request_timeout: None,
            reply_timeout: None,
        }
    }
}

impl Service for Fib {
    type Conn = FibConn;
    type Job = FibJob;

    fn connect(&self, source: SourceId) -> FibConn {
        FibConn {
            source,
            until: Instant::NEVER,
            work: PackedWork::NONE,
            held: BufferedBytes::EMPTY,
            requests: Requests::new(),
            skip: 0,
            ended: false,
        }
    }
}

/// A connection of the [`Fib`] service, in 48 bytes.
#[derive(Debug)]
pub struct FibConn {
    source: SourceId,
    /// The deadline for the client to complete a request or to accept replies, or for the job to be done.
    /// [`Instant::NEVER`] if none of these is under way, or without a limit.
    until: Instant,
    work: PackedWork,
    /// Input that is not answered yet. Until it is answered, the connection does not read.
    held: BufferedBytes,
    requests: Requests,
    /// The number of bytes of the next reply that are sent already.
    skip: u8,
    /// Set if the peer has sent its last byte, or the last one that counts before the service stops.
    ended: bool,
}

const _: () = assert!(size_of::<FibConn>() <= 48, "a task is small");
const _: () = assert!(MAX_REPLY <= u8::MAX as usize, "a reply's length fits `skip`");

/// The state of the request before `held`.
#[derive(Clone, Copy, Debug)]
enum Work {
    None,
    /// The request is being computed.
    Job(JobId),
    /// The request is computed, and its reply is not fully sent.
    Reply(Reply),
}

/// [`Work`] in nine bytes, which keeps a connection small.
#[derive(Clone, Copy, Debug)]
struct PackedWork {
    /// The id of the job, or the value.
    bits: [u8; 8],
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    None,
    Job,
    Value,
    Error(Bad),
}

impl PackedWork {
    const NONE: Self = Self { bits: [0; 8], kind: Kind::None };

    #[inline]
    fn work(self) -> Work {
        let bits = u64::from_ne_bytes(self.bits);
        match self.kind {
            Kind::None => Work::None,
            Kind::Job => Work::Job(JobId::from_bits(bits)),
            Kind::Value => Work::Reply(Reply::Value(bits)),
            Kind::Error(bad) => Work::Reply(Reply::Error(bad)),
        }
    }
}

impl From<Work> for PackedWork {
    #[inline]
    fn from(work: Work) -> Self {
        let (kind, bits) = match work {
            Work::None => return Self::NONE,
            Work::Job(job) => (Kind::Job, job.to_bits()),
            Work::Reply(Reply::Value(value)) => (Kind::Value, value),
            Work::Reply(Reply::Error(bad)) => (Kind::Error(bad), 0),
        };
        Self { bits: bits.to_ne_bytes(), kind }
    }
}

impl FibConn {
    fn turn<H>(&mut self, cx: &mut Cx<'_, H>) -> Result<Step, (Op, IoError)>
    where
        H: Serves<Fib> + Jobs<FibJob>,
    {
        if let Work::Job(job) = self.work.work() {
            match cx.take_job(job) {
                Some(value) => self.work = Work::Reply(Reply::Value(value)).into(),
                None if cx.wake_reason() == WakeReason::Hangup => return Ok(Step::Done),
                None if cx.wake_reason() == WakeReason::TimedOut => {
                    cx.cancel_job(job);
                    self.work = Work::Reply(Reply::Error(Bad::Overdue)).into();
                }
                // The job is gone without a result: its worker failed.
                None if !cx.has_job(job) => self.work = Work::Reply(Reply::Error(Bad::Lost)).into(),
                // The connection was closed.
                None if cx.wake_reason() == WakeReason::Closed => return Ok(Step::Done),
                None => return Ok(self.wait_for(job)),
            }
            self.until = Instant::NEVER;
        }
        let fresh = if self.is_drained() { Some(self.receive(cx)?) } else { None };
        self.answer(cx, fresh)
    }

    /// Returns true if everything received so far is answered.
    fn is_drained(&self) -> bool {
        let is_read = self.held.is_empty() && !self.requests.is_pending();
        is_read && self.work.kind == Kind::None && self.skip == 0 && !self.ended
    }

    /// Reads into the shared input and returns the number of bytes.
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
            // The request that was cut off is complete now too, and no other follows.
            Err(IoError::Stopping) if self.requests.is_cut() => {
                self.ended = true;
                Ok(0)
            }
            Err(error) => Err((Op::Recv, error)),
        }
    }

    /// Answers the first `fresh` bytes of the shared input, or the bytes in `held`.
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
        // The next wait starts a new deadline, unless the client continues what it was doing in the last wait.
        if if all { len > 0 } else { fresh.is_some() } {
            self.until = Instant::NEVER;
        }
        let skip = if all { 0 } else { batch.rewind(start, skip + sent) };
        let point = batch.point;
        self.go_to(point, skip, cx, fresh);
        if all { self.after(stop, cx) } else { Err((Op::Send, IoError::WouldBlock)) }
    }

    fn start(&self) -> Point {
        let reply = match self.work.work() {
            Work::Reply(reply) => Some(reply),
            Work::None | Work::Job(_) => None,
        };
        Point::new(self.requests, reply)
    }

    /// Keeps the input from `point` on, and the number of bytes of the reply there that are sent.
    fn go_to<H: Host>(&mut self, point: Point, skip: usize, cx: &mut Cx<'_, H>, fresh: Option<usize>) {
        self.requests = point.requests;
        self.work = point.reply.map_or(Work::None, Work::Reply).into();
        self.skip = u8::try_from(skip).unwrap_or(u8::MAX);
        match fresh {
            Some(count) if point.at == count => {}
            Some(count) => self.held.keep_input(cx.buffers, point.at..count),
            None => self.held.consume(cx.buffers, point.at),
        }
    }

    /// Returns the step after all replies are sent.
    fn after<H>(&mut self, stop: Stop, cx: &mut Cx<'_, H>) -> Result<Step, (Op, IoError)>
    where
        H: Serves<Fib> + Jobs<FibJob>,
    {
        match stop {
            Stop::Last => Ok(Step::Done),
            Stop::Full => Ok(Step::Yield),
            // The rest of a read that was cut off is either available now or does not exist.
            Stop::Drained if self.requests.is_cut() => Ok(Step::Yield),
            // Read once per event: a level-triggered host reports again if there is more input.
            Stop::Drained => Err((Op::Recv, IoError::WouldBlock)),
            Stop::Job(n) => match cx.submit(FibJob::new(n)) {
                Ok(job) => {
                    self.work = Work::Job(job).into();
                    self.until = cx.after(cx.host.service().job_timeout);
                    Ok(self.wait_for(job))
                }
                Err(Full) => {
                    self.until = Instant::NEVER;
                    self.work = Work::Reply(Reply::Error(Bad::Busy)).into();
                    Ok(Step::Yield)
                }
            },
        }
    }

    /// Returns when a wait for `op` times out: at the idle timeout or at the deadline of what the client has begun,
    /// whichever is earlier.
    #[inline]
    fn deadline<H: Serves<Fib>>(&mut self, op: Op, cx: &Cx<'_, H>) -> Instant {
        let service = cx.host.service();
        let idle = cx.after(service.idle_timeout);
        let limit = match op {
            Op::Send => service.reply_timeout,
            _ if self.requests.is_begun() => service.request_timeout,
            _ => None,
        };
        if limit.is_none() {
            self.until = Instant::NEVER;
        } else if self.until == Instant::NEVER {
            self.until = cx.after(limit);
        }
        idle.min(self.until)
    }

    /// Sends the error line for a late request, if that is why the wait timed out.
    #[cold]
    fn say_late<H: Serves<Fib>>(&self, cx: &mut Cx<'_, H>) {
        if self.is_drained() && self.requests.is_begun() && self.until <= cx.now() {
            let output = cx.buffers.output.as_mut();
            let len = Reply::Error(Bad::Late).render(&cx.host.service().rules, output);
            // A client that does not accept the line does not get it.
            cx.host.send(self.source, &output[..len]).ok();
        }
    }

    /// Waits for the job. The hangup ends the wait too, so that the job of a client that leaves is cancelled.
    fn wait_for(&self, job: JobId) -> Step {
        Step::Wait(Wait::job(job).or(WaitTarget::Hangup(self.source)).until(self.until))
    }
}

impl<H> Task<H> for FibConn
where
    H: Serves<Fib> + Jobs<FibJob>,
{
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        match cx.wake_reason() {
            WakeReason::TimedOut if self.work.kind != Kind::Job => {
                self.say_late(cx);
                return Step::Done;
            }
            WakeReason::Cancelled => return Step::Done,
            WakeReason::Closed if self.work.kind != Kind::Job => return Step::Done,
            _ => {}
        }
        self.turn(cx).unwrap_or_else(|(op, error)| {
            let deadline = self.deadline(op, cx);
            cx.failed(op, self.source, error, deadline)
        })
    }

    fn end(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        if let Work::Job(job) = self.work.work() {
            cx.cancel_job(job);
        }
        self.held.clear(cx.buffers);
        cx.close(self.source);
    }
}
