//! How much there can be of everything, in a run.

use sinbin_core::{Growing, Limits, Storage};

/// Storage whose tables have a limit each: a run can have many tasks and few jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rooms {
    /// Tasks: one for each listener, and one for each connection.
    pub tasks: usize,
    /// Listeners and connections.
    pub sources: usize,
    /// Jobs at a time.
    pub jobs: usize,
    /// Blocks of bytes that can be kept.
    pub blocks: usize,
    /// The bytes of a block, from 128 to 65,535.
    pub block_size: usize,
}

impl Rooms {
    /// A table with that limit.
    fn table<T>(limit: usize) -> Growing<T> {
        Storage::tasks(&Limits::new(limit, 0, 0))
    }
}

impl Storage for Rooms {
    type Tasks<T> = Growing<T>;
    type Sources<T> = Growing<T>;
    type Jobs<T> = Growing<T>;
    type Blocks<T> = Growing<T>;
    type Bytes = Box<[u8]>;

    fn tasks<T>(&self) -> Growing<T> {
        Self::table(self.tasks)
    }

    fn sources<T>(&self) -> Growing<T> {
        Self::table(self.sources)
    }

    fn jobs<T>(&self) -> Growing<T> {
        Self::table(self.jobs)
    }

    fn blocks<T>(&self) -> Growing<T> {
        Self::table(self.blocks)
    }

    fn bytes(&self) -> Box<[u8]> {
        vec![0; self.block_size].into()
    }
}
