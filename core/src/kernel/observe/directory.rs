//! The memory in which a guest publishes its tables: a directory, and the tables behind it.
//!
//! All numbers are 32-bit words in little-endian order. The directory begins with [`MAGIC`], [`VERSION`], the number of
//! marks (odd during a change), and the index of the oldest task in the run queue. Three words for each of the
//! [`TABLES`] follow: the offset of the table from the beginning of the memory in bytes, the maximum number of its rows,
//! and the number of rows that were ever in use.

use crate::kernel::image::{JOB_WORDS, LAYOUT, SOURCE_WORDS, TASK_WORDS, TIMER_WORDS};

/// The number at the beginning of the memory.
pub const MAGIC: u32 = u32::from_le_bytes(*b"snbn");

/// The version of the directory and of the rows: it changes with each change of either.
pub const VERSION: u32 = LAYOUT << 16 | 2;

/// The number of words of a source's handle: the generation of the source, and the low half of the driver's handle.
pub const HANDLE_WORDS: usize = 2;

/// The number of words of a task's note: the generation of the task, the number of its label, the task that has spawned it
/// (index and generation), and the named synchronizer that it waits for (the number of the name's label, and the
/// [number](crate::task::WaitKind::number) of the kind of the wait in the upper half). Numbers of labels begin at 1, and 0
/// stands for none. The generation is 0 while the note is written.
pub const NOTE_WORDS: usize = 5;

/// The number of words of a label: the index of its first word of text, and the lengths of its name and of its place in
/// bytes (the upper half). The place follows the name. Labels never change.
pub const LABEL_WORDS: usize = 2;

/// The numbers of words of a row of each table: tasks, sources, jobs, timers, handles of sources, notes about tasks,
/// labels, and the text of labels.
pub const TABLES: [usize; 8] =
    [TASK_WORDS, SOURCE_WORDS, JOB_WORDS, TIMER_WORDS, HANDLE_WORDS, NOTE_WORDS, LABEL_WORDS, 1];

/// The index of the word with the number of marks.
pub const MARKS: usize = 2;

/// The index of the word with the index of the oldest task in the run queue.
pub const HEAD: usize = 3;

/// The number of words of the directory.
pub const WORDS: usize = 4 + 3 * TABLES.len();

/// The alignment of the memory and of each table in it, in bytes: the page size of the machines that map it.
pub const PAGE: usize = 4096;

/// Returns the index of the word with the offset of a table. The words with its limit and its length follow.
#[must_use]
pub const fn span(table: usize) -> usize {
    4 + 3 * table
}

/// Returns the offsets of the tables with these limits from the beginning of the memory, and the size of the memory, in
/// bytes. Returns `None` if the size has more than 32 bits.
#[must_use]
pub fn offsets(limits: [u32; TABLES.len()]) -> Option<([u32; TABLES.len()], u32)> {
    let page = u32::try_from(PAGE).ok()?;
    let mut end = page;
    let mut offsets = [0; TABLES.len()];
    for ((offset, limit), words) in offsets.iter_mut().zip(limits).zip(TABLES) {
        *offset = end;
        let size = limit.checked_mul(4 * u32::try_from(words).ok()?)?;
        // Pages of a table that are never used then need no memory.
        end = end.checked_add(size)?.checked_next_multiple_of(page)?;
    }
    Some((offsets, end))
}

const _: () = assert!(4 * WORDS <= PAGE, "the directory fits into a page");
