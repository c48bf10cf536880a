//! The settings of a server of guests, and its summary.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use sinbin_core::driven::DEFAULT_MAX_JOBS;

use sinbin_core::task::Resolver;

use crate::guests::listen_permission::ListenPermission;
use crate::guests::permission::ConnectPermission;
use crate::names::Names;
use crate::server::Summary as Served;
#[cfg(feature = "tls")]
use crate::tls::TlsConnector;

/// The limits and options of a host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GuestSettings {
    /// The arguments with which the guest is started.
    pub arguments: Vec<String>,
    /// The maximum number of simultaneous connections. Further connections wait in the backlog.
    pub max_connections: usize,
    /// The maximum number of simultaneous connections per peer, or `None` for no limit. A connection above the limit is
    /// reset at once. A peer is an IPv4 address, or the first 64 bits of an IPv6 address. Many users may share one IPv4
    /// address, and all users of a proxy share its address.
    pub max_per_peer: Option<NonZeroU32>,
    /// Set if a listener on an IPv6 address such as `[::]` is to accept IPv4 connections too. Their peers then have
    /// addresses such as `::ffff:127.0.0.1`. Otherwise, IPv4 requires a separate listener.
    pub dual_stack: bool,
    /// The maximum number of bytes stored for slow clients, in the guest and again in the host.
    pub max_buffered: usize,
    /// The maximum number of simultaneous jobs, in the guest and in the host. Further jobs are refused.
    pub max_jobs: usize,
    /// The maximum number of worker threads for jobs. Workers start when they are needed. With 0, the guest computes in
    /// slices.
    pub workers: usize,
    /// The budget of such a slice, in the units of the job.
    pub slice: u32,
    /// The time for which the loop polls for readiness before it blocks.
    pub busy_poll: Duration,
    /// The time within which a client must receive the bytes that the host stores for it. The time starts when the
    /// client does not receive all bytes at once; if it expires, the connection fails. `None` means no limit.
    pub reply_timeout: Option<Duration>,
    /// The time that requests in progress have to complete when the server stops.
    pub drain_timeout: Duration,
    /// The maximum number of restarts of a failed guest per minute. With 0, a guest is never restarted, and clients
    /// wait in vain.
    pub max_restarts: usize,
    /// The maximum number of commands of one turn, plus 32 for each connection and each event of the turn. A guest that
    /// exceeds it has failed.
    pub max_commands: usize,
    /// The maximum number of invalid commands of one turn, such as commands for a closed connection. A guest that
    /// exceeds it has failed.
    pub max_ignored: usize,
    /// The endpoints that the guest may connect to; none by default.
    pub allow_connect: Vec<ConnectPermission>,
    /// The addresses that the guest may listen on by itself, beside the listeners that the host gives to it; none by
    /// default. All listeners of a server together are at most 64.
    pub allow_listen: Vec<ListenPermission>,
    /// The maximum number of connections that the guest has requested, including those that are not established yet. They
    /// count towards `max_connections` too. A request above a limit fails at once.
    pub max_outgoing: usize,
    /// The maximum number of requests for connections that are not established yet.
    pub max_connecting: usize,
    /// The time that a request may take, from the name to the connection, with its TLS handshake. A request that takes
    /// longer fails.
    pub connect_timeout: Duration,
    /// The name of the guest, for the lines that it logs.
    pub name: String,
    /// The maximum number of lines that the guest may log in a second, or `None` for no limit. Further lines are counted.
    pub max_log_lines: Option<NonZeroU32>,
    /// Set if other processes of the same user may look at the loop: see [`observe`](crate::observe).
    pub observe: bool,
    pub(crate) names: Names,
    #[cfg(feature = "tls")]
    pub(crate) tls_connector: Option<TlsConnector>,
}

impl GuestSettings {
    /// Sets the resolver of the names that a guest connects to, in place of that of the system. It is called on threads
    /// of their own, which may block.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolver + 'static) -> Self {
        self.names = Names(Arc::new(resolver));
        self
    }

    /// Sets the connector for the [permissions](ConnectPermission) with TLS, which are useless without one: the
    /// authorities that it trusts verify the certificates of the peers. The handshakes take place within
    /// `connect_timeout`, whatever the limit of the connector is.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_connector(mut self, connector: TlsConnector) -> Self {
        self.tls_connector = Some(connector);
        self
    }

    /// Returns true if the host can speak TLS for the guest.
    pub(crate) const fn can_encrypt(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls_connector.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }
}

impl Default for GuestSettings {
    /// Returns the defaults: no arguments, 10,000 connections with no limit per peer, 64 MiB, 1000 jobs, one worker
    /// fewer than cores (at least one), no busy polling, 30 s to drain, a reply timeout of one minute, 10 restarts per
    /// minute, and 65,536 commands per turn, of which 4096 may be invalid. The guest may connect to nothing; if it may,
    /// then by up to 1000 connections, 256 of them being established, each within 10 s.
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
            allow_connect: Vec::new(),
            allow_listen: Vec::new(),
            max_outgoing: 1000,
            max_connecting: 256,
            connect_timeout: Duration::from_secs(10),
            name: "guest".to_owned(),
            max_log_lines: NonZeroU32::new(1000),
            observe: false,
            names: Names::default(),
            #[cfg(feature = "tls")]
            tls_connector: None,
        }
    }
}

/// The reason why a guest that is a program has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProgramEnd {
    /// The program has ended with this exit code.
    Exited(u8),
    /// The program has failed. The log has the reason.
    Failed,
    /// The reader of the program's output has closed its end.
    Unread,
    /// The program's output could not be written. The log has the reason.
    Unwritable,
    /// The program had not ended when the drain timeout expired.
    Cut,
}

/// The outcome of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestSummary {
    /// The summary of the service. Connections that were cut when the guest failed while draining are included in its
    /// `cut`.
    pub served: Served,
    /// The number of times that the guest failed and was replaced.
    pub restarts: u64,
    /// The number of invalid commands of the guest that were ignored.
    pub ignored: u64,
    /// The number of connections that the guest has requested, and that were established.
    pub connected: u64,
    /// The reason why the guest has ended, if it is a program.
    pub program: Option<ProgramEnd>,
}

impl fmt::Display for GuestSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.served)?;
        let extras = [
            (self.restarts, "restarts of the guest"),
            (self.ignored, "commands of the guest ignored"),
            (self.connected, "connections made for the guest"),
        ];
        extras
            .iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, what)| write!(f, "; {count} {what}"))
    }
}
