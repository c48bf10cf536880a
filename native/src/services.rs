//! The shipped services once more, as `async fn`s: what they do is what [`fib_service`](crate::fib_service) and
//! [`echo`](mod@crate::echo) do as state machines. An idle connection has no buffer; one at work has one on the heap.

use std::cell::Cell;
use std::time::Duration;

use sinbin_core::IoError;
use sinbin_core::fib::{FibJob, fib as number};
use sinbin_core::fib_protocol::{Bad, MAX_REPLY, Reply, Request, Requests};
use sinbin_core::fib_service::Fib;
use sinbin_core::task::{Conn, Either, Error, Lost, Refused, select};

use crate::server::BLOCK;

/// Sends back what it gets. A connection that is silent for `idle`, or does not take what is sent, is closed.
///
/// # Errors
///
/// What the connection fails with.
pub fn echo(conn: Conn<'_>, idle: Option<Duration>) -> impl Future<Output = Result<(), Error>> {
    answer_reads(conn, idle, |_| {})
}

/// Sends back what it gets in upper case (of ASCII), with `_SB` behind each read.
///
/// # Errors
///
/// What the connection fails with.
pub fn upper(conn: Conn<'_>, idle: Option<Duration>) -> impl Future<Output = Result<(), Error>> {
    answer_reads(conn, idle, |read| {
        read.make_ascii_uppercase();
        read.extend_from_slice(b"_SB");
    })
}

async fn answer_reads(
    conn: Conn<'_>,
    idle: Option<Duration>,
    answer: impl Fn(&mut Vec<u8>),
) -> Result<(), Error> {
    while let Ok(readable) = conn.on().until(conn.on().after(idle), conn.readable()).await {
        readable?;
        let rest = match try_answer(&conn, &answer)? {
            Tried::All => continue,
            Tried::End => break,
            Tried::Part(rest) => rest,
        };
        // What is rare has its place on the heap, so that idle connections have no room for it.
        if !Box::pin(send(&conn, rest, idle)).await? {
            break;
        }
    }
    Ok(())
}

/// How much of an answer is sent.
enum Tried {
    All,
    /// This is left.
    Part(Vec<u8>),
    /// There is none: the stream is at its end.
    End,
}

fn try_answer(conn: &Conn<'_>, answer: impl Fn(&mut Vec<u8>)) -> Result<Tried, Error> {
    match or_nothing(conn.try_recv_with(<[u8]>::to_vec))? {
        None => Ok(Tried::All),
        Some(read) if read.is_empty() => Ok(Tried::End),
        Some(mut read) => {
            answer(&mut read);
            Ok(try_send(conn, &read)?.map_or(Tried::All, Tried::Part))
        }
    }
}

/// The talk's Fibonacci service.
///
/// # Errors
///
/// What the connection fails with.
pub async fn fib(conn: Conn<'_>, service: &Fib) -> Result<(), Error> {
    let mut requests = Requests::new();
    while let Ok(readable) = conn.on().until(conn.on().after(service.idle_timeout), conn.readable()).await {
        readable?;
        let Some(work) = respond(&conn, service, &mut requests)? else { continue };
        // What is rare has its place on the heap, so that idle connections have no room for it.
        if !Box::pin(wait_and_answer(&conn, service, &mut requests, work)).await? {
            break;
        }
    }
    Ok(())
}

thread_local! {
    /// Replies are made here, and mostly sent at once.
    static REPLIES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Answers what is there, as far as nothing has to be waited for. Returns what is left to do.
fn respond(conn: &Conn<'_>, service: &Fib, requests: &mut Requests) -> Result<Option<Box<Work>>, Error> {
    // The memory of the last one's replies, who may have been another.
    let mut replies = REPLIES.take();
    replies.clear();
    let answered = conn.try_recv_with(|bytes| {
        requests.begin_read(&service.rules, bytes, bytes.len() < BLOCK);
        let mut read = Read { bytes, ended: bytes.is_empty() };
        let stop = read.answer(service, requests, &mut replies);
        (stop, read.ended, read.bytes.to_vec())
    });
    let Some((stop, ended, bytes)) = or_nothing(answered)? else { return Ok(None) };
    let rest = try_send(conn, &replies)?;
    REPLIES.set(replies);
    if matches!(stop, Stop::Drained) && rest.is_none() {
        return Ok(None);
    }
    Ok(Some(Box::new(Work { bytes, ended, stop, replies: rest.unwrap_or_default() })))
}

/// A read in which there are jobs, or whose replies the peer does not take at once.
struct Work {
    /// What is not answered of it.
    bytes: Vec<u8>,
    /// The peer has sent its last byte.
    ended: bool,
    stop: Stop,
    replies: Vec<u8>,
}

/// Does what is left to do. Whether the connection goes on.
async fn wait_and_answer(
    conn: &Conn<'_>,
    service: &Fib,
    requests: &mut Requests,
    mut work: Box<Work>,
) -> Result<bool, Error> {
    loop {
        if !send(conn, std::mem::take(&mut work.replies), service.idle_timeout).await? {
            return Ok(false);
        }
        match work.stop {
            Stop::Drained => return Ok(true),
            Stop::Last => return Ok(false),
            Stop::Job(n) => match compute(conn, n, service.job_timeout).await {
                Some(reply) => push(&mut work.replies, reply, service),
                None => return Ok(false),
            },
        }
        let mut read = Read { bytes: &work.bytes, ended: work.ended };
        work.stop = read.answer(service, requests, &mut work.replies);
        let answered = work.bytes.len() - read.bytes.len();
        work.bytes.drain(..answered);
    }
}

/// `None` where the connection was not ready after all.
fn or_nothing<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(error) if error.io() == Some(IoError::WouldBlock) => Ok(None),
        read => read.map(Some),
    }
}

/// Sends, and returns what the peer does not take yet, if there is anything.
fn try_send(conn: &Conn<'_>, bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let sent = conn.try_send(bytes)?;
    Ok((sent < bytes.len()).then(|| bytes[sent..].to_vec()))
}

/// Sends all; whether that did not take too long.
async fn send(conn: &Conn<'_>, bytes: Vec<u8>, idle: Option<Duration>) -> Result<bool, Error> {
    let on = conn.on();
    match on.until(on.after(idle), conn.send_all(&bytes)).await {
        Ok(sent) => sent.map(|()| true),
        Err(_) => Ok(false),
    }
}

/// Why a batch of replies ended.
enum Stop {
    /// All that was read is answered.
    Drained,
    /// The next request is a job.
    Job(u32),
    /// The connection has got its last reply.
    Last,
}

/// What was read, as far as it is not answered.
struct Read<'a> {
    bytes: &'a [u8],
    /// The peer has sent its last byte.
    ended: bool,
}

impl Read<'_> {
    /// Answers requests up to the next job.
    fn answer(&mut self, service: &Fib, requests: &mut Requests, replies: &mut Vec<u8>) -> Stop {
        while let Some(request) = self.next(service, requests) {
            match request {
                Ok(n) if n > service.loop_n => return Stop::Job(n),
                Ok(n) => push(replies, Reply::Value(number(n)), service),
                Err(bad) => push(replies, Reply::Error(bad), service),
            }
            if request == Err(Bad::TooLong) {
                return Stop::Last;
            }
        }
        if self.ended { Stop::Last } else { Stop::Drained }
    }

    /// The next request, as [`Requests`] wants to be asked.
    fn next(&mut self, service: &Fib, requests: &mut Requests) -> Option<Request> {
        if !self.bytes.is_empty() {
            let (taken, request) = requests.next(&service.rules, self.bytes);
            self.bytes = &self.bytes[taken..];
            if request.is_some() {
                return request;
            }
        }
        let is_whole = self.ended || requests.is_pending();
        if is_whole { requests.finish(&service.rules) } else { None }
    }
}

fn push(replies: &mut Vec<u8>, reply: Reply, service: &Fib) {
    let mut line = [0; MAX_REPLY];
    let len = reply.render(&service.rules, &mut line);
    replies.extend_from_slice(&line[..len]);
}

/// The number, off the loop. A client that resets its connection takes its job with it: `None`.
async fn compute(conn: &Conn<'_>, n: u32, timeout: Option<Duration>) -> Option<Reply> {
    let on = conn.on();
    let job = select(on.job(FibJob::new(n)), conn.hangup());
    // The job is dropped with the future, and so cancelled.
    let Ok(ended) = on.until(on.after(timeout), job).await else {
        return Some(Reply::Error(Bad::Late));
    };
    match ended {
        Either::First(Ok(value)) => Some(Reply::Value(value)),
        Either::First(Err(Lost::Failed)) => Some(Reply::Error(Bad::Lost)),
        Either::First(Err(Lost::Refused(Refused::Full))) => Some(Reply::Error(Bad::Busy)),
        // The client is gone, or the server has no time left for it.
        Either::First(Err(_)) | Either::Second(_) => None,
    }
}
