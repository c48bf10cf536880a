//! A table of the kernel, on the heap or in the published memory.
#![allow(unsafe_code)]

use std::mem::{align_of, needs_drop, size_of};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sinbin_core::kernel::Slots;

use crate::observe::board::Taken;
use crate::observe::header::Part;
use crate::observe::region::Region;

/// A table with a limit. Its memory is reserved at once and never moves; what is unused costs only address space.
pub struct Table<T> {
    items: NonNull<T>,
    len: usize,
    limit: usize,
    backing: Backing<T>,
}

enum Backing<T> {
    /// A vector without elements, whose capacity is the table.
    Heap(#[expect(dead_code, reason = "held until it is dropped")] Vec<T>),
    /// A part of a region, which gets the number of items. Another table can be made of it once this one is dropped.
    Region(Arc<Region>, Part, Taken),
}

// SAFETY: a table owns its items, as a vector does: no other code of this process accesses their memory.
unsafe impl<T: Send> Send for Table<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Table<T> {}

impl<T> Table<T> {
    /// Creates a table on the heap.
    pub(crate) fn heap(limit: usize) -> Self {
        let mut items = Vec::with_capacity(limit);
        let first = NonNull::new(items.as_mut_ptr()).unwrap_or(NonNull::dangling());
        Self { items: first, len: 0, limit, backing: Backing::Heap(items) }
    }

    /// Creates the table `part` of a region, which is `taken` as long as the table exists. Returns `None` if the rows are
    /// not of the part's size, or need a destructor.
    pub(crate) fn shared(region: &Arc<Region>, part: Part, limit: usize, taken: &Taken) -> Option<Self> {
        let span = &region.header().parts[part as usize];
        let limit = limit.min(span.limit.load(Ordering::Relaxed) as usize);
        let offset = usize::try_from(span.offset.load(Ordering::Relaxed)).ok()?;
        if size_of::<T>() != 4 * part.words() || align_of::<T>() > 8 || needs_drop::<T>() || offset % 8 != 0 {
            return None;
        }
        let items = region.at(offset, limit.checked_mul(size_of::<T>())?)?.cast();
        Some(Self {
            items,
            len: 0,
            limit,
            backing: Backing::Region(Arc::clone(region), part, Arc::clone(taken)),
        })
    }
}

impl<T> Slots<T> for Table<T> {
    #[inline]
    fn items(&self) -> &[T] {
        // SAFETY: the first `len` items are initialized by `push`. Their memory, of a vector with that capacity or of a
        // region with that size, lasts as long as `self`. It is aligned: vectors are, and a region begins at a page and
        // the table at a multiple of 8 in it. Only this table accesses it in this process (`Board` hands out each part
        // to one table at a time), and no other process can write to it.
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
        // SAFETY: the table has memory for `limit` items, and `len` is less.
        unsafe { self.items.add(self.len).write(item) };
        self.len += 1;
        if let Backing::Region(region, part, _) = &self.backing {
            let len = u32::try_from(self.len).unwrap_or(u32::MAX);
            region.header().parts[*part as usize].len.store(len, Ordering::Release);
        }
        Ok(())
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: the first `len` items are initialized, and are not used after this.
        unsafe { ptr::drop_in_place(ptr::slice_from_raw_parts_mut(self.items.as_ptr(), self.len)) };
        if let Backing::Region(region, part, taken) = &self.backing {
            region.header().parts[*part as usize].len.store(0, Ordering::Release);
            taken[*part as usize].store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_table_on_the_heap_owns_its_items() {
        let item = Rc::new(());
        let mut table = Table::heap(3);
        assert_eq!((table.items().len(), table.limit()), (0, 3));
        for _ in 0..3 {
            assert!(table.push(Rc::clone(&item)).is_ok());
        }
        assert!(table.push(Rc::clone(&item)).is_err(), "the table is full");
        assert_eq!(Rc::strong_count(&item), 4);
        table.items_mut()[1] = Rc::new(());
        assert_eq!(Rc::strong_count(&item), 3);
        drop(table);
        assert_eq!(Rc::strong_count(&item), 1);
    }

    #[test]
    fn tables_without_capacity_or_size_work() {
        let mut none = Table::<u64>::heap(0);
        assert_eq!(none.push(1), Err(1));
        let mut units = Table::heap(2);
        assert!(units.push(()).is_ok() && units.push(()).is_ok() && units.push(()).is_err());
        assert_eq!(units.items().len(), 2);
    }
}
