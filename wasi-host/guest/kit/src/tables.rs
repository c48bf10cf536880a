//! The kernel's tables, in memory that the host may let other processes read: `sinbin ps` shows the tasks of a guest
//! from there, also while the guest is in a turn that does not end.
//!
//! The memory is grown once, at the start, if the host has asked for that before. It never moves.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::mem::{align_of, size_of};
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU32, Ordering, fence};

use sinbin_core::kernel::{Slots, Storage};
use sinbin_core::observe::Beacon;
use sinbin_core::observe::directory::{self, HANDLE_WORDS, HEAD, MAGIC, MARKS, PAGE, TABLES, VERSION, span};
use sinbin_core::{Growing, Limits, SourceId};

/// The maximum size of the memory, in bytes: that of 130,000 connections. The tables of a service with a higher limit
/// grow on the heap, and are not published, because the memory would have to be reserved at the start.
const MAX_SIZE: u32 = 16 << 20;

/// The tables, by their indexes in the directory.
const TASKS: usize = 0;
const SOURCES: usize = 1;
const JOBS: usize = 2;
const TIMERS: usize = 3;
const HANDLES: usize = 4;

/// The memory of the published tables, or of a directory alone.
struct Area {
    /// The words of the directory, and those of the tables behind it.
    words: NonNull<AtomicU32>,
    /// The size, in bytes.
    size: u32,
    /// The offsets and the limits of the tables; zeros if none is published.
    offsets: [u32; TABLES.len()],
    limits: [u32; TABLES.len()],
    taken: [Cell<bool>; TABLES.len()],
}

impl Area {
    /// Creates the memory for tables with these limits. If it can't have them, or if they are not published, it has a
    /// directory alone.
    fn new(limits: [u32; TABLES.len()], is_published: bool) -> Self {
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
    fn word(&self, index: usize) -> &'static AtomicU32 {
        debug_assert!(index < directory::WORDS, "the word is in the directory");
        // SAFETY: the directory has that many words, all initialized by zeros, which are valid atomics. They are never
        // freed, and are accessed by atomics only.
        unsafe { self.words.add(index).as_ref() }
    }

    /// Returns the words of a source's handle, if the table is that long.
    fn handle(&self, index: usize) -> Option<[&AtomicU32; HANDLE_WORDS]> {
        if index >= self.limits[HANDLES] as usize {
            return None;
        }
        let first = self.offsets[HANDLES] as usize / 4 + HANDLE_WORDS * index;
        // SAFETY: the row is within the table, which is within the memory. Otherwise as in `word`.
        Some(unsafe { [self.words.add(first).as_ref(), self.words.add(first + 1).as_ref()] })
    }

    /// Returns the memory of a table, at most once, if rows of type `T` are of its size.
    fn take<T>(&self, table: usize) -> Option<(NonNull<T>, usize)> {
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

/// Storage on the heap, with the kernel's tables where the host can let others read them.
#[derive(Clone, Copy)]
pub struct Published {
    limits: Limits,
    area: &'static Area,
}

impl Published {
    /// Creates storage with these capacities. Its tables are published if the host has asked for that, and then are never
    /// freed.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        #[cfg(target_arch = "wasm32")]
        let is_published = export::is_published();
        #[cfg(not(target_arch = "wasm32"))]
        let is_published = true;
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let (tasks, sources) = (count(limits.tasks()), count(limits.sources()));
        let jobs = count(limits.jobs::<()>().limit());
        let area = Box::leak(Box::new(Area::new([tasks, sources, jobs, tasks, sources], is_published)));
        #[cfg(target_arch = "wasm32")]
        export::set(area);
        Self { limits, area }
    }

    fn table<T>(&self, table: usize, limit: usize) -> Table<T> {
        match self.area.take(table) {
            Some((items, most)) => {
                let len = self.area.word(span(table) + 2);
                Table { items, len: 0, limit: limit.min(most), backing: Backing::Area(len) }
            }
            None => Table::heap(limit),
        }
    }
}

impl Storage for Published {
    type Tasks<T> = Table<T>;
    type Sources<T> = Table<T>;
    type Jobs<T> = Table<T>;
    type Blocks<T> = Growing<T>;
    type Bytes = Box<[u8]>;
    type Beacon = Mark;

    fn tasks<T>(&self) -> Table<T> {
        Table::heap(self.limits.tasks())
    }

    fn sources<T>(&self) -> Table<T> {
        self.table(SOURCES, self.limits.sources())
    }

    fn jobs<T>(&self) -> Table<T> {
        self.table(JOBS, self.limits.jobs::<()>().limit())
    }

    fn blocks<T>(&self) -> Growing<T> {
        self.limits.blocks()
    }

    fn bytes(&self) -> Box<[u8]> {
        self.limits.bytes()
    }

    fn beacon(&self) -> Mark {
        Mark { marks: self.area.word(MARKS), head: self.area.word(HEAD) }
    }

    fn task_slots<T>(&self) -> Table<T> {
        self.table(TASKS, self.limits.tasks())
    }

    fn timers<T>(&self) -> Table<T> {
        self.table(TIMERS, self.limits.tasks())
    }

    fn note_handle(&self, source: SourceId, handle: u64) {
        let Some([generation, number]) = self.area.handle(source.index()) else { return };
        let [index, current] = halves(source.to_bits());
        generation.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        number.store(halves(handle)[0], Ordering::Relaxed);
        generation.store(current, Ordering::Release);
        let len = self.area.word(span(HANDLES) + 2);
        len.store(len.load(Ordering::Relaxed).max(index + 1), Ordering::Relaxed);
    }
}

/// Returns the low and the high half: of an id, its index and its generation.
#[expect(clippy::cast_possible_truncation, reason = "the halves are 32 bits each")]
fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

/// The marks around the changes of the tables.
pub struct Mark {
    marks: &'static AtomicU32,
    head: &'static AtomicU32,
}

impl Beacon for Mark {
    #[inline]
    fn begin(&self) {
        self.marks.store(self.marks.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        // The store above comes before the changes of the tables, which are not atomic.
        fence(Ordering::Release);
    }

    #[inline]
    fn end(&self, head: u32) {
        self.rotated(head);
        self.marks.store(self.marks.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    #[inline]
    fn rotated(&self, head: u32) {
        self.head.store(head, Ordering::Relaxed);
    }
}

/// A table with a limit, which grows on the heap or is in the published memory.
pub struct Table<T> {
    items: NonNull<T>,
    len: usize,
    limit: usize,
    backing: Backing<T>,
}

enum Backing<T> {
    /// The owner of the items.
    Heap(Vec<T>),
    /// Published memory, and the word with the number of its items.
    Area(&'static AtomicU32),
}

impl<T> Table<T> {
    fn heap(limit: usize) -> Self {
        Self { items: NonNull::dangling(), len: 0, limit, backing: Backing::Heap(Vec::new()) }
    }
}

impl<T> Slots<T> for Table<T> {
    #[inline]
    fn items(&self) -> &[T] {
        // SAFETY: `items` and `len` are those of the vector, which only `push` accesses. Or `push` has initialized `len`
        // items in published memory, which is as large as the limit, lasts forever, belongs to this table alone (`take`),
        // is aligned for `T` (`take`), and is written by no other code: a host maps it for reading.
        unsafe { slice::from_raw_parts(self.items.as_ptr(), self.len) }
    }

    #[inline]
    fn items_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `items`, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.items.as_ptr(), self.len) }
    }

    fn limit(&self) -> usize {
        self.limit
    }

    fn push(&mut self, item: T) -> Result<(), T> {
        if self.len >= self.limit {
            return Err(item);
        }
        match &mut self.backing {
            Backing::Heap(owner) => {
                owner.push(item);
                self.items = NonNull::new(owner.as_mut_ptr()).unwrap_or(NonNull::dangling());
            }
            Backing::Area(len) => {
                // SAFETY: the memory is as large as the limit, which is more than `len`.
                unsafe { self.items.add(self.len).write(item) };
                len.store(len.load(Ordering::Relaxed) + 1, Ordering::Release);
            }
        }
        self.len += 1;
        Ok(())
    }
}

/// The functions of the interface `inspect`. They are written out as the component model expects them: bindings that are
/// generated would free the tables after the call of `tables`.
#[cfg(target_arch = "wasm32")]
mod export {
    use core::cell::RefCell;

    use super::Area;
    use crate::sole::Sole;

    static IS_PUBLISHED: Sole<bool> = Sole(RefCell::new(false));
    /// The address and the length of the tables.
    static LIST: Sole<[usize; 2]> = Sole(RefCell::new([0; 2]));

    pub(super) fn is_published() -> bool {
        *IS_PUBLISHED.0.borrow()
    }

    pub(super) fn set(area: &Area) {
        if area.size > 0 {
            LIST.0.replace([area.words.as_ptr().expose_provenance(), area.size as usize]);
        }
    }

    #[unsafe(export_name = "sinbin:service/inspect@0.1.0#publish")]
    extern "C" fn publish() {
        IS_PUBLISHED.0.replace(true);
    }

    #[unsafe(export_name = "sinbin:service/inspect@0.1.0#tables")]
    extern "C" fn tables() -> *const [usize; 2] {
        LIST.0.as_ptr()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use sinbin_core::Instant;
    use sinbin_core::Kernel;
    use sinbin_core::kernel::{Step, Wait};
    use sinbin_core::observe::{Image, TASK_WORDS};

    use super::*;

    /// Returns the words of a table that are in use.
    fn rows(area: &Area, table: usize) -> Vec<u32> {
        let [offset, _, len] = [0, 1, 2].map(|word| area.word(span(table) + word).load(Ordering::Relaxed));
        let words = offset as usize / 4..offset as usize / 4 + len as usize * TABLES[table];
        // SAFETY: the rows are within the memory.
        words.map(|index| unsafe { area.words.add(index).as_ref() }.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn a_kernel_is_restored_from_the_published_memory() {
        let storage = Published::new(Limits::new(100, 10, 4096).with_jobs(7));
        let mut kernel = Kernel::new(&storage);
        let source = kernel.open().expect("there is room");
        storage.note_handle(source, 5 << 32 | 3);
        let tasks = [(); 3].map(|()| kernel.spawn().expect("there is room"));
        kernel.advance(Instant::from_nanos(5));
        kernel.park(tasks[0], Step::Wait(Wait::recv(source)));
        let area = storage.area;
        assert_eq!(area.word(MARKS).load(Ordering::Relaxed) % 2, 0);
        assert_eq!(rows(area, HANDLES), [1, 3]);
        if cfg!(miri) {
            // Rows have padding. Another process reads it as any memory; for miri it is not initialized.
            return;
        }
        let [tasks_of, sources, jobs, timers] = [TASKS, SOURCES, JOBS, TIMERS].map(|table| rows(area, table));
        let head = area.word(HEAD).load(Ordering::Relaxed);
        let (tasks_of, sources) = (&tasks_of[..], &sources[..]);
        let image = Image { tasks: tasks_of, sources, jobs: &jobs, timers: &timers, head, now: kernel.now() };
        assert_eq!(tasks_of.len(), 3 * TASK_WORDS);
        let restored = Kernel::restore(&image).expect("the tables are those of a kernel");
        assert_eq!(restored.audit(), Ok(()));
        assert!(restored.tasks().eq(kernel.tasks()));
        assert!(restored.queue().eq([tasks[1], tasks[2]]));
    }

    #[test]
    fn tables_that_are_too_large_are_not_published() {
        let storage = Published::new(Limits::new(200_000, 0, 4096));
        assert_eq!((storage.area.size, storage.area.word(0).load(Ordering::Relaxed)), (0, 0));
        let mut kernel = Kernel::new(&storage);
        let task = kernel.spawn().expect("there is room");
        storage.note_handle(kernel.open().expect("there is room"), 1);
        assert_eq!(kernel.queue().collect::<Vec<_>>(), [task]);
    }

    #[test]
    fn tables_that_no_host_has_asked_for_are_not_published() {
        let area = Area::new([10; TABLES.len()], false);
        assert_eq!((area.size, area.handle(0).is_none(), area.take::<[u32; 14]>(TASKS)), (0, true, None));
    }

    #[test]
    fn a_table_owns_its_items_and_has_a_limit() {
        use std::rc::Rc;

        let item = Rc::new(());
        let mut table = Table::heap(2);
        assert!(table.items().is_empty());
        assert!(table.push(Rc::clone(&item)).is_ok() && table.push(Rc::clone(&item)).is_ok());
        assert!(table.push(Rc::clone(&item)).is_err());
        table.items_mut()[1] = Rc::new(());
        assert_eq!((Rc::strong_count(&item), table.items().len(), table.limit()), (2, 2, 2));
        drop(table);
        assert_eq!(Rc::strong_count(&item), 1);
    }
}
