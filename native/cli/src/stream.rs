//! Stdout and stderr of a process that serves: whole lines go there, or nowhere, and never does the process wait for
//! whoever reads them.
//!
//! The first write to a stream finds out where it leads to:
//!
//! - A regular file or a device has no reader to wait for: a plain write.
//! - A socket: `MSG_DONTWAIT`, which is about the call alone.
//! - A pipe, a FIFO or a terminal: to set `O_NONBLOCK` on the inherited description would set it for all who share it, the
//!   user's shell among them. So, on Linux, the file is opened again by way of `/proc/self/fd`, which makes a description of
//!   our own.
//! - Where that can't be (no `/proc`, or the file is another user's): the stream is polled before each write, and no write is
//!   larger than `PIPE_BUF`, which is what a pipe has room for once it is writable. Another process that fills the same pipe
//!   between the two calls can still make this one wait.
//!
//! There is no thread that writes, and no queue: a process of one thread makes cheaper system calls, and a queue is one more
//! thing to be bounded, and to be lost at the end. A line that does not fit is dropped and counted, and the count is written
//! in front of the next line that fits. Of a line that fits in part (one longer than `PIPE_BUF`) the rest is kept, and goes
//! first. What can still block is a file on a disk or a network that does not answer; only a thread could help there.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(not(unix))]
use other::Sink;
#[cfg(unix)]
use unix::Sink;

/// Stdout.
pub static OUT: Stream = Stream::new(Standard::Out);

/// Stderr.
pub static ERR: Stream = Stream::new(Standard::Err);

/// Which of the two a stream is.
#[derive(Clone, Copy, Debug)]
enum Standard {
    Out,
    Err,
}

/// Stdout or stderr.
#[derive(Debug)]
pub struct Stream {
    which: Standard,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Found out at the first write.
    sink: Option<Sink>,
    /// The unwritten rest of a line that was begun.
    rest: Vec<u8>,
    lost: Lost,
}

/// Lines that could not be written.
#[derive(Clone, Copy, Default, Debug)]
struct Lost {
    all: u64,
    /// Lost lines that no notice in the stream has mentioned yet.
    untold: u64,
}

impl Stream {
    const fn new(which: Standard) -> Self {
        let state = State { sink: None, rest: Vec::new(), lost: Lost { all: 0, untold: 0 } };
        Self { which, state: Mutex::new(state) }
    }

    /// Writes a line, or drops and counts it. Never waits.
    ///
    /// # Errors
    ///
    /// Why it is dropped: `WouldBlock` if nobody reads.
    pub fn offer(&self, line: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let State { sink, rest, lost } = &mut *state;
        let sink = sink.get_or_insert_with(|| Sink::open(self.which));
        let offered = offer(sink, rest, lost.untold, line);
        if offered.is_ok() {
            lost.untold = 0;
        } else {
            lost.all += 1;
            lost.untold += 1;
        }
        offered
    }

    /// Writes all of it, as soon as there is room for it: for programs whose output is what they are there for.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let State { sink, rest, .. } = &mut *state;
        let sink = sink.get_or_insert_with(|| Sink::open(self.which));
        for mut part in [std::mem::take(rest).as_slice(), bytes] {
            while !part.is_empty() {
                match sink.write(part) {
                    Ok(count) => part = &part[count..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => sink.wait()?,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Returns true if nothing is left of an earlier write, and another would find room, or fail.
    ///
    /// # Errors
    ///
    /// When what was left can't be written.
    pub fn has_room(&self) -> io::Result<bool> {
        let mut state = self.lock();
        let State { sink, rest, .. } = &mut *state;
        let sink = sink.get_or_insert_with(|| Sink::open(self.which));
        settle(sink, rest).and_then(|()| sink.has_room()).or_else(|error| match error.kind() {
            ErrorKind::WouldBlock => Ok(false),
            _ => Err(error),
        })
    }

    /// Writes what there is room for, and keeps the rest, which goes before anything else. Who asks first whether there is
    /// room ([`has_room`](Self::has_room)) bounds what is kept.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn push(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let State { sink, rest, .. } = &mut *state;
        let sink = sink.get_or_insert_with(|| Sink::open(self.which));
        rest.extend_from_slice(bytes);
        match settle(sink, rest) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => {
                rest.clear();
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Returns how many lines were dropped so far.
    pub fn lost(&self) -> u64 {
        self.lock().lost.all
    }

    /// Locks the state. No user's code runs under the lock, and the state is whole at any time.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is left of a write.
fn settle(sink: &Sink, rest: &mut Vec<u8>) -> io::Result<()> {
    while !rest.is_empty() {
        let count = sink.write(rest)?;
        rest.drain(..count);
    }
    Ok(())
}

/// Writes what is left of the line before, then this one; in front of it, how many were lost. Succeeds once the line has
/// begun: what is left of it is `rest` then.
fn offer(sink: &Sink, rest: &mut Vec<u8>, lost: u64, line: &[u8]) -> io::Result<()> {
    settle(sink, rest)?;
    let noticed;
    let mut left = line;
    if lost > 0 {
        let mut text = format!("({lost} lines could not be written here, and are lost)\n").into_bytes();
        text.extend_from_slice(line);
        noticed = text;
        left = &noticed;
    }
    left = &left[sink.write(left)?..];
    while !left.is_empty() {
        match sink.write(left) {
            Ok(count) => left = &left[count..],
            Err(_) => {
                rest.extend_from_slice(left);
                break;
            }
        }
    }
    Ok(())
}

/// Writes lines as [`offer`](Stream::offer) does, and never fails: where logs go.
#[derive(Clone, Copy, Debug)]
pub struct Lossy(pub &'static Stream);

impl Write for Lossy {
    /// Takes a whole line, as the formatter of logs hands it over.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The stream counts a line that it drops.
        self.0.offer(line).ok();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes as [`write_all`](Stream::write_all) does.
#[derive(Clone, Copy, Debug)]
pub struct Waiting(pub &'static Stream);

impl Write for Waiting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
