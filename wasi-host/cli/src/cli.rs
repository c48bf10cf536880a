//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sinbin_cli::arguments;
use sinbin_cli::log::LogArgs;
use sinbin_cli::manual::CompletionsArgs;
use sinbin_cli::replay::ReplayArgs;
use sinbin_cli::serving::ServingArgs;
use sinbin_cli::size::{Size, size_within};
use sinbin_cli::span::{Span, span};
use sinbin_wasi::portable::Directory;

use crate::connect::ConnectArgs;
use crate::load::{CompilingArgs, LoadArgs};

/// Run network services in a wasm sandbox, at native speed.
///
/// Build the guests with `just build-wasi`, start `sinbin-wasi run target/wasi/fib.wasm`, then send it a request:
/// `sinbin ask 30`
#[derive(Parser)]
#[command(name = "sinbin-wasi", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 success; 1 an error, see stderr; 2 wrong arguments; 3 the drain timeout \
expired and connections were closed; 4 a replayed recording is incomplete, and all answers in it match; 130 a second \
Ctrl-C ended the process at once.";

/// Ends the process as wrong arguments do, if more than the command line is needed to detect that they are wrong.
pub(crate) fn refuse(what: &str) -> ! {
    arguments::refuse::<Cli>(what)
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve a guest's service, until Ctrl-C; or those of several guests, by --and.
    ///
    /// The guest is a component: a .wasm file, or with --allow-precompiled a .cwasm file made by `compile`. A guest
    /// that exports sinbin:service/guest is driven by the host, and can access only its own memory and its connections. A
    /// guest that exports wasi:cli/run is a command of WASI 0.2 or 0.3 with its own loop: it can access a clock, random numbers,
    /// the standard streams, and the network addresses of --listen and --allow-connect.
    Run(Box<RunArgs>),
    /// Replay a recording of `sinbin-wasi run --record` or `sinbin serve --record` offline, and compare the answers.
    ///
    /// The guest receives, turn by turn, what the recorded service received: readiness, bytes and time. A WASI command
    /// receives, call by call, the recorded results, without network, clock, random numbers or files; its calls and all
    /// that it sends and writes are compared.
    ///
    /// Exit codes: 0 all answers match; 1 an answer differs, or the recording is damaged; 4 all recorded answers match,
    /// but the recording is incomplete, because the server is still running or was killed.
    Replay(GuestReplayArgs),
    /// Compile a guest ahead of time.
    ///
    /// The result starts faster. It is machine code, so `run` and `replay` accept it only with --allow-precompiled.
    Compile(CompileArgs),
    /// Compile a component from stdin to stdout. This program starts itself with this command, to compile within
    /// limits.
    #[command(hide = true)]
    CompileApart(ApartArgs),
    /// Print whether a guest is a service that the host drives or a WASI command, and what it imports and exports.
    Inspect(InspectArgs),
    /// Print the completions of this command for a shell.
    Completions(CompletionsArgs),
    /// Print the manual page of this command, for `man -l -`.
    Man,
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The guest's file.
    pub(crate) guest: PathBuf,
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    /// Let a WASI command use UDP as well: listen on the addresses of --listen, reply to those who send to it, and
    /// exchange datagrams with those of --allow-connect.
    #[arg(long)]
    pub(crate) allow_udp: bool,
    /// Directory that a WASI command may access, by the path GUEST; may be repeated. With ::ro at its end, the command can
    /// only read it.
    #[arg(long, value_name = "HOST[::GUEST[::ro]]", value_parser = directory)]
    pub(crate) dir: Vec<Directory>,
    /// Environment variable of a WASI command; may be repeated. Without a value, it has that of this process.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Pass a WASI command only the arguments after --, and the stdin of this process. By default it first gets options
    /// for the addresses, for the limits, and to stop when its stdin ends, and its stdin contains nothing until then;
    /// target/wasi/fib-portable.wasm understands these options.
    #[arg(long)]
    pub(crate) raw_arguments: bool,
    /// Print each call of a WASI 0.2 command to stderr, with its arguments and its result.
    #[arg(long)]
    pub(crate) trace: bool,
    /// Maximum memory of the guest, such as 256M or 1G; a number without a unit is in MiB. A guest that exceeds it is
    /// replaced. It should be larger than --max-buffered.
    #[arg(long, default_value = "256MiB", value_name = "SIZE", value_parser = size_within(Size::mebibytes(1)..=Size::mebibytes(4096)))]
    pub(crate) max_memory: Size,
    /// Maximum CPU time of one turn of the guest (default: 1s, and 30s for a program, which has no clients that wait); a
    /// guest that exceeds it is interrupted and replaced. "off" for no limit.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) turn_limit: Option<Span>,
    /// Maximum number of replacements of a failed guest per minute.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) max_restarts: u16,
    /// Maximum number of commands that a driven guest may return from one turn, plus 32 for each connection and each
    /// event of the turn. A guest that exceeds it is replaced, since executing the commands would delay everything
    /// else.
    #[arg(long, default_value_t = 65_536, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_commands: u32,
    /// Maximum number of invalid commands in one turn, such as those for a closed connection. A guest that exceeds it
    /// is replaced.
    #[arg(long, default_value_t = 4096, value_name = "N", value_parser = clap::value_parser!(u32).range(0..))]
    pub(crate) max_ignored: u32,
    /// Maximum number of sockets, streams, pollables, and in WASI 0.3 timers and lookups that a WASI command may hold (default: 16 for each connection,
    /// plus 1024). A command that exceeds it is ended.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_resources: Option<u32>,
    /// Maximum number of listeners of a WASI command. A command that exceeds it gets an error.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=65_536))]
    pub(crate) max_listeners: u32,
    /// Name of the guest in the log, in its recording and for `sinbin ps` (default: the name of its file). Of several guests
    /// with the same name, the later ones get a number. It is also the first argument of a WASI command.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) name: Option<String>,
    /// Run another guest in the same process: its file and its options, which are its own; may be repeated.
    ///
    /// Each guest has a thread, a loop, limits and permissions of its own. A guest that fails or computes for long does not
    /// affect the others. None is started before those that the host drives listen, and the process ends when all have ended. The
    /// options of the log come before the first --and. The first guest with --raw-arguments has the stdin of the process.
    /// Guests may connect to each other if --allow-connect permits it.
    // For the help only: the command line is split at this word before it is parsed.
    #[arg(long = "and", value_name = "GUEST [OPTIONS]")]
    pub(crate) and: Option<String>,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// The guest's own arguments, after --, and up to an --and.
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub(crate) arguments: Vec<String>,
}

impl RunArgs {
    /// Returns the name of the guest's file, without directories and extension.
    pub(crate) fn file_name(&self) -> String {
        self.guest.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

#[derive(Args)]
pub(crate) struct GuestReplayArgs {
    #[command(flatten)]
    pub(crate) replay: ReplayArgs,
    /// The guest's file.
    pub(crate) guest: PathBuf,
    /// Replay the recording of a WASI command with another component than the recorded one, for example with a new build.
    #[arg(long)]
    pub(crate) any_component: bool,
    /// Maximum memory of the guest; a number without a unit is in MiB. Use the value of the recorded server.
    #[arg(long, default_value = "256MiB", value_name = "SIZE", value_parser = size_within(Size::mebibytes(1)..=Size::mebibytes(4096)))]
    pub(crate) max_memory: Size,
    /// Maximum CPU time of one turn of the guest (default: 1s, and 30s for a program). Use the value of the recorded
    /// server. "off" for no limit.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) turn_limit: Option<Span>,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

#[derive(Args)]
pub(crate) struct InspectArgs {
    /// The guest's file, a .wasm.
    pub(crate) guest: PathBuf,
    #[command(flatten)]
    pub(crate) compiling: CompilingArgs,
}

#[derive(Args)]
pub(crate) struct ApartArgs {
    /// Maximum memory of the process, in bytes.
    pub(crate) max_memory: u64,
}

#[derive(Args)]
pub(crate) struct CompileArgs {
    /// The guest's file, a .wasm.
    pub(crate) guest: PathBuf,
    /// File to write (default: the guest's path, with the extension .cwasm); "-" is stdout. The file contains machine
    /// code: run only files that you compiled yourself.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) compiling: CompilingArgs,
}

/// Parses the name of a guest.
fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 64 || text.contains(char::is_control) {
        return Err("give 1 to 64 bytes without control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses a directory that a guest may access.
fn directory(text: &str) -> Result<Directory, String> {
    let (path, is_read_only) = text.strip_suffix("::ro").map_or((text, false), |path| (path, true));
    let (host, guest) = path.split_once("::").unwrap_or((path, path));
    if host.is_empty() || guest.is_empty() || guest.contains("::") {
        return Err("give HOST, HOST::GUEST, or either with ::ro at its end".to_owned());
    }
    Ok(Directory { host: host.into(), guest: guest.to_owned(), is_read_only })
}

#[cfg(test)]
mod tests {
    use super::directory;

    #[test]
    fn directories() {
        let parse =
            |text| directory(text).map(|it| (it.host.display().to_string(), it.guest, it.is_read_only));
        let is =
            |host: &str, guest: &str, is_read_only| Ok((host.to_owned(), guest.to_owned(), is_read_only));
        assert_eq!(parse("a/b"), is("a/b", "a/b", false));
        assert_eq!(parse("a::/b"), is("a", "/b", false));
        assert_eq!(parse("a::ro"), is("a", "a", true));
        assert_eq!(parse("a::b::ro"), is("a", "b", true));
        for wrong in ["", "::", "a::", "::b", "::ro", "a::b::rw"] {
            assert!(directory(wrong).is_err(), "{wrong}");
        }
    }
}
