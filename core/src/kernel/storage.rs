//! Storage of the tables. It belongs to the caller: arrays on a microcontroller, growing vectors on a native host.

#[cfg(feature = "alloc")]
mod growing;

#[cfg(feature = "alloc")]
pub use growing::{Growing, Limits};

use core::panic::Location;

use crate::kernel::beacon::Beacon;
use crate::kernel::id::{SourceId, TaskId};

/// A table with a fixed limit, as a [`Storage`] creates it.
pub trait Slots<T> {
    /// Returns the items.
    fn items(&self) -> &[T];

    /// Returns the items, mutably.
    fn items_mut(&mut self) -> &mut [T];

    /// Returns the maximum number of items.
    fn limit(&self) -> usize;

    /// Adds an item at the end. The items before it keep their order.
    ///
    /// # Errors
    ///
    /// Returns the item if the table is at its limit.
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

/// Creates the tables of a [`Kernel`](crate::Kernel) and of its [`Executor`](crate::Executor), and so sets all
/// capacities.
pub trait Storage: Clone {
    /// The table with a slot for each task.
    type Tasks<T>: Slots<T>;
    /// The table with a slot for each source.
    type Sources<T>: Slots<T>;
    /// The table with a slot for each job.
    type Jobs<T>: Slots<T>;
    /// The table with a slot for each block of bytes.
    type Blocks<T>: Slots<T>;
    /// The bytes of one block, at most 65,535: the limit of what a task reads at once, and of what it keeps. A protocol
    /// never sends a reply that does not fit a block.
    type Bytes: AsRef<[u8]> + AsMut<[u8]>;
    /// The marks around the changes of the kernel's tables; `()` if no other process reads them.
    type Beacon: Beacon;

    /// Creates an empty table of tasks.
    fn tasks<T>(&self) -> Self::Tasks<T>;
    /// Creates an empty table of sources.
    fn sources<T>(&self) -> Self::Sources<T>;
    /// Creates an empty table of jobs.
    fn jobs<T>(&self) -> Self::Jobs<T>;
    /// Creates an empty table of blocks.
    fn blocks<T>(&self) -> Self::Blocks<T>;
    /// Creates one block's bytes, all zero.
    fn bytes(&self) -> Self::Bytes;
    /// Creates the marks around the changes of the kernel's tables.
    fn beacon(&self) -> Self::Beacon;

    /// Creates the kernel's own table of tasks, which holds no byte of a client and can be published.
    fn task_slots<T>(&self) -> Self::Tasks<T> {
        self.tasks()
    }

    /// Creates the kernel's table of timers, which can be published like [`task_slots`](Self::task_slots).
    fn timers<T>(&self) -> Self::Tasks<T> {
        self.tasks()
    }

    /// Notes the driver's name of a source, for a reader of the tables who knows the sources by these names: the number
    /// of a `SourceHandle`. Does nothing if no other process reads the tables.
    #[inline]
    fn note_handle(&self, source: SourceId, handle: u64) {
        let _ = (source, handle);
    }

    /// Writes down a note about a task, for a reader of the tables. Does nothing if no other process reads them.
    #[inline]
    fn note_task(&self, task: TaskId, note: TaskNote) {
        let _ = (task, note);
    }
}

/// A note about a task, for a reader of the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskNote {
    /// The task that has spawned this one.
    SpawnedBy(TaskId),
    /// The name of the task, and the place where it was spawned.
    Named(&'static str, &'static Location<'static>),
    /// The named synchronizer that the task waits for from now on, if any: the
    /// [number](crate::task::WaitKind::number) of the kind of the wait, and the name.
    WaitsFor(Option<(u8, &'static str)>),
}

/// Storage whose size is known at compile time, without a heap.
///
/// `BLOCKS` may be 0: services then read a few bytes at a time, which fit into the task itself.
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
    type Beacon = ();

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

    fn beacon(&self) {}
}
