//! The capacities of a run.

use sinbin_core::Limits;

/// The capacities of a run. They are independent: a run can have many tasks and few jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// The number of connections; further ones wait in the backlog until a connection is closed.
    pub connections: usize,
    /// The number of tasks: one for each listener, and one for each connection.
    pub tasks: usize,
    /// The number of listeners and connections.
    pub sources: usize,
    /// The number of concurrent jobs.
    pub jobs: usize,
    /// The number of blocks for buffered bytes.
    pub blocks: usize,
    /// The size of a block in bytes, from 128 to 65,535.
    pub block_size: usize,
}

impl Capacity {
    /// Returns the capacities as limits of a kernel.
    pub(crate) fn limits(&self) -> Limits {
        let limits = Limits::new(self.tasks, self.blocks, self.block_size);
        limits.with_sources(self.sources).with_jobs(self.jobs)
    }
}
