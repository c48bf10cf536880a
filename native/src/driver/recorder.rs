//! What a guest is told goes to a file.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sinbin_core::Instant;
use sinbin_core::driven::recording::{Header, Turn, Writer};
use sinbin_core::driven::{Answer, Start};

/// Bytes that are written in one go.
const CHUNK: usize = 64 * 1024;

/// How long less than that waits: what a process that is killed has not written, nobody can tell again.
const PATIENCE: Duration = Duration::from_millis(100);

/// Bytes of an event in a recording, and of a frame beside events and input, at the most.
const EVENT: usize = 32;
const FRAME: usize = 64;

/// Writes a recording. What goes wrong with the file is told once, and the guest is served as before.
pub(crate) struct Recorder {
    file: File,
    path: PathBuf,
    writer: Writer,
    /// What is not written yet, and since when there is any.
    buffer: Vec<u8>,
    since: Option<Instant>,
    written: u64,
    /// Bytes of the whole file, at the most.
    limit: u64,
    is_over: bool,
}

impl Recorder {
    /// Begins a recording, in a file that is new or empty.
    pub(crate) fn create(path: &Path, service: &str, start: &Start, limit: u64) -> io::Result<Self> {
        let mut buffer = Vec::with_capacity(2 * CHUNK);
        let header = Header { service: service.to_owned(), start: start.clone() };
        let writer = Writer::new(&header, &mut buffer);
        let mut file = open(path)?;
        // A file that can't be written to is better known now.
        file.write_all(&buffer)?;
        let written = buffer.len() as u64;
        buffer.clear();
        let path = path.to_owned();
        Ok(Self { file, path, writer, buffer, since: None, written, limit, is_over: false })
    }

    /// A turn, and what was answered; `None` if the guest failed.
    pub(crate) fn turn(&mut self, turn: &Turn<'_>, answer: Option<&Answer>) {
        if self.is_over {
            return;
        }
        // The end has its room as well.
        let most = turn.input.len() + EVENT * turn.events.len() + 2 * FRAME;
        if self.written + (self.buffer.len() + most) as u64 > self.limit {
            return self.give_up();
        }
        self.writer.turn(turn, answer, &mut self.buffer);
        self.since.get_or_insert(turn.now);
        if self.buffer.len() >= CHUNK {
            self.write();
        }
    }

    /// From here on, a fresh guest is told.
    pub(crate) fn fresh(&mut self, now: Instant) {
        if !self.is_over {
            self.writer.fresh(&mut self.buffer);
            self.since.get_or_insert(now);
        }
    }

    /// When something is to be written, if it has not been until then.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    /// Writes what has waited for long enough.
    pub(crate) fn write_if_due(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.write();
        }
    }

    /// The guest is told nothing any more.
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

    /// There is no room for more.
    fn give_up(&mut self) {
        self.writer.end(false, &mut self.buffer);
        self.write();
        if !self.is_over {
            tracing::warn!(
                file = %self.path.display(),
                bytes = self.written,
                "the recording has reached its limit (see --record-limit) and ends here; serving goes on"
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
    /// The loop failed, or the thread panics: what there is may say why.
    fn drop(&mut self) {
        self.file.write_all(&self.buffer).ok();
    }
}

/// Writes all of it; how much was, where that fails in the middle.
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

/// A file for its owner alone, as it has in it what clients send. One that has something in it stays as it is: it may be
/// what a server said before it crashed, or what another one is saying.
fn open(path: &Path) -> io::Result<File> {
    // To open a pipe may wait for its reader, for ever.
    if fs::metadata(path).is_ok_and(|there| !may_be_written(there.file_type())) {
        let what = "it is no regular file; name one that is new or empty";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        if metadata.len() > 0 {
            let what = "there is something in it already; name another file, or remove it";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    }
    Ok(file)
}

/// A file, or a device, which is for tests; no pipe, socket or directory.
fn may_be_written(kind: FileType) -> bool {
    #[cfg(unix)]
    let is_device = std::os::unix::fs::FileTypeExt::is_char_device(&kind);
    #[cfg(not(unix))]
    let is_device = false;
    kind.is_file() || is_device
}
