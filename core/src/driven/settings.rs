//! The parameters with which a service is started, and the resulting capacities.

use alloc::string::String;
use alloc::vec::Vec;

use crate::driven::{Compute, Driven, DrivenHost};
use crate::exec::context::Task;
use crate::exec::host::Service;
use crate::job::WireJob;
use crate::kernel::storage::{Limits, Storage};

/// The number of bytes in a block: the most that a connection reads at once, and the most that it keeps.
pub const BLOCK: usize = 16 * 1024;

/// The maximum number of listeners of a service.
const MAX_LISTENERS: usize = 64;

/// The maximum number of connections of a service, whatever the driver requests.
const MAX_CONNECTIONS: u32 = 1_000_000;

/// The maximum number of concurrent jobs of a service whose driver does not specify it.
pub const DEFAULT_MAX_JOBS: u32 = 1000;

/// The parameters of a service that the driver does not create itself. Two loops with the same parameters and the same
/// input give the same answers, wherever they run.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ServiceSettings {
    /// The service's own arguments, as on a command line, without the program's name.
    pub arguments: Vec<String>,
    /// The maximum number of concurrent connections.
    pub max_connections: u32,
    /// The maximum number of bytes that the service may keep for slow clients and for jobs.
    pub max_buffered: u32,
    /// True if the driver computes jobs. If false, the service computes them in slices, one per turn.
    pub computes: bool,
    /// The budget of such a slice, in the job's units.
    pub slice: u32,
    /// The maximum number of concurrent jobs; 0 means the maximum number of tasks.
    pub max_jobs: u32,
}

/// The capacities of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceLimits {
    /// The maximum number of concurrent connections.
    pub connections: u32,
    /// The maximum number of bytes of one source in one turn.
    pub block: u32,
    /// The events that the driver should report. A driver that can't report one omits it.
    pub wants: Wants,
}

/// The facts that a service wants to learn beside its input; none by default.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Wants {
    /// True for [`Event::WallClock`](crate::driven::Event::WallClock) in the first turn, and after the clock was set.
    pub wall_clock: bool,
    /// True for 32 bytes of [`Event::Entropy`](crate::driven::Event::Entropy) in the first turn.
    pub entropy: bool,
}

impl ServiceSettings {
    /// Creates the loop of `service` with these parameters, and returns it with its capacities.
    #[must_use]
    pub fn begin<S>(&self, service: S) -> (Driven<S>, ServiceLimits)
    where
        S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
    {
        self.begin_in(|limits| limits, service)
    }

    /// Creates the loop of `service` as [`begin`](Self::begin) does, with the kernel's tables in the storage that `make`
    /// creates for these capacities.
    #[must_use]
    pub fn begin_in<S, M>(&self, make: impl FnOnce(Limits) -> M, service: S) -> (Driven<S, M>, ServiceLimits)
    where
        S: Service<Conn: Task<DrivenHost<S, M>>, Job: WireJob>,
        M: Storage,
    {
        let takes = self.takes();
        let tasks = takes.connections as usize + MAX_LISTENERS;
        let jobs = if self.max_jobs == 0 { tasks } else { tasks.min(self.max_jobs as usize) };
        let limits = Limits::new(tasks, self.max_buffered as usize / BLOCK, BLOCK).with_jobs(jobs);
        let compute = match self.computes {
            true => Compute::Driver { slice: self.slice },
            false => Compute::Here { slice: self.slice },
        };
        let driven = Driven::with_storage(service, &limits, make(limits), compute);
        (driven.with_listeners(MAX_LISTENERS), takes)
    }

    /// Returns the capacities of a loop with these parameters.
    #[must_use]
    pub fn takes(&self) -> ServiceLimits {
        ServiceLimits {
            connections: self.max_connections.min(MAX_CONNECTIONS),
            block: u32::try_from(BLOCK).unwrap_or(u32::MAX),
            wants: Wants::default(),
        }
    }
}
