//! What a guest is told goes to a file.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sinbin_core::Instant;
use sinbin_core::driven::recording::{Header, MAX_EVENTS, MAX_INPUT, Turn, Writer};

use sinbin_core::driven::{ServiceSettings, TurnOutput};

use crate::guests::input::LIMIT;

/// Bytes that are written in one go.
const CHUNK: usize = 64 * 1024;

/// How long less than that waits: what a process that is killed has not written, nobody can tell again.
const PATIENCE: Duration = Duration::from_millis(100);

/// Bytes of an event in a recording, and of a frame beside events and input, at the most.
const EVENT: usize = 32;
const FRAME: usize = 64;

/// A turn that is told can be recorded.
const _: () = assert!(LIMIT <= MAX_INPUT);

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
    pub(crate) fn create(
        path: &Path,
        service: &str,
        start: &ServiceSettings,
        limit: u64,
    ) -> io::Result<Self> {
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
    pub(crate) fn turn(&mut self, turn: &Turn<'_>, answer: Option<&TurnOutput>) {
        if self.is_over {
            return;
        }
        if turn.events.len() > MAX_EVENTS {
            return self.give_up("the recording can hold no turn of so many events");
        }
        // The end has its room as well.
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

    /// There is no room for more, or none for this turn.
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

/// Opens a file for its owner alone, as it has in it what clients send. One that is new is made with mode 0600; one
/// that is there must be empty and ours, and keeps its mode. A symbolic link is not followed: whoever can make one in a
/// directory could have any file of ours written to.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    restrict(&mut options);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_there(path),
        opened => opened,
    }
}

/// Opens a file that is there. The file that was opened is looked at, not its name.
fn open_there(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    restrict(&mut options);
    let opened = options.open(path);
    let what = "it is no regular file (a symbolic link is not followed); name one that is new or empty";
    // To open a FIFO or a directory so fails by itself.
    let is_file = fs::symlink_metadata(path).is_ok_and(|there| may_be_written(there.file_type()));
    if opened.is_err() && !is_file {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let file = opened?;
    let metadata = file.metadata()?;
    if !may_be_written(metadata.file_type()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    if !metadata.is_file() {
        return Ok(file);
    }
    if metadata.len() > 0 {
        let what = "there is something in it already; name another file, or remove it";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::uid(&metadata) != rustix::process::geteuid().as_raw() {
        let what = "it belongs to another user; name another file";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    Ok(file)
}

/// Follows no symbolic link, waits for no reader of a FIFO, and makes files for their owner alone.
#[cfg(unix)]
fn restrict(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;

    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.mode(0o600).custom_flags(flags.bits().cast_signed());
}

#[cfg(not(unix))]
fn restrict(_: &mut OpenOptions) {}

/// A file, or a device, which is for tests; no pipe, socket or directory.
fn may_be_written(kind: FileType) -> bool {
    #[cfg(unix)]
    let is_device = std::os::unix::fs::FileTypeExt::is_char_device(&kind);
    #[cfg(not(unix))]
    let is_device = false;
    kind.is_file() || is_device
}
