//! The lists of a loop that serves: on the heap, or, without one, of a fixed capacity.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

/// The maximum number of listeners of a loop without a heap.
pub(super) const LISTENERS: usize = 8;

/// The maximum number of connections of a loop without a heap.
pub(super) const CONNECTIONS: usize = 128;

/// A list of up to `N` items, or, with a heap, of any number.
#[cfg(feature = "alloc")]
pub(super) type List<T, const N: usize> = Vec<T>;
#[cfg(not(feature = "alloc"))]
pub(super) type List<T, const N: usize> = heapless::Vec<T, N>;

/// Adds an item at the end of a list, or returns the item if the list is full. With a heap, no list is full.
#[cfg(feature = "alloc")]
#[inline]
pub(super) fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), T> {
    list.push(item);
    Ok(())
}

/// Adds an item at the end of a list, or returns the item if the list is full.
#[cfg(not(feature = "alloc"))]
pub(super) fn push<T, const N: usize>(list: &mut heapless::Vec<T, N>, item: T) -> Result<(), T> {
    list.push(item)
}
