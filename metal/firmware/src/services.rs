//! The shipped services as `async fn`s, without a heap. Their answers are those of the state machines
//! [`fib_service`](sinbin_core::fib_service) and [`echo`](mod@sinbin_core::echo).

use core::time::Duration;

use sinbin_core::echo::Responder;
use sinbin_core::fib::FibJob;
use sinbin_core::fib_protocol::{Bad, MAX_REPLY, Reply, Requests};
use sinbin_core::fib_service::{Batch, Fib, Point, Stop};
use sinbin_core::task::{Conn, Either, Error, JobError, Kept, WaitError, select};
use sinbin_core::{Instant, IoError};

/// The size of the buffer for answers, which is on the stack while they are computed.
const ANSWERS: usize = 256;

/// Answers each read, as the services `echo` and `upper` do.
///
/// # Errors
///
/// Returns the error of the connection.
pub async fn answer_reads<A: Responder>(conn: Conn<'_>, service: &A) -> Result<(), Error> {
    while let Some(kept) = receive(&conn, service.idle_timeout(), Instant::NEVER).await? {
        if kept.is_empty() {
            break;
        }
        let (mut sent, mut until) = (0, Instant::NEVER);
        while !send_answer::<A>(&conn, &kept, &mut sent)? {
            if !writable(&conn, service.idle_timeout(), service.reply_timeout(), &mut until).await? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Sends as much of the answer as the connection accepts. Returns true if all of it is sent.
fn send_answer<A: Responder>(conn: &Conn<'_>, kept: &Kept<'_>, sent: &mut usize) -> Result<bool, Error> {
    let mut answer = [0; ANSWERS];
    let count = kept.copy_to(&mut answer[..ANSWERS - A::ADDS])?;
    let len = A::answer(&mut answer, count);
    *sent += conn.try_send(&answer[*sent..len])?;
    Ok(*sent == len)
}

/// Waits for bytes, and receives them; `None` if none come in time.
async fn receive<'d>(
    conn: &Conn<'d>,
    idle_timeout: Option<Duration>,
    until: Instant,
) -> Result<Option<Kept<'d>>, Error> {
    loop {
        let deadline = conn.handle().after(idle_timeout).min(until);
        match conn.handle().until(deadline, conn.readable()).await {
            Ok(readable) => readable?,
            Err(_) => return Ok(None),
        }
        match conn.try_recv_kept() {
            Err(error) if error.io() == Some(IoError::WouldBlock) => {}
            received => return received.map(Some),
        }
    }
}

/// Waits until the connection accepts bytes. Returns true if it does in time.
async fn writable(
    conn: &Conn<'_>,
    idle_timeout: Option<Duration>,
    reply_timeout: Option<Duration>,
    until: &mut Instant,
) -> Result<bool, Error> {
    let handle = conn.handle();
    if *until == Instant::NEVER {
        *until = handle.after(reply_timeout);
    }
    match handle.until(handle.after(idle_timeout).min(*until), conn.writable()).await {
        Ok(writable) => writable.map(|()| true),
        Err(_) => Ok(false),
    }
}

/// The talk's Fibonacci service.
///
/// # Errors
///
/// Returns the error of the connection.
pub async fn fib(conn: Conn<'_>, service: &Fib) -> Result<(), Error> {
    let mut requests = Requests::new();
    let mut until = Instant::NEVER;
    loop {
        if !requests.is_begun() {
            until = Instant::NEVER;
        } else if until == Instant::NEVER {
            until = conn.handle().after(service.request_timeout);
        }
        let Some(kept) = receive(&conn, service.idle_timeout, until).await? else {
            if until <= conn.handle().now() {
                say_late(&conn, service);
            }
            return Ok(());
        };
        let mut read = Read::of(kept, service, &mut requests)?;
        let mut reply_by = Instant::NEVER;
        loop {
            let (len, then) = read.answer(&conn, service, &mut requests)?;
            if len > 0 {
                until = Instant::NEVER;
            }
            if then != Then::Send {
                reply_by = Instant::NEVER;
            }
            match then {
                Then::Read => break,
                Then::End => return Ok(()),
                Then::Send => {
                    let (idle, reply) = (service.idle_timeout, service.reply_timeout);
                    if !writable(&conn, idle, reply, &mut reply_by).await? {
                        return Ok(());
                    }
                }
                Then::GoOn => {
                    conn.handle().yield_now().await;
                    read.go_on(&conn, service, &mut requests)?;
                }
                Then::Compute(n) => match compute(&conn, n, service.job_timeout).await {
                    Some(reply) => read.reply = Some(reply),
                    None => return Ok(()),
                },
            }
        }
    }
}

/// Sends the error reply for a late request, if the connection accepts it at once.
fn say_late(conn: &Conn<'_>, service: &Fib) {
    let mut line = [0; MAX_REPLY];
    let len = Reply::Error(Bad::Late).render(&service.rules, &mut line);
    conn.try_send(&line[..len]).ok();
}

/// Computes a job, or returns `None` if the client leaves meanwhile.
async fn compute(conn: &Conn<'_>, n: u32, timeout: Option<Duration>) -> Option<Reply> {
    let handle = conn.handle();
    let job = select(handle.job(FibJob::new(n)), conn.hangup());
    // If the deadline passes, the job is dropped together with this future, and thereby cancelled.
    let Ok(ended) = handle.until(handle.after(timeout), job).await else {
        return Some(Reply::Error(Bad::Overdue));
    };
    match ended {
        Either::First(Ok(value)) => Some(Reply::Value(value)),
        Either::First(Err(JobError::Failed)) => Some(Reply::Error(Bad::Lost)),
        Either::First(Err(JobError::Wait(WaitError::Full))) => Some(Reply::Error(Bad::Busy)),
        // The client has hung up.
        Either::First(Err(_)) | Either::Second(_) => None,
    }
}

/// A read, and how far it is answered.
struct Read<'d> {
    /// The bytes that are not answered yet.
    kept: Kept<'d>,
    /// The reply of the job that precedes these bytes.
    reply: Option<Reply>,
    /// The number of bytes of the next reply that are already sent.
    skip: usize,
    /// True if the peer has sent its last byte.
    ended: bool,
}

/// The next step for a read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Read again: the whole read is answered.
    Read,
    /// Wait until the connection can send the replies.
    Send,
    /// Yield to other tasks, then continue.
    GoOn,
    /// Run the job of the next request.
    Compute(u32),
    /// Close the connection: the last reply is sent.
    End,
}

impl<'d> Read<'d> {
    /// Begins a read. No bytes mean that the peer has sent its last one.
    fn of(kept: Kept<'d>, service: &Fib, requests: &mut Requests) -> Result<Self, Error> {
        let ended = kept.is_empty();
        if !ended {
            kept.with(|bytes| requests.begin_read(&service.rules, bytes, !kept.is_cut()))?;
        }
        Ok(Self { kept, reply: None, skip: 0, ended })
    }

    /// Answers requests up to the next job, and sends as many bytes as the connection accepts. Returns the length of
    /// the replies and the next step.
    fn answer(
        &mut self,
        conn: &Conn<'_>,
        service: &Fib,
        requests: &mut Requests,
    ) -> Result<(usize, Then), Error> {
        let start = Point::new(*requests, self.reply.take());
        let mut replies = [0; ANSWERS];
        let ended = self.ended;
        let (len, stop, mut point) = self.kept.with(|input| {
            let mut batch = batch(service, input, ended, start);
            let (len, stop) = batch.fill(&mut replies);
            (len, stop, batch.point)
        })?;
        let sent = self.skip + if self.skip == len { 0 } else { conn.try_send(&replies[self.skip..len])? };
        let all = sent == len;
        self.skip = 0;
        if !all {
            let (skip, rewound) = self.kept.with(|input| {
                let mut batch = batch(service, input, ended, start);
                (batch.rewind(start, sent), batch.point)
            })?;
            (self.skip, point) = (skip, rewound);
        }
        *requests = point.requests;
        self.reply = point.reply;
        self.kept.consume(point.at);
        let then = match stop {
            _ if !all => Then::Send,
            Stop::Last => Then::End,
            Stop::Full => Then::GoOn,
            Stop::Drained if requests.is_cut() => Then::GoOn,
            Stop::Drained => Then::Read,
            Stop::Job(n) => Then::Compute(n),
        };
        Ok((len, then))
    }

    /// Receives the rest of a read that was cut off, if there is one.
    fn go_on(&mut self, conn: &Conn<'d>, service: &Fib, requests: &mut Requests) -> Result<(), Error> {
        if !requests.is_cut() || !self.kept.is_empty() || self.reply.is_some() || self.ended {
            return Ok(());
        }
        match conn.try_recv_kept() {
            Ok(kept) => *self = Self::of(kept, service, requests)?,
            Err(error) if error.io() == Some(IoError::WouldBlock) => requests.end_read(),
            // The request that was cut off is complete now as well, because nothing follows.
            Err(error) if error.io() == Some(IoError::Stopping) => self.ended = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Creates the batch of replies to `input`.
fn batch<'a>(service: &Fib, input: &'a [u8], ended: bool, point: Point) -> Batch<'a> {
    Batch { rules: service.rules, loop_n: service.loop_n, input, ended, point }
}
