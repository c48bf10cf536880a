//! The memory in which the tables are published: a directory, and the tables behind it.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use core::cell::Cell;
use core::mem::{align_of, size_of};
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU32, Ordering};

use sinbin_core::observe::directory::{self, HEAD, MAGIC, PAGE, TABLES, VERSION, span};

/// The maximum size of the memory, in bytes: that of 140,000 connections. The tables of a service with a higher limit
/// grow on the heap, and are not published, because the memory would have to be reserved at the start.
const MAX_SIZE: u32 = 20 << 20;

/// The tables, by their indexes in the directory.
pub(crate) const TASKS: usize = 0;
pub(crate) const SOURCES: usize = 1;
pub(crate) const JOBS: usize = 2;
pub(crate) const TIMERS: usize = 3;
pub(crate) const HANDLES: usize = 4;
pub(crate) const NOTES: usize = 5;
pub(crate) const LABELS: usize = 6;
pub(crate) const TEXTS: usize = 7;

/// The memory of the published tables, or of a directory alone.
pub(crate) struct Area {
    /// The words of the directory, and those of the tables behind it.
    pub(crate) words: NonNull<AtomicU32>,
    /// The size, in bytes.
    pub(crate) size: u32,
    /// The offsets and the limits of the tables; zeros if none is published.
    offsets: [u32; TABLES.len()],
    limits: [u32; TABLES.len()],
    taken: [Cell<bool>; TABLES.len()],
}

impl Area {
    /// Creates the memory for tables with these limits. If it can't have them, or if they are not published, it has a
    /// directory alone.
    pub(crate) fn new(limits: [u32; TABLES.len()], is_published: bool) -> Self {
        let published = if is_published { directory::offsets(limits) } else { None };
        let published = published.filter(|(_, size)| *size <= MAX_SIZE);
        let published = published.and_then(|(offsets, size)| Some((grow(size)?, offsets, size)));
        let Some((words, offsets, size)) = published else {
            let words = Box::leak(Box::new([const { AtomicU32::new(0) }; directory::WORDS]));
            let words = NonNull::from(words).cast();
            return Self { words, size: 0, offsets: [0; _], limits: [0; _], taken: Default::default() };
        };
        let area = Self { words, size, offsets, limits, taken: Default::default() };
        for (table, (offset, limit)) in offsets.into_iter().zip(limits).enumerate() {
            area.word(span(table)).store(offset, Ordering::Relaxed);
            area.word(span(table) + 1).store(limit, Ordering::Relaxed);
        }
        area.word(HEAD).store(u32::MAX, Ordering::Relaxed);
        area.word(1).store(VERSION, Ordering::Relaxed);
        area.word(0).store(MAGIC, Ordering::Release);
        area
    }

    /// Returns a word of the directory. The index must be less than [`directory::WORDS`].
    pub(crate) fn word(&self, index: usize) -> &'static AtomicU32 {
        debug_assert!(index < directory::WORDS, "the word is in the directory");
        // SAFETY: the directory has that many words, all initialized by zeros, which are valid atomics. They are never
        // freed, and are accessed by atomics only.
        unsafe { self.words.add(index).as_ref() }
    }

    /// Returns `count` words of a table from the word `first` on, if the table is that long. The table must be one that
    /// [`take`](Self::take) is not called for.
    pub(crate) fn words(&self, table: usize, first: usize, count: usize) -> Option<&'static [AtomicU32]> {
        debug_assert!(table >= HANDLES, "tables of the kernel are accessed as a whole");
        let len = self.limits[table] as usize * TABLES[table];
        if first.checked_add(count)? > len {
            return None;
        }
        // SAFETY: the words are within the table, which is within the memory. Otherwise as in `word`: `take`, which gives
        // out other tables, is the only other access to what is behind the directory.
        let words = unsafe { self.words.byte_add(self.offsets[table] as usize).add(first) };
        // SAFETY: as above.
        Some(unsafe { slice::from_raw_parts(words.as_ptr(), count) })
    }

    /// Returns the memory of a table, at most once, if rows of type `T` are of its size.
    pub(crate) fn take<T>(&self, table: usize) -> Option<(NonNull<T>, usize)> {
        let limit = self.limits[table] as usize;
        if limit == 0 || size_of::<T>() != 4 * TABLES[table] || align_of::<T>() > 8 || self.taken[table].get()
        {
            return None;
        }
        self.taken[table].set(true);
        // SAFETY: the offset is within the memory.
        Some((unsafe { self.words.byte_add(self.offsets[table] as usize) }.cast(), limit))
    }
}

/// Returns `size` bytes of zeros at the beginning of a page, which are never freed.
#[cfg(target_arch = "wasm32")]
fn grow(size: u32) -> Option<NonNull<AtomicU32>> {
    const WASM_PAGE: usize = 64 * 1024;

    let before = core::arch::wasm32::memory_grow(0, (size as usize).div_ceil(WASM_PAGE));
    let address = (before != usize::MAX).then(|| before * WASM_PAGE)?;
    NonNull::new(core::ptr::with_exposed_provenance_mut(address))
}

/// Allocates memory for tests.
#[cfg(not(target_arch = "wasm32"))]
fn grow(size: u32) -> Option<NonNull<AtomicU32>> {
    let layout = core::alloc::Layout::from_size_align(size as usize, PAGE).ok()?;
    // SAFETY: the size is not 0, because the directory has a page.
    NonNull::new(unsafe { alloc::alloc::alloc_zeroed(layout) }.cast())
}

const _: () = assert!(PAGE >= 8, "rows are aligned");
