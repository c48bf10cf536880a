//! Two services that answer each read: [`Echo`] sends the bytes back, [`Upper`] sends them back in upper case and
//! appends `_SB`, as the selectors tutorials do. Each read is one request, so a request is never incomplete: a client
//! that is slow to send counts as a silent one.

use core::marker::PhantomData;
use core::pin::Pin;
use core::time::Duration;

use crate::exec::buffers::BufferedBytes;
use crate::exec::context::{Cx, Task};
use crate::exec::host::{Serves, Service};
use crate::job::NoJob;
use crate::kernel::error::{IoError, Op};
use crate::kernel::id::SourceId;
use crate::kernel::instant::Instant;
use crate::kernel::step::{Step, WakeReason};

/// A service that sends back what it receives.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo {
    /// The time that a connection may be silent or not accept bytes that are sent to it; `None` for no limit.
    pub idle_timeout: Option<Duration>,
    /// The time that a client has to accept an answer, from the first send that it does not accept in full until it has
    /// all of the answer. `None` for no limit. After that the connection is closed.
    pub reply_timeout: Option<Duration>,
}

/// A service that sends back what it receives in upper case (of ASCII) and appends `_SB` to each read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upper {
    /// The time that a connection may be silent or not accept bytes that are sent to it; `None` for no limit.
    pub idle_timeout: Option<Duration>,
    /// The time that a client has to accept an answer, from the first send that it does not accept in full until it has
    /// all of the answer. `None` for no limit. After that the connection is closed.
    pub reply_timeout: Option<Duration>,
}

/// A service that computes an answer to each read.
pub trait Responder: Service {
    /// The number of bytes that an answer adds.
    const ADDS: usize;

    /// Returns the connection's idle timeout.
    fn idle_timeout(&self) -> Option<Duration>;

    /// Returns the connection's timeout for an answer.
    fn reply_timeout(&self) -> Option<Duration>;

    /// Replaces the `count` bytes at the front of `bytes` by the answer. Returns the length of the answer, at most
    /// `count` + [`ADDS`](Self::ADDS).
    fn answer(bytes: &mut [u8], count: usize) -> usize;
}

impl Responder for Echo {
    const ADDS: usize = 0;

    fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    fn reply_timeout(&self) -> Option<Duration> {
        self.reply_timeout
    }

    fn answer(_: &mut [u8], count: usize) -> usize {
        count
    }
}

impl Responder for Upper {
    const ADDS: usize = SUFFIX.len();

    fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    fn reply_timeout(&self) -> Option<Duration> {
        self.reply_timeout
    }

    fn answer(bytes: &mut [u8], count: usize) -> usize {
        bytes[..count].make_ascii_uppercase();
        bytes[count..count + SUFFIX.len()].copy_from_slice(SUFFIX);
        count + SUFFIX.len()
    }
}

const SUFFIX: &[u8] = b"_SB";

impl Service for Echo {
    type Conn = AnswerConn<Self>;
    type Job = NoJob;

    fn connect(&self, source: SourceId) -> Self::Conn {
        AnswerConn::new(source)
    }
}

impl Service for Upper {
    type Conn = AnswerConn<Self>;
    type Job = NoJob;

    fn connect(&self, source: SourceId) -> Self::Conn {
        AnswerConn::new(source)
    }
}

/// A connection of [`Echo`] or [`Upper`].
#[derive(Debug)]
pub struct AnswerConn<A> {
    source: SourceId,
    /// The deadline for the peer to accept the answer; [`Instant::NEVER`] if no answer is stuck or there is no limit.
    until: Instant,
    /// The rest of an answer that the peer has not accepted yet. Until it is sent, the connection does not read.
    held: BufferedBytes,
    answer: PhantomData<A>,
}

impl<A: Responder> AnswerConn<A> {
    fn new(source: SourceId) -> Self {
        Self { source, until: Instant::NEVER, held: BufferedBytes::EMPTY, answer: PhantomData }
    }

    fn turn<H: Serves<A>>(&mut self, cx: &mut Cx<'_, H>) -> Result<Step, (Op, IoError)> {
        if !self.held.is_empty() {
            let sent =
                cx.host.send(self.source, self.held.bytes(cx.buffers)).map_err(|error| (Op::Send, error))?;
            self.held.consume(cx.buffers, sent);
            if !self.held.is_empty() {
                return Err((Op::Send, IoError::WouldBlock));
            }
            self.until = Instant::NEVER;
        }
        let limit = cx.buffers.read_limit() - A::ADDS;
        let input = cx.buffers.input.as_mut();
        let count = cx.host.recv(self.source, &mut input[..limit]).map_err(|error| (Op::Recv, error))?;
        if count == 0 {
            return Ok(Step::Done);
        }
        let len = A::answer(input, count);
        let sent = match cx.host.send(self.source, &input[..len]) {
            Err(IoError::WouldBlock) => 0,
            sent => sent.map_err(|error| (Op::Send, error))?,
        };
        if sent < len {
            self.held.keep_input(cx.buffers, sent..len);
            return Err((Op::Send, IoError::WouldBlock));
        }
        // Read once per event: a level-triggered host reports again if there is more input.
        Err((Op::Recv, IoError::WouldBlock))
    }

    /// Returns when a wait for `op` times out: at the idle timeout or at the deadline for the answer, whichever is
    /// earlier.
    fn deadline<H: Serves<A>>(&mut self, op: Op, cx: &Cx<'_, H>) -> Instant {
        let service = cx.host.service();
        if op == Op::Send && self.until == Instant::NEVER {
            self.until = cx.after(service.reply_timeout());
        }
        cx.after(service.idle_timeout()).min(self.until)
    }
}

impl<A, H> Task<H> for AnswerConn<A>
where
    A: Responder<Conn = Self> + Unpin,
    H: Serves<A>,
{
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        if let WakeReason::Cancelled | WakeReason::Closed | WakeReason::TimedOut = cx.wake_reason() {
            return Step::Done;
        }
        self.turn(cx).unwrap_or_else(|(op, error)| {
            let deadline = self.deadline(op, cx);
            cx.failed(op, self.source, error, deadline)
        })
    }

    fn end(mut self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        self.held.clear(cx.buffers);
        cx.close(self.source);
    }
}
