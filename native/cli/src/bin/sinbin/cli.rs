//! The command line.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sinbin::fib::MAX_N;
use sinbin_cli::arguments;
use sinbin_cli::log::LogArgs;
use sinbin_cli::replay::ReplayArgs;
use sinbin_cli::serving::ServingArgs;
use sinbin_cli::span::{Span, span};

/// Run small network services on one thread, and see what keeps them fast.
///
/// Start `sinbin serve fib`, then ask it: printf '30\n' | nc 127.0.0.1 25000
#[derive(Parser)]
#[command(name = "sinbin", version, after_help = EXIT_CODES)]
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
    /// Serve one of the shipped services until Ctrl-C.
    #[command(subcommand)]
    Serve(Serve),
    /// Run again what `serve --record` or `sinbin-wasi run --record` has recorded, offline, and compare the answers.
    ///
    /// The service is told, turn by turn, what it was told then: what was ready, which bytes, what time. It needs no network
    /// for it and no clock, so it goes as fast as the processor. A service of yours that was recorded in the sandbox takes
    /// `sinbin-wasi replay`.
    ///
    /// Exit codes: 0 every answer is the same; 1 one is not, or the recording is damaged; 4 every answer is the same as far as
    /// the recording goes, and it is cut short: the server still runs, or was killed.
    Replay(ReplayArgs),
    /// Measure a server that speaks the fib protocol.
    #[command(subcommand)]
    Perf(Perf),
}

#[derive(Subcommand)]
pub(crate) enum Serve {
    /// The talk's Fibonacci service: an integer a line, answered by fib of it.
    Fib(FibArgs),
    /// Sends back what it gets.
    Echo(ServeArgs),
    /// Sends back what it gets in upper case, with _SB behind each read.
    Upper(ServeArgs),
}

#[derive(Args)]
pub(crate) struct FibArgs {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
}

/// What the fib service has beyond others.
#[derive(Args)]
pub(crate) struct RulesArgs {
    /// Largest n that is answered.
    #[arg(long, default_value_t = 45, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_N)))]
    pub(crate) max_n: u32,
    /// Largest n that is computed on the loop itself; larger ones are jobs.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=25))]
    pub(crate) loop_n: u32,
    /// Longest line in bytes; a longer one gets an error and the connection is closed.
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_line: u16,
    /// Cancel a job that has waited and run for this long, and answer its request with an error; "off" for never. Without a
    /// limit, jobs of clients that have gone away without a reset keep their places until they are done.
    #[arg(long, default_value = "60s", value_name = "SPAN", value_parser = span)]
    pub(crate) job_timeout: Span,
    /// How requests are told apart.
    #[arg(long, default_value = "auto", value_enum)]
    pub(crate) framing: FramingArg,
    /// Close a connection whose client takes this long for one line, from the first byte to the newline, such as 10s or 1m;
    /// "off" for never. It gets an error line.
    #[arg(long, default_value = "30s", value_name = "SPAN", value_parser = span)]
    pub(crate) request_timeout: Span,
}

/// What every service has.
#[derive(Args)]
pub(crate) struct LifeArgs {
    /// Close a connection after this long without a byte, such as 30s or 5m; "off" for never.
    #[arg(long, default_value = "5m", value_name = "SPAN", value_parser = span)]
    pub(crate) idle_timeout: Span,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum FramingArg {
    /// By lines; by reads for a client whose first read holds no newline, up to a read that does.
    Auto,
    /// By lines only.
    Lines,
    /// By reads only.
    Bare,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum WrittenAs {
    /// As a state machine.
    Machine,
    /// As an async fn.
    AsyncFn,
}

#[derive(Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
    #[command(flatten)]
    pub(crate) life: LifeArgs,
    /// How the service is written: it does the same either way.
    #[arg(long, default_value = "machine", value_enum, env = "SINBIN_WRITTEN_AS")]
    pub(crate) written_as: WrittenAs,
}

#[derive(Subcommand)]
pub(crate) enum Perf {
    /// Time each request, one after the other (the talk's perf1.py).
    Latency(LatencyArgs),
    /// Count requests a second (the talk's perf2.py).
    Throughput(ThroughputArgs),
    /// The talk's headline: a fast client alone, then beside a slow one, and what it keeps.
    Mixed(MixedArgs),
}

#[derive(Args)]
pub(crate) struct PerfArgs {
    /// Server to measure.
    #[arg(long, default_value = "127.0.0.1:25000", value_name = "ADDR:PORT")]
    pub(crate) connect: SocketAddr,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// How long no reply at all may come before the server has stalled, which ends the measurement; "off" for ever.
    #[arg(long, default_value = "10s", value_name = "SPAN", value_parser = span)]
    pub(crate) timeout: Span,
    /// Send no newline: wait for the line after each number, as the talk's clients do.
    #[arg(long)]
    pub(crate) bare: bool,
}

#[derive(Args)]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    pub(crate) perf: PerfArgs,
    /// Number to ask for.
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_N)))]
    pub(crate) n: u32,
    /// Connections at a time.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
}

#[derive(Args)]
pub(crate) struct ThroughputArgs {
    #[command(flatten)]
    pub(crate) perf: PerfArgs,
    /// Number to ask for.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_N)))]
    pub(crate) n: u32,
    /// Connections at a time.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
    /// Requests under way on each connection.
    #[arg(long, default_value_t = 1, value_name = "N", conflicts_with = "bare", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) pipeline: u32,
}

#[derive(Args)]
pub(crate) struct MixedArgs {
    #[command(flatten)]
    pub(crate) perf: PerfArgs,
    /// Number that the slow client asks for.
    #[arg(long, default_value_t = 35, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_N)))]
    pub(crate) slow_n: u32,
    /// Print one line for programs instead: the fast client's requests/s alone and beside the slow one, its p99 in
    /// both cases in µs, and the slow client's requests/s, separated by tabs.
    #[arg(long)]
    pub(crate) brief: bool,
}
