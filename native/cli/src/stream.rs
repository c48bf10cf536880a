//! Stdout and stderr of a process that serves. A line is written entirely or dropped, and the process never waits for a
//! reader.
//!
//! The first write to a stream determines the type of its file:
//!
//! - A regular file or a device has no reader: a plain write.
//! - A socket: `MSG_DONTWAIT`, which applies to the single call.
//! - A pipe, a FIFO or a terminal: setting `O_NONBLOCK` on the inherited file description would set it for all
//!   processes that share the description, such as the user's shell. On Linux, the file is therefore opened again
//!   through `/proc/self/fd`, which creates a separate description.
//! - If the file can't be opened again (no `/proc`, or a file of another user): the stream is polled before each write,
//!   and a write is at most `PIPE_BUF` bytes long, which is the capacity of a pipe that is writable. If another process
//!   fills the same pipe between the two calls, the write can still block.
//!
//! There is neither a thread that writes nor a queue: system calls are cheaper in a process with one thread, and a
//! queue would need a limit, and could be lost at the end of the process. A line that does not fit is dropped and
//! counted, and the count is written before the next line that fits. If a line (of more than `PIPE_BUF` bytes) fits
//! only in part, the rest is kept, and is written first. A write to a file can still block if its disk or its network
//! does not respond; only a thread could avoid that.

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

/// The standard stream that a [`Stream`] writes to.
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
    /// The destination, which is determined at the first write.
    sink: Option<Sink>,
    /// The unwritten rest of a partially written line.
    rest: Vec<u8>,
    lost: Lost,
}

/// The numbers of lines that could not be written.
#[derive(Clone, Copy, Default, Debug)]
struct Lost {
    all: u64,
    /// The number of lost lines that no notice in the stream has reported yet.
    untold: u64,
}

impl Stream {
    const fn new(which: Standard) -> Self {
        let state = State { sink: None, rest: Vec::new(), lost: Lost { all: 0, untold: 0 } };
        Self { which, state: Mutex::new(state) }
    }

    /// Writes a line, or drops and counts it. Never blocks.
    ///
    /// # Errors
    ///
    /// Returns the reason why the line is dropped: `WouldBlock` if the reader is too slow.
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

    /// Writes all of the bytes, and blocks until they are written. For programs whose output is their purpose.
    ///
    /// # Errors
    ///
    /// Fails with the system's error, or if a signal arrives while the stream is blocked.
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

    /// Returns true if no bytes of an earlier write are left, and another write would succeed or fail without blocking.
    ///
    /// # Errors
    ///
    /// Fails if bytes of an earlier write can't be written.
    pub fn has_room(&self) -> io::Result<bool> {
        let mut state = self.lock();
        let State { sink, rest, .. } = &mut *state;
        let sink = sink.get_or_insert_with(|| Sink::open(self.which));
        settle(sink, rest).and_then(|()| sink.has_room()).or_else(|error| match error.kind() {
            ErrorKind::WouldBlock => Ok(false),
            _ => Err(error),
        })
    }

    /// Writes as many bytes as possible without blocking, and keeps the rest, to be written before any later bytes. A
    /// caller that checks [`has_room`](Self::has_room) first bounds the size of the rest.
    ///
    /// # Errors
    ///
    /// Fails if the bytes can't be written.
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

    /// Returns the number of lines that were dropped so far.
    pub fn lost(&self) -> u64 {
        self.lock().lost.all
    }

    /// Locks the state. No foreign code runs while the lock is held, and no panic can leave the state inconsistent.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the rest of an earlier write.
fn settle(sink: &Sink, rest: &mut Vec<u8>) -> io::Result<()> {
    while !rest.is_empty() {
        let count = sink.write(rest)?;
        rest.drain(..count);
    }
    Ok(())
}

/// Writes the rest of the previous line, then a notice if lines were lost, and then this line. Succeeds if a part of
/// the line is written: `rest` is then the remaining part.
fn offer(sink: &Sink, rest: &mut Vec<u8>, lost: u64, line: &[u8]) -> io::Result<()> {
    settle(sink, rest)?;
    let noticed;
    let mut left = line;
    if lost > 0 {
        let mut text = format!("({lost} lines could not be written here and were lost)\n").into_bytes();
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

/// A writer for logs, which writes lines as [`offer`](Stream::offer) does and never fails.
#[derive(Clone, Copy, Debug)]
pub struct Lossy(pub &'static Stream);

impl Write for Lossy {
    /// Writes a whole line, which the formatter of logs passes in a single call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The stream counts the lines that it drops.
        self.0.offer(line).ok();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that blocks, as [`write_all`](Stream::write_all) does.
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
