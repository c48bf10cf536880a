//! The fib protocol, shared by all peers, so that the comparison is about their loops rather than their parsers.
//!
//! A [`Session`] uses no socket: [`Session::feed`] accepts bytes, replies are written to a buffer that the whole loop
//! shares, and [`Session::send`] passes them to any function that writes.

use std::io;
use std::mem;

/// The size of the one buffer into which a loop reads.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// The largest request that is computed on the loop.
const SMALL: u32 = 10;

/// The largest request that is accepted.
const LARGEST: u32 = 45;

/// The longest line that an integer needs, which limits the size of an incomplete line.
const LONGEST_LINE: usize = 32;

/// The buffers of a loop, shared by all its connections.
pub(crate) struct Buffers {
    pub(crate) input: Box<[u8]>,
    pub(crate) replies: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { input: vec![0; READ_SIZE].into(), replies: Vec::with_capacity(READ_SIZE) }
    }
}

/// A request that is too large for the loop: the argument of fib.
pub(crate) struct Job(u32);

impl Job {
    pub(crate) fn run(self) -> u64 {
        fib(self.0)
    }
}

/// The state of a connection between its turns. Neither vector has an allocation while the connection is idle.
#[derive(Default)]
pub(crate) struct Session {
    input: Vec<u8>,
    unsent: Vec<u8>,
}

impl Session {
    /// Answers the complete lines of `bytes` into `replies`, which is cleared first, up to the first large request,
    /// which is returned. The remaining bytes are kept.
    pub(crate) fn feed(&mut self, bytes: &[u8], replies: &mut Vec<u8>) -> io::Result<Option<Job>> {
        replies.clear();
        if self.input.is_empty() {
            let (used, job) = answer_lines(bytes, replies);
            self.keep(&bytes[used..], job)
        } else {
            let mut all = mem::take(&mut self.input);
            all.extend_from_slice(bytes);
            let (used, job) = answer_lines(&all, replies);
            self.keep(&all[used..], job)
        }
    }

    /// Accepts the result of the job that [`Session::feed`] returned, and continues behind it.
    pub(crate) fn job_done(&mut self, value: u64, replies: &mut Vec<u8>) -> io::Result<Option<Job>> {
        replies.clear();
        render(value, replies);
        let rest = mem::take(&mut self.input);
        let (used, job) = answer_lines(&rest, replies);
        self.keep(&rest[used..], job)
    }

    /// Computes large requests at once, for loops that have no workers.
    pub(crate) fn feed_inline(&mut self, bytes: &[u8], replies: &mut Vec<u8>) -> io::Result<()> {
        let mut job = self.feed(bytes, replies)?;
        let mut all = Vec::new();
        while let Some(large) = job {
            all.append(replies);
            job = self.job_done(large.run(), replies)?;
        }
        if !all.is_empty() {
            all.append(replies);
            mem::swap(&mut all, replies);
        }
        Ok(())
    }

    /// Writes the replies that were left over before, and then `replies`, which is empty afterwards. Returns false if
    /// the socket is full; the rest is kept.
    pub(crate) fn send(
        &mut self,
        replies: &mut Vec<u8>,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        if self.unsent.is_empty() {
            let sent = write_some(replies, &mut write)?;
            self.unsent.extend_from_slice(&replies[sent..]);
        } else {
            self.unsent.append(replies);
            let sent = write_some(&self.unsent, &mut write)?;
            self.unsent.drain(..sent);
            if self.unsent.is_empty() {
                self.unsent = Vec::new();
            }
        }
        replies.clear();
        Ok(self.unsent.is_empty())
    }

    /// Returns true if replies wait for capacity of the socket. Until they are sent, the loop should not read.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.unsent.is_empty()
    }

    fn keep(&mut self, rest: &[u8], job: Option<Job>) -> io::Result<Option<Job>> {
        if job.is_none() && rest.len() > LONGEST_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line longer than any integer"));
        }
        self.input.extend_from_slice(rest);
        Ok(job)
    }
}

/// Writes until all bytes are sent or the socket is full. Returns the number of sent bytes.
fn write_some(bytes: &[u8], write: &mut impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match write(&bytes[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Answers line by line. Returns the number of used bytes, and the large request at which this stopped.
fn answer_lines(bytes: &[u8], replies: &mut Vec<u8>) -> (usize, Option<Job>) {
    let mut used = 0;
    while let Some(length) = bytes[used..].iter().position(|&byte| byte == b'\n') {
        let line = &bytes[used..used + length];
        used += length + 1;
        match parse(line) {
            Some(n) if n <= SMALL => render(fib(n), replies),
            Some(n) => return (used, Some(Job(n))),
            None => replies.extend_from_slice(b"error\n"),
        }
    }
    (used, None)
}

/// Parses the number on a line. Numbers below 0 count as 0.
fn parse(line: &[u8]) -> Option<u32> {
    let number: i64 = str::from_utf8(line.trim_ascii()).ok()?.parse().ok()?;
    u32::try_from(number.max(0)).ok().filter(|&n| n <= LARGEST)
}

fn render(value: u64, replies: &mut Vec<u8>) {
    replies.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    replies.push(b'\n');
}

/// Slow on purpose: represents work that blocks a loop.
fn fib(n: u32) -> u64 {
    if n <= 2 { 1 } else { fib(n - 1) + fib(n - 2) }
}
