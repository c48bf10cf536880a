//! The values of a channel, in their order.

#[cfg(feature = "alloc")]
use alloc::collections::VecDeque;

use heapless::Deque;

/// Values in place, up to `N`, or on the heap.
pub(super) enum Values<T, const N: usize> {
    Fixed(Deque<T, N>),
    #[cfg(feature = "alloc")]
    Heap(VecDeque<T>),
}

impl<T, const N: usize> Values<T, N> {
    /// Appends a value. The caller has made sure that there is capacity. O(1), amortized on the heap.
    pub(super) fn push(&mut self, value: T) {
        match self {
            Self::Fixed(values) => {
                let pushed = values.push_back(value);
                debug_assert!(pushed.is_ok(), "the capacity was reserved");
            }
            #[cfg(feature = "alloc")]
            Self::Heap(values) => values.push_back(value),
        }
    }

    /// Removes the oldest value. O(1).
    pub(super) fn pop(&mut self) -> Option<T> {
        match self {
            Self::Fixed(values) => values.pop_front(),
            #[cfg(feature = "alloc")]
            Self::Heap(values) => values.pop_front(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Fixed(values) => values.len(),
            #[cfg(feature = "alloc")]
            Self::Heap(values) => values.len(),
        }
    }
}
