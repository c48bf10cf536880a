//! What a server is told at its beginning, and what it says at its end.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use sinbin_core::driven::DEFAULT_MAX_JOBS;

use crate::server::Summary as Served;

/// Limits and habits of a host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GuestSettings {
    /// What the guest is started with.
    pub arguments: Vec<String>,
    /// Connections at a time; more wait in the backlog.
    pub max_connections: usize,
    /// Connections of one peer at a time, if that is limited; what comes above is reset at once. A peer is an IPv4 address,
    /// or the first 64 bits of an IPv6 address. Behind one IPv4 address there may be many users, and behind a proxy all.
    pub max_per_peer: Option<NonZeroU32>,
    /// Whether a listener on an IPv6 address such as `[::]` takes IPv4 connections too, which then come from addresses such as
    /// `::ffff:127.0.0.1`. If not, IPv4 takes a listener of its own.
    pub dual_stack: bool,
    /// Bytes that wait for clients that are slow: in the guest, and as many in the host.
    pub max_buffered: usize,
    /// Jobs at a time, in the guest and in the host; another one is refused.
    pub max_jobs: usize,
    /// Threads for jobs, at most; they start when there are jobs. With none, the guest computes in slices.
    pub workers: usize,
    /// The budget of such a slice, in the job's units.
    pub slice: u32,
    /// How long the loop looks for readiness again and again before it blocks.
    pub busy_poll: Duration,
    /// How long a client may take for what the host keeps for it: from when it does not take all of that at once, until it
    /// has. Then its connection has failed. `None` for ever.
    pub reply_timeout: Option<Duration>,
    /// How long requests under way have when the server is to stop.
    pub drain_timeout: Duration,
    /// How often a minute a guest that fails is replaced. With 0 it never is, and clients wait in vain.
    pub max_restarts: usize,
    /// Commands that a guest may answer with in one turn, and 32 more for each connection and each event of the turn. One
    /// that says more has failed.
    pub max_commands: usize,
    /// Commands of one turn that may mean nothing, such as those for a connection that is closed. A guest that says more
    /// of them has failed.
    pub max_ignored: usize,
}

impl Default for GuestSettings {
    /// No arguments, 10,000 connections, of any peer, 64 MiB, 1000 jobs, as many workers as cores but one, no busy polling, 30 s to
    /// drain, a minute for what is sent, 10 restarts a minute, 65,536 commands a turn, of which 4096 may mean nothing.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            arguments: Vec::new(),
            max_connections: 10_000,
            max_per_peer: None,
            dual_stack: false,
            max_buffered: 64 << 20,
            max_jobs: DEFAULT_MAX_JOBS as usize,
            workers: cores.saturating_sub(1).max(1),
            slice: 50_000,
            busy_poll: Duration::ZERO,
            reply_timeout: Some(Duration::from_secs(60)),
            drain_timeout: Duration::from_secs(30),
            max_restarts: 10,
            max_commands: 65_536,
            max_ignored: 4096,
        }
    }
}

/// How a server ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestSummary {
    /// What it did in its life. What was cut when the guest failed while it drained counts as cut.
    pub served: Served,
    /// How often the guest failed and was replaced.
    pub restarts: u64,
    /// How often the guest said what meant nothing, and was ignored.
    pub ignored: u64,
}

impl fmt::Display for GuestSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.served)?;
        let extras =
            [(self.restarts, "restarts of the guest"), (self.ignored, "commands of the guest ignored")];
        extras
            .iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, what)| write!(f, "; {count} {what}"))
    }
}
