//! How much there can be of everything, and the growing tables that keep to it.

use sinbin_core::{Slots, Storage};

/// The size of a block: what a connection reads at once, and the most that it keeps.
pub(crate) const BLOCK: usize = 16 * 1024;

/// A vector that grows up to a limit. Its room is reserved at once and used as it fills, so that nothing
/// moves and what is not used costs address space alone.
pub struct Growing<T> {
    items: Vec<T>,
    limit: usize,
}

impl<T> Growing<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { items: Vec::with_capacity(limit), limit }
    }
}

impl<T> Slots<T> for Growing<T> {
    #[inline]
    fn items(&self) -> &[T] {
        &self.items
    }

    #[inline]
    fn items_mut(&mut self) -> &mut [T] {
        &mut self.items
    }

    fn limit(&self) -> usize {
        self.limit
    }

    fn push(&mut self, item: T) -> Result<(), T> {
        if self.items.len() >= self.limit {
            return Err(item);
        }
        self.items.push(item);
        Ok(())
    }
}

/// Storage on the heap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    pub(crate) tasks: usize,
    pub(crate) blocks: usize,
}

impl Storage for Limits {
    type Tasks<T> = Growing<T>;
    type Sources<T> = Growing<T>;
    type Jobs<T> = Growing<T>;
    type Blocks<T> = Growing<T>;
    type Bytes = Box<[u8]>;

    fn tasks<T>(&self) -> Growing<T> {
        Growing::new(self.tasks)
    }

    fn sources<T>(&self) -> Growing<T> {
        Growing::new(self.tasks)
    }

    fn jobs<T>(&self) -> Growing<T> {
        Growing::new(self.tasks)
    }

    fn blocks<T>(&self) -> Growing<T> {
        Growing::new(self.blocks)
    }

    fn bytes(&self) -> Box<[u8]> {
        vec![0; BLOCK].into_boxed_slice()
    }
}
