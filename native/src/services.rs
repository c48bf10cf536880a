//! The provided services as `async fn`s. Their behavior is that of the state machines
//! [`fib_service`](crate::fib_service) and [`echo`](mod@crate::echo). An idle connection has no buffer. The input of an
//! active connection is stored in a block of the loop ([`Kept`]), and its replies are computed from that block whenever
//! the connection can send.

use std::cell::RefCell;
use std::time::Duration;

use sinbin_core::echo::{Echo, Responder, Upper};
use sinbin_core::fib::FibJob;
use sinbin_core::fib_protocol::{Bad, MAX_REPLY, Reply, Requests};
use sinbin_core::fib_service::{Batch, Fib, Point, Stop};
use sinbin_core::task::{Conn, Either, Error, JobError, Kept, WaitError, select};
use sinbin_core::{Instant, IoError};

use sinbin_core::driven::BLOCK;

/// The maximum number of bytes that an answer adds to a read.
const SUFFIX: usize = 16;

thread_local! {
    /// The buffer in which replies are made before as many bytes as possible are sent.
    static REPLIES: RefCell<[u8; BLOCK + SUFFIX]> = const { RefCell::new([0; BLOCK + SUFFIX]) };
}

/// Sends back the bytes that it receives. A connection is closed if it is silent for the service's idle timeout, or if
/// the peer does not receive a reply within the reply timeout.
///
/// # Errors
///
/// Returns the error of the connection.
pub fn echo(conn: Conn<'_>, service: &Echo) -> impl Future<Output = Result<(), Error>> {
    answer_reads(conn, service)
}

/// Sends back the bytes that it receives, with ASCII letters in upper case and `_SB` appended to each read.
///
/// # Errors
///
/// Returns the error of the connection.
pub fn upper(conn: Conn<'_>, service: &Upper) -> impl Future<Output = Result<(), Error>> {
    answer_reads(conn, service)
}

async fn answer_reads<A: Responder>(conn: Conn<'_>, service: &A) -> Result<(), Error> {
    let handle = conn.handle();
    while let Ok(readable) = handle.until(handle.after(service.idle_timeout()), conn.readable()).await {
        readable?;
        let Some(kept) = or_nothing(conn.try_recv_kept())? else { continue };
        if kept.is_empty() {
            break;
        }
        let mut answered = Answered { kept, sent: 0 };
        if answered.send::<A>(&conn)? {
            continue;
        }
        // This path is rare, so its future is allocated on the heap and does not enlarge the task of an idle
        // connection.
        if !Box::pin(send_rest(&conn, service, answered)).await? {
            break;
        }
    }
    Ok(())
}

/// Sends the rest of an answer. Returns true if all of it was sent in time.
async fn send_rest<A: Responder>(
    conn: &Conn<'_>,
    service: &A,
    mut answered: Answered<'_>,
) -> Result<bool, Error> {
    let handle = conn.handle();
    let until = handle.after(service.reply_timeout());
    loop {
        match handle.until(handle.after(service.idle_timeout()).min(until), conn.writable()).await {
            Ok(writable) => writable?,
            Err(_) => return Ok(false),
        }
        if answered.send::<A>(conn)? {
            return Ok(true);
        }
    }
}

/// A read, and the number of bytes of its answer that are already sent.
struct Answered<'d> {
    kept: Kept<'d>,
    sent: usize,
}

impl Answered<'_> {
    /// Sends as many bytes as the connection accepts. Returns true if the whole answer is sent.
    fn send<A: Responder>(&mut self, conn: &Conn<'_>) -> Result<bool, Error> {
        const { assert!(A::ADDS <= SUFFIX, "the suffix fits into the buffer") };
        let (sent, len) = REPLIES.with_borrow_mut(|answer| {
            let count = self.kept.copy_to(&mut answer[..BLOCK])?;
            let len = A::answer(answer, count);
            Ok::<_, Error>((conn.try_send(&answer[self.sent..len])?, len))
        })?;
        self.sent += sent;
        Ok(self.sent == len)
    }
}

/// The talk's Fibonacci service.
///
/// # Errors
///
/// Returns the error of the connection.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` stores its arguments twice, which costs 24 bytes per connection"
)]
pub fn fib(conn: Conn<'_>, service: &Fib) -> impl Future<Output = Result<(), Error>> {
    async move {
        let mut requests = Requests::new();
        // The deadline by which the request that has begun must be complete.
        let mut until = Instant::NEVER;
        loop {
            if !requests.is_begun() {
                until = Instant::NEVER;
            } else if until == Instant::NEVER {
                until = conn.handle().after(service.request_timeout);
            }
            let deadline = conn.handle().after(service.idle_timeout).min(until);
            match conn.handle().until(deadline, conn.readable()).await {
                Ok(readable) => readable?,
                Err(_) => {
                    if until <= conn.handle().now() {
                        say_late(&conn, service);
                    }
                    break;
                }
            }
            let Some((work, then)) = respond(&conn, service, &mut requests, &mut until)? else { continue };
            // This path is rare, so its future is allocated on the heap and does not enlarge the task of an idle
            // connection.
            if !Box::pin(wait_and_answer(&conn, service, &mut requests, work, then)).await? {
                break;
            }
            until = Instant::NEVER;
        }
        Ok(())
    }
}

/// Sends the error reply for a late request, if the connection accepts it at once.
#[cold]
fn say_late(conn: &Conn<'_>, service: &Fib) {
    let mut line = [0; MAX_REPLY];
    let len = Reply::Error(Bad::Late).render(&service.rules, &mut line);
    conn.try_send(&line[..len]).ok();
}

/// Receives the available bytes and answers them as far as possible without waiting. Returns the remaining work and its
/// next step, or `None` if the connection only has to read again. Resets `until` if there are replies.
fn respond<'d>(
    conn: &Conn<'d>,
    service: &Fib,
    requests: &mut Requests,
    until: &mut Instant,
) -> Result<Option<(Box<Work<'d>>, Then)>, Error> {
    let Some(mut work) = Work::receive(conn, service, requests)? else { return Ok(None) };
    let (len, then) = work.answer(conn, service, requests)?;
    if len > 0 {
        *until = Instant::NEVER;
    }
    Ok((then != Then::Read).then(|| (Box::new(work), then)))
}

/// Completes the remaining work. Returns true if the connection stays open.
async fn wait_and_answer<'d>(
    conn: &Conn<'d>,
    service: &Fib,
    requests: &mut Requests,
    mut work: Box<Work<'d>>,
    mut then: Then,
) -> Result<bool, Error> {
    let handle = conn.handle();
    // The deadline by which the peer must have received the replies.
    let mut until = Instant::NEVER;
    loop {
        if then != Then::Send {
            until = Instant::NEVER;
        } else if until == Instant::NEVER {
            until = handle.after(service.reply_timeout);
        }
        match then {
            Then::Read => return Ok(true),
            Then::End => return Ok(false),
            Then::Send => {
                match handle.until(handle.after(service.idle_timeout).min(until), conn.writable()).await {
                    Ok(writable) => writable?,
                    Err(_) => return Ok(false),
                }
            }
            Then::GoOn => {
                handle.yield_now().await;
                work.read_on(conn, service, requests)?;
            }
            Then::Compute(n) => match compute(conn, n, service.job_timeout).await {
                Some(reply) => work.reply = Some(reply),
                None => return Ok(false),
            },
        }
        then = work.answer(conn, service, requests)?.1;
    }
}

/// A read that contains jobs, or whose replies could not be sent at once.
struct Work<'d> {
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

impl<'d> Work<'d> {
    /// Receives the available bytes, if any.
    #[inline(always)]
    fn receive(conn: &Conn<'d>, service: &Fib, requests: &mut Requests) -> Result<Option<Self>, Error> {
        let Some(kept) = or_nothing(conn.try_recv_kept())? else { return Ok(None) };
        let ended = kept.is_empty();
        if !ended {
            kept.with(|bytes| requests.begin_read(&service.rules, bytes, !kept.is_cut()))?;
        }
        Ok(Some(Self { kept, reply: None, skip: 0, ended }))
    }

    /// Receives the rest of a read that was cut off, if there is one.
    fn read_on(&mut self, conn: &Conn<'d>, service: &Fib, requests: &mut Requests) -> Result<(), Error> {
        if !requests.is_cut() || !self.kept.is_empty() || self.reply.is_some() || self.ended {
            return Ok(());
        }
        match Self::receive(conn, service, requests) {
            Ok(Some(work)) => *self = work,
            Ok(None) => requests.end_read(),
            // The request that was cut off is complete now as well, because nothing follows.
            Err(error) if error.io() == Some(IoError::Stopping) => self.ended = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Goes back to the first reply that is not fully sent, and stores how much of it is sent.
    #[cold]
    fn rewind(&mut self, service: &Fib, start: Point, sent: usize) -> Result<Point, Error> {
        let ended = self.ended;
        let (skip, point) = self.kept.with(|input| {
            let mut batch = batch(service, input, ended, start);
            (batch.rewind(start, sent), batch.point)
        })?;
        self.skip = skip;
        Ok(point)
    }

    /// Answers requests up to the next job, and sends as many bytes as the connection accepts. Returns the length of
    /// the replies and the next step.
    #[inline]
    fn answer(
        &mut self,
        conn: &Conn<'_>,
        service: &Fib,
        requests: &mut Requests,
    ) -> Result<(usize, Then), Error> {
        let start = Point::new(*requests, self.reply.take());
        let (len, stop, mut point, sent) = REPLIES.with_borrow_mut(|replies| {
            let (len, stop, point) = self.kept.with(|input| {
                let mut batch = batch(service, input, self.ended, start);
                let (len, stop) = batch.fill(&mut replies[..BLOCK]);
                (len, stop, batch.point)
            })?;
            let sent = if self.skip == len { 0 } else { conn.try_send(&replies[self.skip..len])? };
            Ok::<_, Error>((len, stop, point, self.skip + sent))
        })?;
        let all = sent == len;
        self.skip = 0;
        if !all {
            point = self.rewind(service, start, sent)?;
        }
        (*requests, self.reply) = (point.requests, point.reply);
        self.kept.consume(point.at);
        let then = match stop {
            _ if !all => Then::Send,
            Stop::Full => Then::GoOn,
            // The rest of a read that was cut off is available already, or does not exist.
            Stop::Drained if requests.is_cut() => Then::GoOn,
            Stop::Drained => Then::Read,
            Stop::Job(n) => Then::Compute(n),
            Stop::Last => Then::End,
        };
        Ok((len, then))
    }
}

/// Creates the batch of replies to `input`.
fn batch<'i>(service: &Fib, input: &'i [u8], ended: bool, point: Point) -> Batch<'i> {
    Batch { rules: service.rules, loop_n: service.loop_n, input, ended, point }
}

/// Returns `None` if the connection was not ready after all.
fn or_nothing<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(error) if error.io() == Some(IoError::WouldBlock) => Ok(None),
        read => read.map(Some),
    }
}

/// Computes the number off the loop. Returns `None` if the client hangs up, which cancels the job.
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
        // The client has hung up, or the task is cancelled because the server stops.
        Either::First(Err(_)) | Either::Second(_) => None,
    }
}
