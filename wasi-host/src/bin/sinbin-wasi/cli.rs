//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use sinbin::command::replay::ReplayArgs;
use sinbin::command::span::{Span, span};
use sinbin_wasi::portable::Peer;

/// Run network services in a wasm sandbox, at native speed.
///
/// Make the guests with `just build-wasi`, start `sinbin-wasi run target/wasi/fib.wasm`, then ask it: printf '30\n' | nc
/// 127.0.0.1 25000
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to log to stderr: error, warn, info, debug, trace or off.
    #[arg(long, global = true, default_value = "info", env = "SINBIN_LOG", value_name = "LEVEL")]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 all went well; 1 something failed, see stderr; 2 wrong arguments; \
3 the time to drain was over and connections were cut; 4 a recording that was replayed is cut short, and as far as it goes \
every answer is the same; 130 a second Ctrl-C ended it at once.";

/// Ends the process as wrong arguments do, where it takes more than the command line to see that they are wrong.
pub(crate) fn refuse(what: &str) -> ! {
    Cli::command().error(ErrorKind::ArgumentConflict, what).exit()
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve what a guest does, until Ctrl-C.
    ///
    /// The guest is a component (.wasm, or .cwasm as `compile` makes it). One that exports sinbin:service/guest is
    /// driven: it has nothing but its own memory. One that exports wasi:cli/run drives itself by WASI 0.2: it gets a
    /// clock, random numbers, the standard streams, and the network that --listen and --allow-connect name.
    Run(RunArgs),
    /// Run again what `sinbin-wasi run --record` or `sinbin serve --record` has recorded, offline, and compare the answers.
    ///
    /// The guest is told, turn by turn, what it was told then: what was ready, which bytes, what time.
    ///
    /// Exit codes: 0 every answer is the same; 1 one is not, or the recording is damaged; 4 every answer is the same as far as
    /// the recording goes, and it is cut short: the server still runs, or was killed.
    Replay(GuestReplayArgs),
    /// Compile a guest ahead of time.
    Compile(CompileArgs),
    /// Say what a guest is: a service that is driven or a command of WASI, what it imports and exports.
    Inspect(InspectArgs),
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The guest.
    pub(crate) guest: PathBuf,
    /// Address to listen on; may be given more than once. Port 0 finds a free one.
    #[arg(long, default_value = "127.0.0.1:25000", value_name = "ADDR:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Address that a command of WASI may connect to, with a port or * for any; may be given more than once. A driven
    /// guest connects to nobody.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) allow_connect: Vec<Peer>,
    /// Give a command of WASI only the arguments behind the --. Otherwise it is told first where to listen, the limits,
    /// and that it is to stop when its stdin ends, in the words of target/wasi/fib-portable.wasm.
    #[arg(long)]
    pub(crate) raw_arguments: bool,
    /// Connections at a time; more wait in the system's backlog.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_connections: u32,
    /// Bytes that may wait for slow clients and for jobs, in MiB: in the guest, and as many in the host.
    #[arg(long, default_value_t = 64, value_name = "MIB", value_parser = clap::value_parser!(u16).range(0..=4095))]
    pub(crate) max_buffered: u16,
    /// Memory of the guest, in MiB; one that wants more is replaced. It should be more than --max-buffered.
    #[arg(long, default_value_t = 256, value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) max_memory: u16,
    /// How long a turn of the guest may compute; one that takes longer is interrupted, and the guest replaced. "off" for
    /// no limit.
    #[arg(long, default_value = "1s", value_name = "SPAN", value_parser = span)]
    pub(crate) turn_limit: Span,
    /// How often a minute a guest that failed may be replaced.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) max_restarts: u16,
    /// Threads for jobs (default: one less than there are cores, at least 1), each with an instance of the guest; with
    /// 0, the guest computes jobs itself, in slices.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub(crate) workers: Option<u16>,
    /// The budget of such a slice, in the job's units (of fib: calls, about a nanosecond each).
    #[arg(long, default_value_t = 50_000, value_name = "UNITS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) slice: u32,
    /// Look for readiness this long, again and again, before the loop blocks: quicker answers for a whole core. 0 is
    /// off.
    #[arg(long, default_value_t = 0, value_name = "MICROS", value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    pub(crate) busy_poll: u64,
    /// After Ctrl-C or SIGTERM: how long requests under way may take.
    #[arg(long, default_value = "30s", value_name = "SPAN", value_parser = span)]
    pub(crate) drain_timeout: Span,
    /// Where compiled guests are kept (default: below your cache directory); "off" to keep none.
    #[arg(long, value_name = "DIR", env = "SINBIN_WASI_CACHE")]
    pub(crate) cache: Option<PathBuf>,
    /// Record in this file all that a driven guest is told, for `replay`. What clients send is in it. It must be new, or empty.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// End the recording, and not the server, at this size, in MiB.
    #[arg(long, default_value_t = 4096, value_name = "MIB", requires = "record", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) record_limit: u32,
    /// The guest's own arguments, behind a --.
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub(crate) arguments: Vec<String>,
}

#[derive(Args)]
pub(crate) struct GuestReplayArgs {
    #[command(flatten)]
    pub(crate) replay: ReplayArgs,
    /// The guest.
    pub(crate) guest: PathBuf,
    /// Memory of the guest, in MiB: as much as when it was recorded.
    #[arg(long, default_value_t = 256, value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) max_memory: u16,
    /// How long a turn of the guest may compute: as long as when it was recorded. "off" for no limit.
    #[arg(long, default_value = "1s", value_name = "SPAN", value_parser = span)]
    pub(crate) turn_limit: Span,
    /// Where compiled guests are kept (default: below your cache directory); "off" to keep none.
    #[arg(long, value_name = "DIR", env = "SINBIN_WASI_CACHE")]
    pub(crate) cache: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct InspectArgs {
    /// The guest.
    pub(crate) guest: PathBuf,
}

#[derive(Args)]
pub(crate) struct CompileArgs {
    /// The guest, a .wasm.
    pub(crate) guest: PathBuf,
    /// Where to write it (default: beside it, as .cwasm). It is machine code: run only what you have compiled yourself.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}
