//! A table whose places are reused, each with a generation.

use core::marker::PhantomData;

use crate::kernel::error::Full;
use crate::kernel::storage::Slots;

/// The end of a list threaded through a table; no place has this index.
pub(crate) const NONE: u32 = u32::MAX;

/// The most places a table can have: two bits of an index say which wait table it is in, and the two indexes after
/// these mean no place. A third bit is used for the flags of a connection.
pub(crate) const MAX_LEN: u32 = (1 << 29) - 2;

/// A place in a table of the kernel. Only the kernel looks inside.
///
/// The generation is odd while somebody lives there. The link threads the list that the place is on: that
/// of free places, or one of its owner's.
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

/// Places with generations; all operations are O(1).
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

    /// Iterates over the values in the places that are in use.
    #[cfg(feature = "alloc")]
    pub(crate) fn live_values(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.items_mut().iter_mut().filter(|entry| entry.is_live()).map(|entry| &mut entry.value)
    }

    /// The place at `index`, which must be one that this table gave out.
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

    /// Fills a place and returns its index and generation. A reused place starts from what
    /// `reuse` makes of its last content.
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

    /// Empties a live place; ids of it match nothing from here on.
    pub(crate) fn remove(&mut self, index: u32) {
        let free = self.free;
        let entry = self.at(index);
        debug_assert!(entry.is_live(), "a place is emptied once");
        entry.generation = entry.generation.wrapping_add(1);
        entry.link = free;
        self.free = index;
        self.live -= 1;
    }
}
