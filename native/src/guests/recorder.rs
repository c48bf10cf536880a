//! Recording of the guest's turns in a file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sinbin_core::Instant;
use sinbin_core::driven::recording::{Header, MAX_EVENTS, MAX_INPUT, Turn, Writer};

use sinbin_core::driven::{ServiceSettings, TurnOutput};

use crate::files::create_private;
use crate::guests::input::LIMIT;

/// The number of bytes that are written at a time.
const CHUNK: usize = 64 * 1024;

/// The maximum time for which fewer bytes are buffered. A process that is killed loses the buffered bytes.
const PATIENCE: Duration = Duration::from_millis(100);

/// The maximum number of bytes of an event in a recording, and of a frame without its events and input.
const EVENT: usize = 32;
const FRAME: usize = 64;

/// The input of every turn fits into a recording.
const _: () = assert!(LIMIT <= MAX_INPUT);

/// Writes a recording. An error of the file is logged once, and the guest is served as before.
pub(crate) struct Recorder {
    file: File,
    path: PathBuf,
    writer: Writer,
    /// The bytes that are not written yet, and the time since when there are any.
    buffer: Vec<u8>,
    since: Option<Instant>,
    written: u64,
    /// The maximum size of the file in bytes.
    limit: u64,
    is_over: bool,
}

impl Recorder {
    /// Starts a recording, in a file that is new or empty.
    pub(crate) fn create(
        path: &Path,
        service: &str,
        start: &ServiceSettings,
        limit: u64,
    ) -> io::Result<Self> {
        let mut buffer = Vec::with_capacity(2 * CHUNK);
        let header = Header { service: service.to_owned(), start: start.clone() };
        let writer = Writer::new(&header, &mut buffer);
        let mut file = create_private(path)?;
        // Writes the header at once, to detect a file that cannot be written to.
        file.write_all(&buffer)?;
        let written = buffer.len() as u64;
        buffer.clear();
        let path = path.to_owned();
        Ok(Self { file, path, writer, buffer, since: None, written, limit, is_over: false })
    }

    /// Records a turn and its answer, or `None` if the guest failed.
    pub(crate) fn turn(&mut self, turn: &Turn<'_>, answer: Option<&TurnOutput>) {
        if self.is_over {
            return;
        }
        if turn.events.len() > MAX_EVENTS {
            return self.give_up("the recording can hold no turn of so many events");
        }
        // An additional frame is reserved for the end of the recording.
        let most = turn.input.len() + EVENT * turn.events.len() + 2 * FRAME;
        if self.written + (self.buffer.len() + most) as u64 > self.limit {
            return self.give_up("the recording has reached its limit (see --record-limit)");
        }
        self.writer.turn(turn, answer, &mut self.buffer);
        self.since.get_or_insert(turn.now);
        if self.buffer.len() >= CHUNK {
            self.write();
        }
    }

    /// Records that a fresh guest takes over.
    pub(crate) fn fresh(&mut self, now: Instant) {
        if !self.is_over {
            self.writer.fresh(&mut self.buffer);
            self.since.get_or_insert(now);
        }
    }

    /// Returns the time by which the buffered bytes must be written, if there are any.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    /// Writes the buffered bytes if their time has come.
    pub(crate) fn write_if_due(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.write();
        }
    }

    /// Completes the recording when the server ends.
    pub(crate) fn end(mut self) {
        if self.is_over {
            return;
        }
        self.writer.end(true, &mut self.buffer);
        self.write();
        if !self.is_over {
            let (turns, bytes) = (self.writer.turns(), self.written);
            tracing::info!(turns, bytes, "the recording is whole");
        }
    }

    /// Ends the recording before the server ends.
    fn give_up(&mut self, why: &str) {
        self.writer.end(false, &mut self.buffer);
        self.write();
        if !self.is_over {
            tracing::warn!(
                file = %self.path.display(),
                bytes = self.written,
                "{why} and ends here; serving goes on"
            );
        }
        self.stop();
    }

    fn write(&mut self) {
        let (written, result) = write(&mut self.file, &self.buffer);
        self.written += written as u64;
        match result {
            Ok(()) => {
                self.buffer.clear();
                self.since = None;
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    file = %self.path.display(),
                    bytes = self.written,
                    "the recording cannot be written and ends here; what is in the file can be replayed; serving goes on"
                );
                self.stop();
            }
        }
    }

    fn stop(&mut self) {
        self.is_over = true;
        self.since = None;
        self.buffer = Vec::new();
    }
}

impl Drop for Recorder {
    /// Writes the buffered bytes, which may show why the loop failed or the thread panicked.
    fn drop(&mut self) {
        self.file.write_all(&self.buffer).ok();
    }
}

/// Writes all bytes. Returns the number of bytes written, which is smaller if an error occurs.
fn write(file: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}
