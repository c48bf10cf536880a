//! The memory in which the tables of a guest in a sandbox, and its stack, are published.
//!
//! The memory is a file of its own, because its tables are written by the guest: a part of the guest's memory is a
//! mapping of them. The host writes its own notes only to the pages before the tables, which the guest can't reach.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use sinbin_core::Limits;

use crate::memory::Memory;
use crate::observe::board::Board;
use crate::observe::event::halves;
use crate::observe::header::{FIRST, MAGIC, VERSION};
use crate::observe::reading::monotonic;
use crate::observe::region::{HeaderRef, Region};

/// The name of the memory, as it appears in `/proc`.
pub(crate) const GUEST_NAME: &str = "sinbin-guest";

/// The offset of the guest's tables. The page before it has the stack.
pub(crate) const TABLES_AT: usize = 2 * FIRST;

/// The number of words before the text of a stack: the number of the note, the moment (two words), and the length.
pub(crate) const STACK_HEAD: usize = 4;

/// The maximum number of bytes of a stack's text.
pub(crate) const MAX_STACK: usize = FIRST - 4 * STACK_HEAD;

/// The maximum number of bytes of a guest's tables: those of 450,000 connections.
const MAX_TABLES: usize = 64 << 20;

/// The place where the tasks of a guest are published for other processes, if they are: beside the loop that drives the
/// guest.
#[derive(Clone)]
pub struct GuestTables {
    board: Board,
}

impl GuestTables {
    pub(crate) fn new(board: &Board) -> Self {
        Self { board: board.clone() }
    }

    /// Returns true if other processes may look at the loop.
    #[must_use]
    pub fn are_published(&self) -> bool {
        self.board.is_on()
    }

    /// Returns the storage of a guest in this process.
    pub(crate) fn storage(&self, limits: Limits) -> Memory {
        Memory::new(limits, self.board.clone())
    }

    /// Creates the memory of a guest in a sandbox, with `len` bytes of tables, in the layout of
    /// [`directory`](crate::kernel::observe::directory). Calls `map` with the file and the offset of the tables in it, to
    /// map them into the memory of the guest; the tables are zeros at first. No process can map them for writing later.
    /// `len` is 0 for a guest that publishes no tables.
    ///
    /// # Errors
    ///
    /// Fails with the error of the system or of `map`, with [`io::ErrorKind::Unsupported`] on systems other than Linux,
    /// and with [`io::ErrorKind::InvalidInput`] if the tables have more than 64 MiB.
    pub fn memory(
        &self,
        len: usize,
        map: impl FnOnce(&File, usize) -> io::Result<()>,
    ) -> io::Result<GuestMemory> {
        if len > MAX_TABLES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let len = TABLES_AT + len.next_multiple_of(FIRST);
        let (region, number) = Region::shared(GUEST_NAME, len, |file| map(file, TABLES_AT))?;
        let header = region.header();
        header.pid.store(std::process::id(), Ordering::Relaxed);
        header.version.store(VERSION, Ordering::Relaxed);
        header.magic.store(MAGIC, Ordering::Release);
        let of_loop = self.board.header();
        of_loop.guest.store(number.saturating_add(1), Ordering::Release);
        Ok(GuestMemory { region, number, of_loop, notes: AtomicU32::new(0) })
    }
}

/// The memory of a guest in a sandbox, until it is dropped.
pub struct GuestMemory {
    region: Arc<Region>,
    /// The descriptor, by which readers find the memory.
    number: u32,
    of_loop: HeaderRef,
    /// The number of notes so far.
    notes: AtomicU32,
}

impl GuestMemory {
    /// Notes the guest's stack during a turn that takes long. Only the thread of the guest may call it. Of a text of more
    /// than 4 KiB, the beginning is kept.
    pub fn note_stack(&self, stack: &str) {
        let text = &stack.as_bytes()[..stack.floor_char_boundary(MAX_STACK)];
        let Some([number, at, at2, len, words @ ..]) = self.region.words(FIRST, FIRST / 4) else { return };
        number.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, value) in [at, at2].into_iter().zip(halves(monotonic())) {
            word.store(value, Ordering::Relaxed);
        }
        len.store(u32::try_from(text.len()).unwrap_or(0), Ordering::Relaxed);
        for (word, bytes) in words.iter().zip(text.chunks(4)) {
            let mut four = [0; 4];
            four[..bytes.len()].copy_from_slice(bytes);
            word.store(u32::from_ne_bytes(four), Ordering::Relaxed);
        }
        let next = self.notes.load(Ordering::Relaxed).checked_add(1).unwrap_or(1);
        self.notes.store(next, Ordering::Relaxed);
        number.store(next, Ordering::Release);
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        // The next instance may have taken the place already.
        let own = self.number.saturating_add(1);
        self.of_loop.guest.compare_exchange(own, 0, Ordering::Release, Ordering::Relaxed).ok();
    }
}
