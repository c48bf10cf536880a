//! Where the tables live. Storage belongs to the caller: an array on a microcontroller, a growing
//! vector natively.

#[cfg(feature = "alloc")]
mod growing;

#[cfg(feature = "alloc")]
pub use growing::{Growing, Limits};

/// A table with a fixed limit: what a [`Storage`] makes.
pub trait Slots<T> {
    /// What is there.
    fn items(&self) -> &[T];

    /// What is there, to change.
    fn items_mut(&mut self) -> &mut [T];

    /// How many there can be.
    fn limit(&self) -> usize;

    /// Adds one at the end. The places before it never move out of order.
    ///
    /// # Errors
    ///
    /// At its limit the table gives the item back.
    fn push(&mut self, item: T) -> Result<(), T>;
}

impl<T, const N: usize> Slots<T> for heapless::Vec<T, N> {
    #[inline]
    fn items(&self) -> &[T] {
        self
    }

    #[inline]
    fn items_mut(&mut self) -> &mut [T] {
        self
    }

    fn limit(&self) -> usize {
        N
    }

    fn push(&mut self, item: T) -> Result<(), T> {
        heapless::Vec::push(self, item)
    }
}

/// Makes the tables of a [`Kernel`](crate::Kernel) and of the [`Executor`](crate::Executor) above it,
/// and so decides how much there can be of everything.
pub trait Storage: Clone {
    /// A table with a place for each task.
    type Tasks<T>: Slots<T>;
    /// A table with a place for each source.
    type Sources<T>: Slots<T>;
    /// A table with a place for each job.
    type Jobs<T>: Slots<T>;
    /// A table with a place for each block of bytes.
    type Blocks<T>: Slots<T>;
    /// The bytes of one block, 65,535 at most: what a task reads at once, and the most that it keeps. A
    /// protocol whose longest reply does not fit never sends that.
    type Bytes: AsRef<[u8]> + AsMut<[u8]>;

    /// An empty table of tasks.
    fn tasks<T>(&self) -> Self::Tasks<T>;
    /// An empty table of sources.
    fn sources<T>(&self) -> Self::Sources<T>;
    /// An empty table of jobs.
    fn jobs<T>(&self) -> Self::Jobs<T>;
    /// An empty table of blocks.
    fn blocks<T>(&self) -> Self::Blocks<T>;
    /// A block's worth of zeros.
    fn bytes(&self) -> Self::Bytes;
}

/// Storage of a size that is known at compile time, without a heap.
///
/// `BLOCKS` may be 0: services then read in small bites that fit the task itself.
#[derive(Clone, Copy, Default, Debug)]
pub struct Fixed<
    const TASKS: usize,
    const SOURCES: usize = TASKS,
    const JOBS: usize = TASKS,
    const BLOCKS: usize = 0,
    const BLOCK_SIZE: usize = 256,
>;

impl<
    const TASKS: usize,
    const SOURCES: usize,
    const JOBS: usize,
    const BLOCKS: usize,
    const BLOCK_SIZE: usize,
> Storage for Fixed<TASKS, SOURCES, JOBS, BLOCKS, BLOCK_SIZE>
{
    type Tasks<T> = heapless::Vec<T, TASKS>;
    type Sources<T> = heapless::Vec<T, SOURCES>;
    type Jobs<T> = heapless::Vec<T, JOBS>;
    type Blocks<T> = heapless::Vec<T, BLOCKS>;
    type Bytes = [u8; BLOCK_SIZE];

    fn tasks<T>(&self) -> Self::Tasks<T> {
        heapless::Vec::new()
    }

    fn sources<T>(&self) -> Self::Sources<T> {
        heapless::Vec::new()
    }

    fn jobs<T>(&self) -> Self::Jobs<T> {
        heapless::Vec::new()
    }

    fn blocks<T>(&self) -> Self::Blocks<T> {
        heapless::Vec::new()
    }

    fn bytes(&self) -> Self::Bytes {
        [0; BLOCK_SIZE]
    }
}
