//! A table by ids, for what is known of tasks, sources or jobs outside of the kernel.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::kernel::id::Id;

/// Values by ids of the kernel's: a table with a place for each [index](Id::index), of which the id that has the place
/// now finds its value, and an id that had the place before finds nothing.
///
/// Methods that take one id are O(1); [`insert`](Self::insert) is O(1) on average, as the table grows to the largest index.
/// The table never shrinks. It is for ids of the kernel's, whose indexes are dense. No method panics, unless memory runs out.
///
/// ```
/// use sinbin_core::{IdMap, SourceId};
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
    /// Creates an empty table without memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: Vec::new() }
    }

    /// Creates an empty table that has the memory for so many places.
    #[must_use]
    pub fn with_capacity(places: usize) -> Self {
        Self { places: Vec::with_capacity(places) }
    }
}

impl<I: Id, T> IdMap<I, T> {
    /// Keeps the value under `id`. Returns the value that was in its place, and the id which had that.
    #[inline]
    pub fn insert(&mut self, id: I, value: T) -> Option<(I, T)> {
        let index = id.index();
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        self.places[index].replace((id, value))
    }

    /// Returns the value of `id`.
    #[must_use]
    #[inline]
    pub fn get(&self, id: I) -> Option<&T> {
        let (found, value) = self.places.get(id.index())?.as_ref()?;
        (*found == id).then_some(value)
    }

    /// Returns the value of `id`, to change.
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

    /// Takes the value of `id` out.
    #[inline]
    pub fn remove(&mut self, id: I) -> Option<T> {
        self.remove_if(id, |_| true)
    }

    /// Takes the value of `id` out, if `is_one` returns true of it.
    #[inline]
    pub fn remove_if(&mut self, id: I, is_one: impl FnOnce(&mut T) -> bool) -> Option<T> {
        let place = self.places.get_mut(id.index())?;
        Some(place.take_if(|(found, value)| *found == id && is_one(value))?.1)
    }

    /// Returns the id that has the place at `index`, and its value.
    #[must_use]
    #[inline]
    pub fn at(&self, index: usize) -> Option<(I, &T)> {
        let (id, value) = self.places.get(index)?.as_ref()?;
        Some((*id, value))
    }

    /// Returns the id that has the place at `index`, and its value, to change.
    #[must_use]
    #[inline]
    pub fn at_mut(&mut self, index: usize) -> Option<(I, &mut T)> {
        let (id, value) = self.places.get_mut(index)?.as_mut()?;
        Some((*id, value))
    }

    /// Returns how many places there are, taken or not: more than any index that was used since everything was last
    /// [taken out](Self::drain).
    #[must_use]
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// Iterates over all there is, in the order of the indexes. O(places).
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (I, &T)> {
        self.range(0..usize::MAX)
    }

    /// Iterates over what is in these places, as [`iter`](Self::iter) does.
    pub fn range(&self, indexes: Range<usize>) -> impl DoubleEndedIterator<Item = (I, &T)> {
        let end = indexes.end.min(self.places.len());
        let places = self.places.get(indexes.start..end).unwrap_or_default();
        places.iter().flatten().map(|(id, value)| (*id, value))
    }

    /// Takes everything out, in the order of the indexes.
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
