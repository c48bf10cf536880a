//! The command line.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::server::Who;
use crate::switchers::Switcher;

/// Compares sinbin with a bare epoll loop, mio, tokio and smol, its services with redis-server
/// and nginx, and its crawler with wget2 and aiohttp.
#[derive(Parser)]
#[command(name = "compare", args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) plan: Plan,
}

impl Options {
    /// Parses the command line, or returns `None` if this is no benchmark run. `cargo bench` passes `--bench`;
    /// `cargo test --benches` does not.
    pub(crate) fn from_args() -> Option<Self> {
        let bench = env::args_os().any(|arg| arg == "--bench");
        let role = env::args_os().nth(1).is_some_and(|arg| Role::has_subcommand(&arg.to_string_lossy()));
        (bench || role).then(Self::parse)
    }
}

/// The measurements and their durations.
#[derive(Args)]
pub(crate) struct Plan {
    /// Run only these measurements
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    only: Vec<Measurement>,
    /// The number of rounds, in each of which every server is measured once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// The duration of a measurement, after a warm-up of a fifth of it
    #[arg(long, value_name = "MILLIS", value_parser = clap::value_parser!(u64).range(1..))]
    window_ms: Option<u64>,
    /// Run two rounds with windows of 200 ms: a check that the benchmark works, without meaningful figures
    #[arg(long)]
    quick: bool,
    /// Write plots of the figures into this directory of the repository, as SVG: requests, memory, switches, and fast beside slow
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,
    /// Omit sinbin, to check the peers and the harness
    #[arg(long)]
    pub(crate) peers_only: bool,
    /// The option that cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

impl Plan {
    pub(crate) fn wants(&self, measurement: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&measurement)
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 2 } else { 7 }).into()
    }

    /// Returns true if the run only checks that the benchmark works.
    pub(crate) fn is_quick(&self) -> bool {
        self.quick
    }

    pub(crate) fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms.unwrap_or(if self.quick { 200 } else { 900 }))
    }

    pub(crate) fn warm_up(&self) -> Duration {
        self.window() / 5
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measurement {
    /// Requests per second
    Throughput,
    /// System calls per request
    Syscalls,
    /// Memory for each idle connection
    Memory,
    /// A fast client beside a slow one
    Mixed,
    /// Normal clients beside many that send a byte a second
    Loris,
    /// The service in a wasm sandbox, compared with the native one
    Sandbox,
    /// The service while it is recorded, and the replay of the recording
    Recording,
    /// Instructions per request
    Instructions,
    /// Instructions per task switch, and per spawned task
    Switch,
    /// Services such as a store, a web server and a forwarder, beside tokio, redis-server and nginx
    Services,
    /// A crawl of a documentation site, beside tokio with reqwest, wget2 and aiohttp
    Crawl,
}

/// The role of a process that the binary has started.
#[derive(Subcommand)]
pub(crate) enum Role {
    /// Serve as one of the peers
    #[command(hide = true)]
    ServePeer { name: Who },
    /// Switch between tasks, to be counted
    #[command(hide = true)]
    SwitchPeer { name: Switcher, tasks: usize, switches: usize },
    /// Spawn tasks, to be counted
    #[command(hide = true)]
    SpawnPeer { name: Switcher, tasks: usize },
    /// Execute another program, on one core
    #[command(hide = true)]
    Launch {
        #[arg(long)]
        core: Option<usize>,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}
