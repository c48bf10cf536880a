//! The file of a recording that is written.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sinbin::files::create_private;

use super::format::{END, End, HEAD, Header, LastPoll, MAGIC, MAX_REASON, MAX_RECORD, RECORD, Sum, VERSION};
use super::value::{put_number, put_piece};

/// The number of bytes that are written at a time.
const CHUNK: usize = 64 * 1024;

/// The maximum time for which fewer bytes are buffered. A process that is killed loses the buffered bytes.
const PATIENCE: Duration = Duration::from_millis(100);

/// A recording of the calls of a program, in a file. An error of the file is logged once, and the program goes on.
pub struct Recording {
    shared: Arc<Shared>,
    /// The thread that writes what has been buffered for a while, since the program may wait in a call for long.
    thread: Option<JoinHandle<()>>,
    /// The time of the last record.
    last: Instant,
}

struct Shared {
    state: Mutex<State>,
    /// Notified when the block is no longer empty, and when the recording is closed.
    changed: Condvar,
}

struct State {
    file: File,
    path: PathBuf,
    /// The records that are not written yet, behind the space for the head of their block.
    block: Vec<u8>,
    sum: Sum,
    poll: LastPoll,
    calls: u64,
    written: u64,
    /// The maximum size of the file in bytes.
    limit: u64,
    is_over: bool,
    is_closed: bool,
}

impl Recording {
    /// Starts a recording, in a file that is new or empty. It ends when the file has `limit` bytes.
    ///
    /// # Errors
    ///
    /// Fails if the file can't be created or written to, or if it is not empty or belongs to another user.
    pub fn create(path: &Path, header: &Header, limit: u64) -> io::Result<Self> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        let mut block = vec![0; HEAD];
        header.put(&mut block);
        let mut sum = Sum::default();
        sum.seal(&mut block);
        bytes.append(&mut block);
        let mut file = create_private(path)?;
        // Writes the header at once, to detect a file that cannot be written to.
        file.write_all(&bytes)?;
        let state = State {
            file,
            path: path.to_owned(),
            block: vec![0; HEAD],
            sum,
            poll: LastPoll::default(),
            calls: 0,
            written: bytes.len() as u64,
            limit,
            is_over: false,
            is_closed: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let writer = Arc::clone(&shared);
        let thread = thread::Builder::new().name("sinbin-record".to_owned());
        let thread = Some(thread.spawn(move || writer.write_regularly())?);
        Ok(Self { shared, thread, last: Instant::now() })
    }

    /// Returns the time since the last record in microseconds.
    fn micros(&mut self) -> u64 {
        let now = Instant::now();
        let micros = u64::try_from((now - self.last).as_micros()).unwrap_or(u64::MAX);
        // The rest of a microsecond counts for the next record.
        self.last += Duration::from_micros(micros);
        micros
    }

    /// Records a call. `is_poll` states that it is one of `poll`.
    pub(super) fn call(&mut self, function: u32, is_poll: bool, arguments: &[u8], answer: &[u8]) {
        let micros = self.micros();
        let mut state = self.shared.lock();
        let size = arguments.len() + answer.len() + RECORD;
        if !state.has_room(size) {
            return;
        }
        let State { block, poll, .. } = &mut *state;
        let was_empty = block.len() == HEAD;
        block.extend_from_slice(&function.to_le_bytes());
        put_number(micros, block);
        if is_poll {
            poll.put(arguments, block);
        } else {
            put_piece(arguments, block);
        }
        put_piece(answer, block);
        state.calls += 1;
        if state.block.len() >= CHUNK {
            state.write();
        } else if was_empty {
            drop(state);
            self.shared.changed.notify_one();
        }
    }

    /// Completes the recording when the program ends.
    pub(super) fn end(mut self, end: &End) {
        let micros = self.micros();
        let mut state = self.shared.lock();
        if state.is_over {
            return;
        }
        state.put_end(micros, end);
        state.write();
        if !state.is_over {
            let (calls, bytes) = (state.calls, state.written);
            tracing::info!(calls, bytes, "the recording is whole");
        }
        state.stop();
    }
}

impl Drop for Recording {
    /// Writes the buffered bytes, which may show why the program failed or the thread panicked.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.write();
        state.is_closed = true;
        drop(state);
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is complete before anything that may panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the buffered bytes [`PATIENCE`] after the first of them, until the recording is closed.
    fn write_regularly(&self) {
        let mut state = self.lock();
        while !state.is_closed {
            if state.block.len() == HEAD {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| !state.is_closed);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.write();
        }
    }
}

impl State {
    /// Returns true if a record of at most `size` bytes can be recorded. Otherwise, the recording has ended.
    fn has_room(&mut self, size: usize) -> bool {
        if self.is_over {
            return false;
        }
        if size > MAX_RECORD {
            self.give_up("a call has too many bytes for the recording, which");
            return false;
        }
        // An additional record is reserved for the end of the recording, and the head of its block.
        let most = self.block.len() + size + RECORD + MAX_REASON + HEAD;
        if self.written + most as u64 > self.limit {
            self.give_up("the recording has reached its limit (see --record-limit) and");
            return false;
        }
        true
    }

    fn put_end(&mut self, micros: u64, end: &End) {
        self.block.extend_from_slice(&END.to_le_bytes());
        put_number(micros, &mut self.block);
        put_number(self.calls, &mut self.block);
        end.put(&mut self.block);
    }

    /// Ends the recording before the program ends.
    fn give_up(&mut self, why: &str) {
        self.put_end(0, &End::Limit);
        self.write();
        if !self.is_over {
            let (file, bytes) = (self.path.display(), self.written);
            tracing::warn!(%file, bytes, "{why} ends here; the program goes on");
        }
        self.stop();
    }

    /// Writes the records as a block, if there are any.
    fn write(&mut self) {
        if self.is_over || self.block.len() == HEAD {
            return;
        }
        self.sum.seal(&mut self.block);
        match self.file.write_all(&self.block) {
            Ok(()) => {
                self.written += self.block.len() as u64;
                self.block.truncate(HEAD);
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    file = %self.path.display(),
                    "the recording cannot be written and ends here; what is in the file can be replayed; the program goes on"
                );
                self.stop();
            }
        }
    }

    fn stop(&mut self) {
        self.is_over = true;
        self.block = vec![0; HEAD];
    }
}
