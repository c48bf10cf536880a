//! A table of reusable slots, each with a generation.

use core::marker::PhantomData;

use crate::kernel::error::Full;
use crate::kernel::storage::Slots;

/// The end of a list that is linked through a table. No slot has this index.
pub(crate) const NONE: u32 = u32::MAX;

/// The maximum number of slots of a table. Two bits of an index encode the wait table, five more are used for the flags
/// of a connection, and the next two indexes mean "no slot".
pub(crate) const MAX_LEN: u32 = (1 << 25) - 2;

/// A slot in a table of the kernel. Its contents are private to the kernel.
///
/// The generation is odd while the slot is in use. `link` is the next entry of the list that the slot is on: the free
/// list, or a list of the table's owner.
#[repr(C)]
pub struct Entry<T> {
    pub(crate) generation: u32,
    pub(crate) link: u32,
    pub(crate) value: T,
}

impl<T> Entry<T> {
    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        self.generation & 1 == 1
    }

    #[inline]
    fn is(&self, generation: u32) -> bool {
        self.is_live() && self.generation == generation
    }
}

/// A table of slots with generations. All operations are O(1).
pub(crate) struct Slab<T, V> {
    entries: V,
    pub(crate) free: u32,
    live: u32,
    _value: PhantomData<T>,
}

impl<T, V: Slots<Entry<T>>> Slab<T, V> {
    pub(crate) fn new(entries: V) -> Self {
        Self { entries, free: NONE, live: 0, _value: PhantomData }
    }

    pub(crate) fn live(&self) -> u32 {
        self.live
    }

    pub(crate) fn is_full(&self) -> bool {
        self.live as usize >= self.entries.limit().min(MAX_LEN as usize)
    }

    pub(crate) fn entries(&self) -> &[Entry<T>] {
        self.entries.items()
    }

    /// Creates a table of the entries of another one, for reports. Its free slots are not reused.
    #[cfg(feature = "alloc")]
    pub(crate) fn restored(entries: V) -> Self {
        let live = entries.items().iter().filter(|entry| entry.is_live()).count();
        Self { entries, free: NONE, live: u32::try_from(live).unwrap_or(NONE), _value: PhantomData }
    }

    /// Iterates over the values of the slots that are in use.
    #[cfg(feature = "alloc")]
    pub(crate) fn live_values(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.items_mut().iter_mut().filter(|entry| entry.is_live()).map(|entry| &mut entry.value)
    }

    /// Returns the slot at `index`.
    ///
    /// # Panics
    ///
    /// Panics if [`insert`](Self::insert) never returned `index`.
    #[inline]
    pub(crate) fn at(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.entries.items_mut()[index as usize]
    }

    #[inline]
    pub(crate) fn get(&self, index: u32, generation: u32) -> Option<&T> {
        let entry = self.entries.items().get(index as usize)?;
        entry.is(generation).then_some(&entry.value)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        let entry = self.entries.items_mut().get_mut(index as usize)?;
        entry.is(generation).then_some(&mut entry.value)
    }

    /// Fills a slot and returns its index and generation. If the slot was used before, `reuse` resets its previous
    /// value and `fresh` is dropped.
    pub(crate) fn insert(&mut self, fresh: T, reuse: impl FnOnce(&mut T)) -> Result<(u32, u32), Full> {
        if self.free == NONE {
            return self.insert_fresh(fresh);
        }
        let index = self.free;
        let entry = self.at(index);
        entry.generation = entry.generation.wrapping_add(1);
        reuse(&mut entry.value);
        let (generation, next) = (entry.generation, entry.link);
        self.free = next;
        self.live += 1;
        Ok((index, generation))
    }

    fn insert_fresh(&mut self, value: T) -> Result<(u32, u32), Full> {
        let index = u32::try_from(self.entries.items().len()).ok();
        let index = index.filter(|index| *index < MAX_LEN).ok_or(Full)?;
        let entry = Entry { generation: 1, link: NONE, value };
        self.entries.push(entry).map_err(|_| Full)?;
        self.live += 1;
        Ok((index, 1))
    }

    /// Frees a slot that is in use. From now on, ids of it match nothing.
    pub(crate) fn remove(&mut self, index: u32) {
        let free = self.free;
        let entry = self.at(index);
        debug_assert!(entry.is_live(), "a slot is freed once");
        entry.generation = entry.generation.wrapping_add(1);
        entry.link = free;
        self.free = index;
        self.live -= 1;
    }
}
