//! A map from ids, for data about tasks, sources or jobs that is kept outside of the kernel.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::kernel::id::Id;

/// A map from ids of the kernel: a table with one slot for each [index](Id::index). A slot's current id finds its
/// value; an id that had the slot before finds nothing.
///
/// Methods that take one id are O(1); [`insert`](Self::insert) is amortized O(1), since the table grows to the largest
/// index. The table never shrinks. The map is meant for ids of the kernel, whose indexes are dense. No method panics
/// unless memory runs out.
///
/// ```
/// # use sinbin_core::kernel::IdMap;
/// # use sinbin_core::SourceId;
///
/// let [first, second] = [1, 2].map(|generation| SourceId::from_bits(generation << 32));
/// let mut names = IdMap::new();
/// names.insert(first, "first");
/// assert_eq!(names.insert(second, "second"), Some((first, "first")), "they have one place");
/// assert_eq!((names.get(first), names.get(second)), (None, Some(&"second")));
/// ```
#[derive(Clone)]
pub struct IdMap<I, T> {
    places: Vec<Option<(I, T)>>,
}

impl<I, T> IdMap<I, T> {
    /// Creates an empty map without allocating.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: Vec::new() }
    }

    /// Creates an empty map with memory for the given number of slots.
    #[must_use]
    pub fn with_capacity(places: usize) -> Self {
        Self { places: Vec::with_capacity(places) }
    }
}

impl<I: Id, T> IdMap<I, T> {
    /// Stores the value under `id`. Returns the previous value of the slot, and the id that it was stored under.
    #[inline]
    pub fn insert(&mut self, id: I, value: T) -> Option<(I, T)> {
        let index = id.index();
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        self.places[index].replace((id, value))
    }

    /// Returns a reference to the value of `id`.
    #[must_use]
    #[inline]
    pub fn get(&self, id: I) -> Option<&T> {
        let (found, value) = self.places.get(id.index())?.as_ref()?;
        (*found == id).then_some(value)
    }

    /// Returns a mutable reference to the value of `id`.
    #[must_use]
    #[inline]
    pub fn get_mut(&mut self, id: I) -> Option<&mut T> {
        let (found, value) = self.places.get_mut(id.index())?.as_mut()?;
        (*found == id).then_some(value)
    }

    /// Returns true if `id` has a value.
    #[must_use]
    #[inline]
    pub fn contains(&self, id: I) -> bool {
        self.get(id).is_some()
    }

    /// Removes and returns the value of `id`.
    #[inline]
    pub fn remove(&mut self, id: I) -> Option<T> {
        self.remove_if(id, |_| true)
    }

    /// Removes and returns the value of `id` if `is_one` returns true for it.
    #[inline]
    pub fn remove_if(&mut self, id: I, is_one: impl FnOnce(&mut T) -> bool) -> Option<T> {
        let place = self.places.get_mut(id.index())?;
        Some(place.take_if(|(found, value)| *found == id && is_one(value))?.1)
    }

    /// Returns the id in the slot at `index` and a reference to its value.
    #[must_use]
    #[inline]
    pub fn at(&self, index: usize) -> Option<(I, &T)> {
        let (id, value) = self.places.get(index)?.as_ref()?;
        Some((*id, value))
    }

    /// Returns the id in the slot at `index` and a mutable reference to its value.
    #[must_use]
    #[inline]
    pub fn at_mut(&mut self, index: usize) -> Option<(I, &mut T)> {
        let (id, value) = self.places.get_mut(index)?.as_mut()?;
        Some((*id, value))
    }

    /// Returns the number of slots, used or not. Every index used since the last [`drain`](Self::drain) is smaller.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// Iterates over all entries in the order of their indexes. O(slots).
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (I, &T)> {
        self.range(0..usize::MAX)
    }

    /// Iterates over the entries with these indexes, as [`iter`](Self::iter) does.
    pub fn range(&self, indexes: Range<usize>) -> impl DoubleEndedIterator<Item = (I, &T)> {
        let end = indexes.end.min(self.places.len());
        let places = self.places.get(indexes.start..end).unwrap_or_default();
        places.iter().flatten().map(|(id, value)| (*id, value))
    }

    /// Removes all entries and returns them in the order of their indexes.
    pub fn drain(&mut self) -> impl Iterator<Item = (I, T)> {
        self.places.drain(..).flatten()
    }
}

impl<I, T> Default for IdMap<I, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: Id + fmt::Debug, T: fmt::Debug> fmt::Debug for IdMap<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
