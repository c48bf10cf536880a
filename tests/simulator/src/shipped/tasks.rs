//! Services as users write them with the core: `async fn`s with timeouts, jobs and helper tasks.

use std::time::Duration;

use sinbin_core::fib::{FibJob, fib as number};
use sinbin_core::fib_protocol::{Bad, MAX_REPLY, Reply, Request, Requests, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_core::task::{Conn, Error, Handle, JobError, WaitError};

/// Returns the bytes that it receives.
pub(super) async fn echo(conn: &Conn<'_>, handle: Handle<'_>, idle: Option<Duration>) -> Result<(), Error> {
    let mut buffer = [0; 128];
    // The loop ends when the deadline has passed.
    while let Ok(received) = handle.until(handle.after(idle), conn.recv(&mut buffer)).await {
        match received? {
            0 => break,
            count => match handle.until(handle.after(idle), conn.send_all(&buffer[..count])).await {
                Ok(sent) => sent?,
                Err(_) => break,
            },
        }
    }
    Ok(())
}

/// Answers lines, large numbers by jobs.
pub(super) async fn fib(conn: &Conn<'_>, handle: Handle<'_>, service: &Fib) -> Result<(), Error> {
    let rules = &service.rules;
    let mut requests = Requests::new();
    let mut buffer = [0; 128];
    while let Ok(received) = handle.until(handle.after(service.idle_timeout), conn.recv(&mut buffer)).await {
        let count = received?;
        let mut bytes = &buffer[..count];
        requests.begin_read(rules, bytes, count < buffer.len());
        loop {
            let (taken, request) = if bytes.is_empty() { (0, None) } else { requests.next(rules, bytes) };
            bytes = &bytes[taken..];
            let ended = count == 0;
            let request = if ended { requests.finish(rules) } else { request };
            let Some(request) = request else { break };
            let Some(reply) = reply(handle, request, service.loop_n).await else { return Ok(()) };
            if !send(conn, handle, &reply, rules, service.idle_timeout).await? || request == Err(Bad::TooLong)
            {
                return Ok(());
            }
        }
        if count == 0 {
            break;
        }
    }
    Ok(())
}

/// Returns the reply, or `None` if the task is cancelled.
async fn reply(handle: Handle<'_>, request: Request, loop_n: u32) -> Option<Reply> {
    match request {
        Err(bad) => Some(Reply::Error(bad)),
        Ok(n) if n <= loop_n => Some(Reply::Value(number(n))),
        Ok(n) => match handle.job(FibJob::new(n)).await {
            Ok(value) => Some(Reply::Value(value)),
            Err(JobError::Wait(WaitError::Cancelled)) => None,
            Err(JobError::Wait(_)) => Some(Reply::Error(Bad::Busy)),
            Err(_) => Some(Reply::Error(Bad::Lost)),
        },
    }
}

async fn send(
    conn: &Conn<'_>,
    handle: Handle<'_>,
    reply: &Reply,
    rules: &Rules,
    idle: Option<Duration>,
) -> Result<bool, Error> {
    let mut line = [0; MAX_REPLY];
    let len = reply.render(rules, &mut line);
    match handle.until(handle.after(idle), conn.send_all(&line[..len])).await {
        Ok(sent) => sent.map(|()| true),
        Err(_) => Ok(false),
    }
}
