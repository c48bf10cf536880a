//! The command line.

use std::net::SocketAddr;
#[cfg(feature = "plot")]
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sinbin::fib::MAX_N;
use sinbin_cli::address::address;
use sinbin_cli::arguments;
use sinbin_cli::log::LogArgs;
use sinbin_cli::manual::CompletionsArgs;
use sinbin_cli::replay::ReplayArgs;
use sinbin_cli::serving::ServingArgs;
use sinbin_cli::span::{Span, span};

#[cfg(feature = "crawl")]
use crate::crawl::CrawlArgs;
use crate::observe::{
    DrainArgs, EventsArgs, KillArgs, MonitorArgs, PlaceArgs, PsArgs, TopArgs, TreeArgs, WatchArgs,
};
use crate::perf::NoiseArgs;

/// Run small network services on one thread, and measure them.
///
/// Start `sinbin serve fib`, then send it a request: `sinbin ask 30`
#[derive(Parser)]
#[command(name = "sinbin", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 success; 1 an error, see stderr; 2 wrong arguments; 3 the drain timeout \
expired and connections were closed; 4 a replayed recording is incomplete, and all answers in it match; 130 a second \
Ctrl-C ended the process at once. Of the commands that look at loops: 5 no loop can be looked at; 6 no such process; \
7 the process is another user's; 8 the process is of another version. Of crawl: 9 Ctrl-C ended it before it was complete.";

#[cfg(feature = "crawl")]
const CRAWL_EXAMPLES: &str = "\
Examples:
  sinbin crawl http://127.0.0.1:8080/            what the pages of a site are, and which have problems
  sinbin crawl --broken https://example.org/     a link checker, for CI; --check-external for links to other sites too
  sinbin crawl --json example.org | jq .title    a JSON object for each URL
  sinbin crawl --save mirror --include '/docs/' https://example.org/docs/
  sinbin crawl --state crawl.state example.org   Ctrl-C, and the next time continue
  sinbin crawl --follow-hosts '*.example.org' --max-depth 3 --delay 500ms example.org";

const PERF_EXAMPLES: &str = "\
Examples:
  sinbin perf mixed                                     a fast client alone, then beside one that asks for fib(35)
  sinbin perf throughput --connections 64 --pipeline 16
  sinbin perf latency --n 30 | sort -n                  the time of each request, one a line
  sinbin perf mixed --json | jq .too_noisy              null if the machine was quiet enough
  sinbin perf mixed --max-others off --max-spread off   judge anyway, after one measurement";

/// Ends the process as wrong arguments do, if more than the command line is needed to detect that they are wrong.
pub(crate) fn refuse(what: &str) -> ! {
    arguments::refuse::<Cli>(what)
}

/// Ends the process as [`refuse`] does, for the arguments of `crawl`.
#[cfg(feature = "crawl")]
pub(crate) fn refuse_crawl(what: &str) -> ! {
    arguments::refuse_in::<Cli>("crawl", what)
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve one of the shipped services until Ctrl-C.
    #[command(subcommand)]
    Serve(Box<Serve>),
    /// Replay a recording of `serve --record` or `sinbin-wasi run --record` offline, and compare the answers.
    ///
    /// The service receives, turn by turn, what the recorded service received: readiness, bytes and time. It uses
    /// neither the network nor the clock, so it runs as fast as the processor. To replay a recording of your own
    /// service in the sandbox, use `sinbin-wasi replay`.
    ///
    /// Exit codes: 0 all answers match; 1 an answer differs, or the recording is damaged; 4 all recorded answers match,
    /// but the recording is incomplete, because the server is still running or was killed.
    Replay(ReplayArgs),
    /// Send lines to a server, and print its answers.
    ///
    /// All lines are sent at once, followed by the end of the stream. The shipped services then answer all lines, and close
    /// the connection.
    ///
    /// Exit codes: 0 the server answered, even if with an error line; 1 it did not answer, or not completely; 2 wrong
    /// arguments.
    Ask(AskArgs),
    /// Crawl web sites: list their pages, find broken links, save a mirror.
    ///
    /// Pages are fetched by HTTP/1.1 and HTTP/2, many at a time, politely: robots.txt is obeyed, and a server receives few requests
    /// at a time. Links are followed within the hosts of the start URLs. Problems are printed as they are found, and a
    /// summary at the end.
    ///
    /// Ctrl-C ends the crawl and prints the summary; with --state, the next run continues. A second Ctrl-C ends the process at
    /// once.
    ///
    /// Exit codes: 0 the crawl is complete; 1 no start URL had a response, or with --broken, there are broken links, or
    /// results could not be written; 2 wrong arguments; 9 Ctrl-C ended the crawl.
    #[cfg(feature = "crawl")]
    #[command(after_help = CRAWL_EXAMPLES)]
    Crawl(Box<CrawlArgs>),
    /// Measure a server that speaks the fib protocol.
    ///
    /// On a terminal, a line shows rate, times and errors while the measurement goes on, and a table and a histogram
    /// follow. Elsewhere, `latency` prints the time of each request, and `throughput` the rate of each second, one a line.
    ///
    /// Nothing is judged on a noisy machine: a measurement is repeated if others took more than --max-others of the CPU
    /// time, or if its windows differ by more than --max-spread, up to --attempts times. Then the results are printed as
    /// too noisy to judge.
    ///
    /// Ctrl-C ends the measurement and prints what was measured, with a remark that it is incomplete.
    #[command(subcommand, after_help = PERF_EXAMPLES)]
    Perf(Perf),
    /// List the loops that run on this machine, or the tasks of one, with what each waits for.
    ///
    /// The tables of a loop are read where they are, in memory that it shares with other processes of its user: the loop
    /// does not notice. `sinbin-wasi` processes are listed as well.
    Ps(PsArgs),
    /// Show which task waits for which, and the deadlocks.
    Tree(TreeArgs),
    /// Show what a loop does now, with its native stack if the system permits that, or where a task stands.
    Where(PlaceArgs),
    /// Print what happens in a loop: tasks, connections and jobs, one event a line.
    Events(EventsArgs),
    /// Show loops and their tasks live in the terminal.
    Top(TopArgs),
    /// Serve what is seen of loops over HTTP: a live page at /, and /metrics, /healthz, /readyz and /snapshot.json.
    Monitor(MonitorArgs),
    /// Log a warning whenever a task keeps the loop of a process for too long.
    Watch(WatchArgs),
    /// Cancel a task of a server that was started with --control, and wait for its end.
    ///
    /// A connection is closed when its task ends, as the task itself would do. A cancelled `async fn` gets an error from what it
    /// waits for, and can clean up; a second `sinbin kill` drops it where it waits. Tasks that accept connections, and tasks
    /// of guests, cannot be cancelled.
    ///
    /// Exit codes: 0 the task has ended; 1 it could not be cancelled, or has not ended in time; 5 to 8 as of the other commands
    /// that look at loops.
    Kill(KillArgs),
    /// Make a server accept nothing new, answer what it has received, and end; and wait for that.
    ///
    /// Sends SIGTERM, after checks that the process runs a loop of sinbin and handles the signal. `sinbin-wasi` processes are
    /// drained as well.
    ///
    /// Exit codes: 0 the process has ended, and all its connections with it; 1 it has not ended in time, or was killed; 3 the
    /// server's own --drain-timeout expired, and connections were cut off; 5 to 8 as of the other commands that look at loops.
    Drain(DrainArgs),
    /// Print the completions of this command for a shell.
    Completions(CompletionsArgs),
    /// Print the manual page of this command, for `man -l -`.
    Man,
}

#[derive(Subcommand)]
pub(crate) enum Serve {
    /// Answer each integer n, one per line, with the Fibonacci number of n: the service of the talk.
    Fib(FibArgs),
    /// Send back the received bytes.
    Echo(ServeArgs),
    /// Send back the received bytes in upper case, with _SB after each read.
    Upper(ServeArgs),
}

#[derive(Args)]
pub(crate) struct FibArgs {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
}

/// The options of the fib service alone.
#[derive(Args)]
pub(crate) struct RulesArgs {
    /// Maximum n of a request; a larger n gets an error.
    #[arg(long, default_value_t = 45, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_N)))]
    pub(crate) max_n: u32,
    /// Maximum n that is computed on the loop itself; a larger n is computed as a job.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=25))]
    pub(crate) loop_n: u32,
    /// Maximum length of a line, in bytes; a longer line gets an error, and the connection is closed.
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_line: u16,
    /// Cancel a job that has waited and run for this long in total, and answer its request with an error; "off" for
    /// never. Without a limit, the job of a client that has disappeared without a reset keeps its slot until it is
    /// done.
    #[arg(long, default_value = "60s", value_name = "SPAN", value_parser = span)]
    pub(crate) job_timeout: Span,
    /// How to split the received bytes into requests.
    #[arg(long, default_value = "auto", value_enum)]
    pub(crate) framing: FramingArg,
    /// Close a connection whose client takes this long to send one line, from the first byte to the newline, such as
    /// 10s or 1m; "off" for never. The client gets an error line.
    #[arg(long, default_value = "30s", value_name = "SPAN", value_parser = span)]
    pub(crate) request_timeout: Span,
}

/// The options that all services have.
#[derive(Args)]
pub(crate) struct LifeArgs {
    /// Close a connection on which no byte arrives for this long, such as 30s or 5m; "off" for never.
    #[arg(long, default_value = "5m", value_name = "SPAN", value_parser = span)]
    pub(crate) idle_timeout: Span,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum FramingArg {
    /// Each line is a request. If the first read from a client contains no newline, each read is a request, until a
    /// read contains one.
    Auto,
    /// Each line is a request.
    Lines,
    /// Each read is a request.
    Bare,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum WrittenAs {
    /// As a state machine.
    Machine,
    /// As an async fn.
    AsyncFn,
}

/// The options about who may look at a server.
#[derive(Args)]
pub(crate) struct ObservingArgs {
    /// Log a warning when a task keeps the loop for this long, such as 500ms or 1s: starts a `sinbin watch` beside the
    /// server.
    #[arg(long, value_name = "SPAN", conflicts_with = "no_observe", value_parser = span)]
    pub(crate) stall_after: Option<Span>,
    /// Serve /metrics, /healthz, /readyz and a live page on this address: starts a `sinbin monitor` beside the server.
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "no_observe", value_parser = address)]
    pub(crate) metrics: Option<SocketAddr>,
    /// Let processes of the same user cancel tasks: `sinbin kill`.
    #[arg(long, conflicts_with_all = ["no_observe", "record"])]
    pub(crate) control: bool,
}

#[derive(Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
    #[command(flatten)]
    pub(crate) observing: ObservingArgs,
    #[command(flatten)]
    pub(crate) life: LifeArgs,
    /// The implementation of the service to run. Both behave in the same way.
    #[arg(long, default_value = "machine", value_enum, env = "SINBIN_WRITTEN_AS")]
    pub(crate) written_as: WrittenAs,
}

#[derive(Args)]
pub(crate) struct AskArgs {
    /// Address of the server.
    #[arg(long, default_value = "127.0.0.1:25000", value_name = "ADDR:PORT", value_parser = address)]
    pub(crate) connect: SocketAddr,
    /// Fail if no byte arrives for this long; "off" for never.
    #[arg(long, default_value = "10s", value_name = "SPAN", value_parser = span)]
    pub(crate) timeout: Span,
    /// Lines to send, such as 30.
    #[arg(required = true, value_name = "LINE", allow_negative_numbers = true)]
    pub(crate) lines: Vec<String>,
}

#[derive(Subcommand)]
pub(crate) enum Perf {
    /// Measure the time of each request, one after the other (the talk's perf1.py).
    Latency(LatencyArgs),
    /// Measure the number of requests per second (the talk's perf2.py).
    Throughput(ThroughputArgs),
    /// Compare the rate of a fast client alone with its rate beside a slow client (the main result of the talk).
    Mixed(MixedArgs),
}

#[derive(Args)]
pub(crate) struct PerfArgs {
    /// Server to measure.
    #[arg(long, default_value = "127.0.0.1:25000", value_name = "ADDR:PORT", value_parser = address)]
    pub(crate) connect: SocketAddr,
    /// Duration of the measurement, in seconds.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Fail if no reply at all arrives for this long; "off" for never.
    #[arg(long, default_value = "10s", value_name = "SPAN", value_parser = span)]
    pub(crate) timeout: Span,
    /// Send no newline after a number, and wait for the reply before the next number, as the talk's clients do.
    #[arg(long)]
    pub(crate) bare: bool,
    /// Print one JSON document: for each client, requests, times by quantiles in ns, and the requests in ten windows of the
    /// time; for each attempt, the share of CPU time that others took.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the times and rates as a picture, an SVG.
    #[cfg(feature = "plot")]
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) noise: NoiseArgs,
}

#[derive(Args)]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    pub(crate) perf: PerfArgs,
    /// The n of each request.
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_N)))]
    pub(crate) n: u32,
    /// Number of simultaneous connections.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
}

#[derive(Args)]
pub(crate) struct ThroughputArgs {
    #[command(flatten)]
    pub(crate) perf: PerfArgs,
    /// The n of each request.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_N)))]
    pub(crate) n: u32,
    /// Number of simultaneous connections.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
    /// Number of outstanding requests on each connection.
    #[arg(long, default_value_t = 1, value_name = "N", conflicts_with = "bare", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) pipeline: u32,
}

#[derive(Args)]
pub(crate) struct MixedArgs {
    #[command(flatten)]
    pub(crate) perf: PerfArgs,
    /// The n of the slow client's requests.
    #[arg(long, default_value_t = 35, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_N)))]
    pub(crate) slow_n: u32,
    /// Print a single line for programs, separated by tabs: the fast client's requests/s alone and beside the slow
    /// client, its p99 in µs alone and beside the slow client, and the slow client's requests/s.
    #[arg(long, conflicts_with = "json")]
    pub(crate) brief: bool,
}
