//! The fib protocol, written once for all peers, so that what is compared is their loops and not their parsers.
//!
//! A [`Session`] knows no socket: bytes go in by [`Session::feed`], replies come out in a buffer that the whole
//! loop shares, and [`Session::send`] hands them to any function that writes.

use std::io;
use std::mem;

/// The size of the one buffer that a loop reads into.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// Up to here a request is computed on the loop.
const SMALL: u32 = 10;

/// Above this a request is refused.
const LARGEST: u32 = 45;

/// No integer needs a longer line, so half a line never grows beyond it.
const LONGEST_LINE: usize = 32;

/// What a loop needs once, however many connections it has.
pub(crate) struct Buffers {
    pub(crate) input: Box<[u8]>,
    pub(crate) replies: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { input: vec![0; READ_SIZE].into(), replies: Vec::with_capacity(READ_SIZE) }
    }
}

/// A request too large for the loop: fib of this.
pub(crate) struct Job(u32);

impl Job {
    pub(crate) fn run(self) -> u64 {
        fib(self.0)
    }
}

/// What a connection has to remember between its turns. Neither vector holds memory while the connection is idle.
#[derive(Default)]
pub(crate) struct Session {
    input: Vec<u8>,
    unsent: Vec<u8>,
}

impl Session {
    /// Answers the complete lines of `bytes` into `replies` (emptied first), up to the first large request, which
    /// is returned. The rest is kept.
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

    /// Takes the result of the job that [`Session::feed`] returned, and goes on behind it.
    pub(crate) fn job_done(&mut self, value: u64, replies: &mut Vec<u8>) -> io::Result<Option<Job>> {
        replies.clear();
        render(value, replies);
        let rest = mem::take(&mut self.input);
        let (used, job) = answer_lines(&rest, replies);
        self.keep(&rest[used..], job)
    }

    /// Computes large requests on the spot, for loops that have no other place for them.
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

    /// Writes what was left over before and then `replies`, which is empty afterwards. False: the socket is full,
    /// and the rest waits here.
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

    /// Whether replies wait for room in the socket; until they are gone nothing more should be read.
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

/// Writes until all is out or the socket is full; returns how much went.
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

/// Answers line by line; returns how many bytes that took, and the large request that ended it.
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

/// The number on a line. Below zero fib is what it is at zero.
fn parse(line: &[u8]) -> Option<u32> {
    let number: i64 = str::from_utf8(line.trim_ascii()).ok()?.parse().ok()?;
    u32::try_from(number.max(0)).ok().filter(|&n| n <= LARGEST)
}

fn render(value: u64, replies: &mut Vec<u8>) {
    replies.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    replies.push(b'\n');
}

/// Slow on purpose: it stands for work that holds a loop up.
fn fib(n: u32) -> u64 {
    if n <= 2 { 1 } else { fib(n - 1) + fib(n - 2) }
}
