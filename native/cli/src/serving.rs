//! The options of the commands that serve, native and in a sandbox.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sinbin::driven::DEFAULT_MAX_JOBS;
use sinbin::guests::GuestSettings;

use crate::span::{Span, span};

/// The options of a loop.
#[derive(Args)]
pub struct ServingArgs {
    /// Address to listen on; may be given more than once. Port 0 finds a free one.
    #[arg(long, default_value = "127.0.0.1:25000", value_name = "ADDR:PORT")]
    pub listen: Vec<SocketAddr>,
    /// Connections at a time; more wait in the system's backlog.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Connections of one peer at a time; what comes above is reset at once, and counted (default: as many as there can be).
    ///
    /// A peer is an IPv4 address, or the first 64 bits of an IPv6 address. Many users can share an IPv4 address, and all have
    /// the same behind a proxy: the limit should be generous, or off.
    #[arg(long, value_name = "N")]
    pub max_per_peer: Option<NonZeroU32>,
    /// Have listeners on IPv6 addresses, such as that of all interfaces, take IPv4 connections too.
    ///
    /// Without it they take none, whatever the system's default, and a server for both has a --listen for each, with the same
    /// port.
    #[arg(long)]
    pub dual_stack: bool,
    /// Bytes that may wait for slow clients and for jobs, in MiB. A service in a sandbox has as many in the guest as in the
    /// host, and no more than 4095 in either.
    #[arg(long, default_value_t = 64, value_name = "MIB", value_parser = clap::value_parser!(u16).range(0..))]
    pub max_buffered: u16,
    /// Jobs at a time, waiting or running; the request that wants another one is answered with an error at once. This is what
    /// keeps a flood of slow requests from taking all connections, so it should be well below --max-connections.
    #[arg(long, default_value_t = DEFAULT_MAX_JOBS, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_jobs: u32,
    /// Threads for jobs (default: one less than there are cores, at least 1), in a sandbox each with an instance of the
    /// guest; with 0, jobs run in slices on the loop itself.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub workers: Option<u16>,
    /// The budget of such a slice, in the job's units (of fib: calls, about a nanosecond each).
    #[arg(long, default_value_t = 50_000, value_name = "UNITS", value_parser = clap::value_parser!(u32).range(1..))]
    pub slice: u32,
    /// Look for readiness this long, again and again, before the loop blocks: quicker answers for a whole
    /// core. 0 is off.
    #[arg(long, default_value_t = 0, value_name = "MICROS", value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    pub busy_poll: u64,
    /// Close a connection whose client takes this long for what it is sent, from when it does not take all of that at once
    /// until it has, such as 30s or 5m; "off" for never. A service has what one read of 16 KiB asks for to be taken in this
    /// time; in a sandbox the host has so too what it keeps for a client, whatever the guest does.
    #[arg(long, default_value = "1m", value_name = "SPAN", value_parser = span)]
    pub reply_timeout: Span,
    /// After Ctrl-C or SIGTERM: how long requests under way may take.
    #[arg(long, default_value = "30s", value_name = "SPAN", value_parser = span)]
    pub drain_timeout: Span,
    /// Record in this file all that the service is told, for `replay`. What clients send is in it. It must be new, or empty.
    ///
    /// In a sandbox it takes a guest that the host drives. `sinbin serve` then serves by the same driver, in place of the
    /// native loop: the same tasks and sockets, but a bug of the native loop alone can be missing in the recording. A service
    /// that is written as an async fn can't be recorded there, and --max-buffered is 4095 at the most.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// End the recording, and not the server, at this size, in MiB.
    #[arg(long, default_value_t = 4096, value_name = "MIB", requires = "record", value_parser = clap::value_parser!(u32).range(1..))]
    pub record_limit: u32,
}

impl ServingArgs {
    /// The bytes of `--max-buffered`, as far as they can be counted.
    #[must_use]
    pub fn max_buffered(&self) -> usize {
        usize::from(self.max_buffered).saturating_mul(1 << 20)
    }

    /// The time of `--busy-poll`.
    #[must_use]
    pub fn busy_poll(&self) -> Duration {
        Duration::from_micros(self.busy_poll)
    }

    /// The time of `--drain-timeout`; without a limit, all there is.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout.0.unwrap_or(Duration::MAX)
    }

    /// Returns the settings of a driver whose service gets these arguments.
    #[must_use]
    pub fn guest_settings(&self, arguments: Vec<String>) -> GuestSettings {
        let mut settings = GuestSettings::default();
        settings.arguments = arguments;
        settings.max_connections = self.max_connections as usize;
        settings.max_buffered = self.max_buffered();
        settings.max_jobs = self.max_jobs as usize;
        settings.max_per_peer = self.max_per_peer;
        settings.dual_stack = self.dual_stack;
        settings.slice = self.slice;
        settings.busy_poll = self.busy_poll();
        settings.reply_timeout = self.reply_timeout.0;
        settings.drain_timeout = self.drain_timeout();
        if let Some(workers) = self.workers {
            settings.workers = usize::from(workers);
        }
        settings
    }

    /// The bytes of `--record-limit`.
    #[must_use]
    pub fn record_limit(&self) -> u64 {
        u64::from(self.record_limit) << 20
    }
}
