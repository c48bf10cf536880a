//! The kernel's tables, in memory that the host may let other processes read: `sinbin ps` shows the tasks of a guest
//! from there, also while the guest is in a turn that does not end.
//!
//! The memory is grown once, at the start, if the host has asked for that before. It never moves.
#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU32, Ordering, fence};

use sinbin_core::kernel::{Slots, Storage, TaskNote};
use sinbin_core::observe::Beacon;
use sinbin_core::observe::directory::{HANDLE_WORDS, HEAD, MARKS, span};
use sinbin_core::{Growing, Limits, SourceId, TaskId};

use crate::area::{Area, HANDLES, JOBS, SOURCES, TASKS, TIMERS};
use crate::notes::{MAX_LABELS, MAX_TEXT, Notes, halves};

/// Storage on the heap, with the kernel's tables where the host can let others read them.
#[derive(Clone, Copy)]
pub struct Published {
    limits: Limits,
    area: &'static Area,
    notes: &'static Notes,
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
        let limits_of_tables = [tasks, sources, jobs, tasks, sources, tasks, MAX_LABELS, MAX_TEXT / 4];
        let area: &Area = Box::leak(Box::new(Area::new(limits_of_tables, is_published)));
        #[cfg(target_arch = "wasm32")]
        export::set(area);
        Self { limits, area, notes: Box::leak(Box::new(Notes::new(area))) }
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
        let row = self.area.words(HANDLES, HANDLE_WORDS * source.index(), HANDLE_WORDS);
        let Some([generation, number]) = row else { return };
        let [index, current] = halves(source.to_bits());
        generation.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        number.store(halves(handle)[0], Ordering::Relaxed);
        generation.store(current, Ordering::Release);
        let len = self.area.word(span(HANDLES) + 2);
        len.store(len.load(Ordering::Relaxed).max(index + 1), Ordering::Relaxed);
    }

    #[inline]
    fn note_task(&self, task: TaskId, note: TaskNote) {
        if self.area.size > 0 {
            self.notes.add(task, note);
        }
    }
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

    use crate::area::Area;
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
    use sinbin_core::observe::directory::TABLES;
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
        assert_eq!((area.size, area.words(HANDLES, 0, 1).is_none()), (0, true));
        assert_eq!(area.take::<[u32; 14]>(TASKS), None);
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
