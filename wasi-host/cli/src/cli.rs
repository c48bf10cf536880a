//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sinbin_cli::arguments;
use sinbin_cli::log::LogArgs;
use sinbin_cli::replay::ReplayArgs;
use sinbin_cli::serving::ServingArgs;
use sinbin_cli::span::{Span, span};
use sinbin_wasi::portable::Peer;

use crate::load::{CompilingArgs, LoadArgs};

/// Run network services in a wasm sandbox, at native speed.
///
/// Make the guests with `just build-wasi`, start `sinbin-wasi run target/wasi/fib.wasm`, then ask it: printf '30\n' | nc
/// 127.0.0.1 25000
#[derive(Parser)]
#[command(name = "sinbin-wasi", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 all went well; 1 something failed, see stderr; 2 wrong arguments; \
3 the time to drain was over and connections were cut; 4 a recording that was replayed is cut short, and as far as it goes \
every answer is the same; 130 a second Ctrl-C ended it at once.";

/// Ends the process as wrong arguments do, where it takes more than the command line to see that they are wrong.
pub(crate) fn refuse(what: &str) -> ! {
    arguments::refuse::<Cli>(what)
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve what a guest does, until Ctrl-C.
    ///
    /// The guest is a component (.wasm, or with --allow-precompiled a .cwasm as `compile` makes it). One that exports
    /// sinbin:service/guest is driven: it has nothing but its own memory. One that exports wasi:cli/run drives itself by WASI 0.2: it gets a
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
    ///
    /// The result starts faster. It is machine code, so it is run only with --allow-precompiled.
    Compile(CompileArgs),
    /// Compile what comes from stdin, to stdout: what this program starts itself for, to compile within limits.
    #[command(hide = true)]
    CompileApart(ApartArgs),
    /// Say what a guest is: a service that is driven or a command of WASI, what it imports and exports.
    Inspect(InspectArgs),
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The guest.
    pub(crate) guest: PathBuf,
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
    /// Address that a command of WASI may connect to, with a port or * for any; may be given more than once. A driven
    /// guest connects to nobody.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) allow_connect: Vec<Peer>,
    /// Give a command of WASI only the arguments behind the --. Otherwise it is told first where to listen, the limits,
    /// and that it is to stop when its stdin ends, in the words of target/wasi/fib-portable.wasm.
    #[arg(long)]
    pub(crate) raw_arguments: bool,
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
    /// Commands that a driven guest may answer with in one turn, and 32 more for each connection and each event of the turn.
    /// A guest that says more is replaced: the host would be at work for it, and for nobody else.
    #[arg(long, default_value_t = 65_536, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_commands: u32,
    /// Commands of one turn that may mean nothing, such as those for a connection that is closed. A guest that says more of
    /// them is replaced.
    #[arg(long, default_value_t = 4096, value_name = "N", value_parser = clap::value_parser!(u32).range(0..))]
    pub(crate) max_ignored: u32,
    /// Sockets, streams and pollables that a command of WASI may hold at a time (default: 16 for each connection, and 1024).
    /// A command that wants more is ended.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_resources: Option<u32>,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
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
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

#[derive(Args)]
pub(crate) struct InspectArgs {
    /// The guest, a .wasm.
    pub(crate) guest: PathBuf,
    #[command(flatten)]
    pub(crate) compiling: CompilingArgs,
}

#[derive(Args)]
pub(crate) struct ApartArgs {
    /// The most memory, in bytes.
    pub(crate) max_memory: u64,
}

#[derive(Args)]
pub(crate) struct CompileArgs {
    /// The guest, a .wasm.
    pub(crate) guest: PathBuf,
    /// Where to write it (default: beside it, as .cwasm); "-" is stdout. It is machine code: run only what you have compiled yourself.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) compiling: CompilingArgs,
}
