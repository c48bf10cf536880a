//! How much there can be of everything, in a run.

use sinbin_core::Limits;

/// So much of each: a run can have many tasks and few jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// Connections; further ones wait in the backlog until one has gone.
    pub connections: usize,
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

impl Capacity {
    /// The tables of a kernel with so much room.
    pub(crate) fn limits(&self) -> Limits {
        let limits = Limits::new(self.tasks, self.blocks, self.block_size);
        limits.with_sources(self.sources).with_jobs(self.jobs)
    }
}
