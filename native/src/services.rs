//! The shipped services once more, as `async fn`s: what they do is what [`fib_service`](crate::fib_service) and
//! [`echo`](mod@crate::echo) do as state machines. An idle connection has no buffer; of one at work, what it has received
//! lies in a block of the loop's ([`Kept`]), and its replies are made of that whenever there is room for them.

use std::cell::RefCell;
use std::time::Duration;

use sinbin_core::echo::{Echo, Responder, Upper};
use sinbin_core::fib::FibJob;
use sinbin_core::fib_protocol::{Bad, MAX_REPLY, Reply, Requests};
use sinbin_core::fib_service::{Batch, Fib, Point, Stop};
use sinbin_core::task::{Conn, Either, Error, JobError, Kept, WaitError, select};
use sinbin_core::{Instant, IoError};

use sinbin_core::driven::BLOCK;

/// Room for what an answer adds to a read.
const SUFFIX: usize = 16;

thread_local! {
    /// Replies are made here, and as many of them sent as there is room for.
    static REPLIES: RefCell<[u8; BLOCK + SUFFIX]> = const { RefCell::new([0; BLOCK + SUFFIX]) };
}

/// Sends back what it gets. A connection that is silent for the service's idle timeout, or does not take what is sent in
/// its reply timeout, is closed.
///
/// # Errors
///
/// What the connection fails with.
pub fn echo(conn: Conn<'_>, service: &Echo) -> impl Future<Output = Result<(), Error>> {
    answer_reads(conn, service)
}

/// Sends back what it gets in upper case (of ASCII), with `_SB` behind each read.
///
/// # Errors
///
/// What the connection fails with.
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
        // What is rare has its place on the heap, so that idle connections have no room for it.
        if !Box::pin(send_rest(&conn, service, answered)).await? {
            break;
        }
    }
    Ok(())
}

/// Sends the rest of an answer; whether that did not take too long.
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

/// A read, and how much of the answer to it is sent.
struct Answered<'d> {
    kept: Kept<'d>,
    sent: usize,
}

impl Answered<'_> {
    /// Sends as much as there is room for; whether that is all.
    fn send<A: Responder>(&mut self, conn: &Conn<'_>) -> Result<bool, Error> {
        const { assert!(A::ADDS <= SUFFIX, "there is room for it") };
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
/// What the connection fails with.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps its arguments twice: 24 bytes of each connection"
)]
pub fn fib(conn: Conn<'_>, service: &Fib) -> impl Future<Output = Result<(), Error>> {
    async move {
        let mut requests = Requests::new();
        // When the request that has begun is to be whole.
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
            // What is rare has its place on the heap, so that idle connections have no room for it.
            if !Box::pin(wait_and_answer(&conn, service, &mut requests, work, then)).await? {
                break;
            }
            until = Instant::NEVER;
        }
        Ok(())
    }
}

/// Says that a request was late, to a client that takes that at once.
#[cold]
fn say_late(conn: &Conn<'_>, service: &Fib) {
    let mut line = [0; MAX_REPLY];
    let len = Reply::Error(Bad::Late).render(&service.rules, &mut line);
    conn.try_send(&line[..len]).ok();
}

/// Answers what is there, as far as nothing has to be waited for. Returns what is left to do. With an answer, `until` is
/// over.
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

/// Does what is left to do. Whether the connection goes on.
async fn wait_and_answer<'d>(
    conn: &Conn<'d>,
    service: &Fib,
    requests: &mut Requests,
    mut work: Box<Work<'d>>,
    mut then: Then,
) -> Result<bool, Error> {
    let handle = conn.handle();
    // When the peer is to have taken what it is sent.
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

/// A read in which there are jobs, or whose replies the peer does not take at once.
struct Work<'d> {
    /// Bytes that are not answered yet.
    kept: Kept<'d>,
    /// The reply to the job before that.
    reply: Option<Reply>,
    /// How much of the next reply is sent already.
    skip: usize,
    /// The peer has sent its last byte.
    ended: bool,
}

/// The step that a read needs next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// All of the read is answered.
    Read,
    /// The peer is to take what is there.
    Send,
    /// Others have their turn.
    GoOn,
    /// The next request is a job.
    Compute(u32),
    /// The connection has got its last reply.
    End,
}

impl<'d> Work<'d> {
    /// Receives what is there, if anything is.
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
            // A request that was cut is whole now as well, and nothing comes after it.
            Err(error) if error.io() == Some(IoError::Stopping) => self.ended = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Goes back to the first reply that is not sent, and notes how much of it is.
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

    /// Answers requests up to the next job, and sends as much as there is room for. Returns how long the replies are, and
    /// what comes next.
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
            // The rest of a read that was cut off is there now, or there is none.
            Stop::Drained if requests.is_cut() => Then::GoOn,
            Stop::Drained => Then::Read,
            Stop::Job(n) => Then::Compute(n),
            Stop::Last => Then::End,
        };
        Ok((len, then))
    }
}

/// The answers to `input`.
fn batch<'i>(service: &Fib, input: &'i [u8], ended: bool, point: Point) -> Batch<'i> {
    Batch { rules: service.rules, loop_n: service.loop_n, input, ended, point }
}

/// `None` where the connection was not ready after all.
fn or_nothing<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(error) if error.io() == Some(IoError::WouldBlock) => Ok(None),
        read => read.map(Some),
    }
}

/// The number, off the loop. A client that resets its connection takes its job with it: `None`.
async fn compute(conn: &Conn<'_>, n: u32, timeout: Option<Duration>) -> Option<Reply> {
    let handle = conn.handle();
    let job = select(handle.job(FibJob::new(n)), conn.hangup());
    // The job is dropped with the future, and so cancelled.
    let Ok(ended) = handle.until(handle.after(timeout), job).await else {
        return Some(Reply::Error(Bad::Overdue));
    };
    match ended {
        Either::First(Ok(value)) => Some(Reply::Value(value)),
        Either::First(Err(JobError::Failed)) => Some(Reply::Error(Bad::Lost)),
        Either::First(Err(JobError::Wait(WaitError::Full))) => Some(Reply::Error(Bad::Busy)),
        // The client is gone, or the server has no time left for it.
        Either::First(Err(_)) | Either::Second(_) => None,
    }
}
