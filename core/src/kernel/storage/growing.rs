//! Storage on the heap.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::kernel::storage::{Slots, Storage};

/// A vector that grows up to a limit.
pub struct Growing<T> {
    items: Vec<T>,
    limit: usize,
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

/// The capacities of tables on the heap.
///
/// ```
/// # use sinbin_core::{Kernel, Limits};
///
/// // 10,000 tasks, and blocks of 4 KiB up to 1 MiB.
/// let limits = Limits::new(10_000, 256, 4096);
/// let mut kernel = Kernel::new(&limits);
/// assert!(kernel.spawn().is_ok());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    tasks: usize,
    sources: usize,
    jobs: usize,
    blocks: usize,
    block_size: usize,
    reserved: bool,
}

impl Limits {
    /// Creates limits for `tasks` tasks, as many sources and jobs, and `blocks` blocks of `block_size` bytes. The size
    /// of a block is clamped to 128 to 65,535 bytes.
    #[must_use]
    pub const fn new(tasks: usize, blocks: usize, block_size: usize) -> Self {
        let block_size = match block_size {
            ..128 => 128,
            128..=0xffff => block_size,
            _ => 0xffff,
        };
        Self { tasks, sources: tasks, jobs: tasks, blocks, block_size, reserved: false }
    }

    /// Sets the maximum number of sources.
    #[must_use]
    pub const fn with_sources(self, sources: usize) -> Self {
        Self { sources, ..self }
    }

    /// Sets the maximum number of jobs at a time.
    #[must_use]
    pub const fn with_jobs(self, jobs: usize) -> Self {
        Self { jobs, ..self }
    }

    /// Reserves the memory of each table at once. Tables then never move, and unused capacity costs only address space.
    #[must_use]
    pub const fn reserved(self) -> Self {
        Self { reserved: true, ..self }
    }

    /// Returns the maximum number of tasks.
    #[must_use]
    pub const fn tasks(&self) -> usize {
        self.tasks
    }

    /// Returns the maximum number of sources.
    #[must_use]
    pub const fn sources(&self) -> usize {
        self.sources
    }

    /// Returns the size of a block in bytes.
    #[must_use]
    pub const fn block_size(&self) -> usize {
        self.block_size
    }

    fn table<T>(&self, limit: usize) -> Growing<T> {
        let items = if self.reserved { Vec::with_capacity(limit) } else { Vec::new() };
        Growing { items, limit }
    }
}

impl Storage for Limits {
    type Tasks<T> = Growing<T>;
    type Sources<T> = Growing<T>;
    type Jobs<T> = Growing<T>;
    type Blocks<T> = Growing<T>;
    type Bytes = Box<[u8]>;
    type Beacon = ();

    fn tasks<T>(&self) -> Growing<T> {
        self.table(self.tasks)
    }

    fn sources<T>(&self) -> Growing<T> {
        self.table(self.sources)
    }

    fn jobs<T>(&self) -> Growing<T> {
        self.table(self.jobs)
    }

    fn blocks<T>(&self) -> Growing<T> {
        self.table(self.blocks)
    }

    fn bytes(&self) -> Box<[u8]> {
        alloc::vec![0; self.block_size].into_boxed_slice()
    }

    fn beacon(&self) {}
}
