//! Two services that answer each read: [`Echo`] sends it back, [`Upper`] sends it back in upper case with
//! `_SB` behind it, as the selectors tutorials do. A request is what one read brings, so none is ever half there: a client
//! that is slow to send is a silent one.

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

/// Sends back what it gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo {
    /// How long a connection may be silent, or not take what is sent to it; `None` for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a client may take for an answer: from when it does not take all of that at once, until it has. `None`
    /// for ever. Then the connection is closed.
    pub reply_timeout: Option<Duration>,
}

/// Sends back what it gets in upper case (of ASCII), with `_SB` behind each read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upper {
    /// How long a connection may be silent, or not take what is sent to it; `None` for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a client may take for an answer: from when it does not take all of that at once, until it has. `None`
    /// for ever. Then the connection is closed.
    pub reply_timeout: Option<Duration>,
}

/// What a service makes of a read.
pub trait Responder: Service {
    /// How many bytes it adds.
    const ADDS: usize;

    /// The connection's idle timeout.
    fn idle_timeout(&self) -> Option<Duration>;

    /// The connection's timeout for an answer.
    fn reply_timeout(&self) -> Option<Duration>;

    /// Answers the `count` bytes at the front of `bytes` in place and returns the answer's length, at most
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
    /// When the peer has to have taken the answer; [`Instant::NEVER`] while none is stuck, or without a limit.
    until: Instant,
    /// The rest of an answer that the peer did not take yet. Until it is gone nothing is read.
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
        // One read an event: a level-triggered host says if there is more.
        Err((Op::Recv, IoError::WouldBlock))
    }

    /// When the peer's time for `op` is over: that of silence, and that for an answer.
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
