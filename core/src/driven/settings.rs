//! What a service is started with, and what it takes.

use alloc::string::String;
use alloc::vec::Vec;

use crate::driven::{Compute, Driven, DrivenHost};
use crate::exec::context::Task;
use crate::exec::host::Service;
use crate::job::WireJob;
use crate::kernel::storage::Limits;

/// The bytes of a block: what a connection reads at once, and the most that it keeps.
pub const BLOCK: usize = 16 * 1024;

/// Listeners that one service can have.
const MAX_LISTENERS: usize = 64;

/// Connections that one service can have, whatever the driver says.
const MAX_CONNECTIONS: u32 = 1_000_000;

/// Jobs at a time of a service whose driver does not say.
pub const DEFAULT_MAX_JOBS: u32 = 1000;

/// What a service is started with, where the driver does not make it itself. Two loops that are started with the same
/// and are told the same answer the same, wherever they run.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ServiceSettings {
    /// The service's own arguments, as on a command line, without a program's name.
    pub arguments: Vec<String>,
    /// Connections at a time.
    pub max_connections: u32,
    /// Bytes that it may keep for clients that are slow, and for jobs.
    pub max_buffered: u32,
    /// Whether the driver computes jobs. If not, the service does, in slices, one a turn.
    pub computes: bool,
    /// The budget of such a slice, in the job's units.
    pub slice: u32,
    /// Jobs at a time; 0 stands for as many as there can be tasks.
    pub max_jobs: u32,
}

/// What a service takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceLimits {
    /// Connections at a time.
    pub connections: u32,
    /// Bytes of one source in one turn.
    pub block: u32,
}

impl ServiceSettings {
    /// The loop of `service` that has as much room as this says, and what it takes.
    #[must_use]
    pub fn begin<S>(&self, service: S) -> (Driven<S>, ServiceLimits)
    where
        S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
    {
        let takes = self.takes();
        let tasks = takes.connections as usize + MAX_LISTENERS;
        let jobs = if self.max_jobs == 0 { tasks } else { tasks.min(self.max_jobs as usize) };
        let limits = Limits::new(tasks, self.max_buffered as usize / BLOCK, BLOCK).with_jobs(jobs);
        let compute = match self.computes {
            true => Compute::Driver { slice: self.slice },
            false => Compute::Here { slice: self.slice },
        };
        (Driven::new(service, &limits, compute).with_listeners(MAX_LISTENERS), takes)
    }

    /// What a loop with these limits takes.
    #[must_use]
    pub fn takes(&self) -> ServiceLimits {
        ServiceLimits {
            connections: self.max_connections.min(MAX_CONNECTIONS),
            block: u32::try_from(BLOCK).unwrap_or(u32::MAX),
        }
    }
}
