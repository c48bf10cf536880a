//! `sinbin-wasi run`.

use std::error::Error as AnyError;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sinbin::driven::DEFAULT_MAX_JOBS;
use sinbin_cli::signals::{interrupted, outlive_full_files, shut_on_signal, stop_on_signal};
use sinbin_cli::stream::OUT;
use sinbin_cli::{descriptors, log, output};
use sinbin_wasi::portable::{self, Network, Outcome, Output};
use sinbin_wasi::{Artefact, Error, GuestFactory, GuestServer, GuestSettings, GuestSummary, Ticker, engine};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cli::{RunArgs, refuse};

/// The exit code when connections had to be cut.
const CUT: u8 = 3;

/// How often the clock ticks for the sake of jobs and of commands of WASI, whose turns have no limit.
const PACE: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Box<dyn AnyError>> {
    let engine = engine()?;
    match args.load.load(&args.guest, &engine)? {
        Artefact::Driven(component) => drive(&component, args),
        Artefact::Portable(component) => run_command(&component, args),
    }
}

fn settings(args: &RunArgs) -> GuestSettings {
    let mut settings = args.serving.guest_settings(args.arguments.clone());
    settings.max_restarts = usize::from(args.max_restarts);
    settings.max_commands = args.max_commands as usize;
    settings.max_ignored = args.max_ignored as usize;
    settings
}

/// Makes the blueprint of a guest's instances, and starts the clock that interrupts them.
pub(crate) fn factory(
    component: &Component,
    path: &Path,
    max_memory: u16,
    limit: Option<Duration>,
) -> Result<GuestFactory, Error> {
    let factory = GuestFactory::new(component, usize::from(max_memory) << 20, limit)
        .map_err(|error| Error::World { path: path.to_owned(), what: format!("{error:#}") })?;
    tick(factory.engine(), limit.unwrap_or(PACE))?;
    Ok(factory)
}

/// Starts the clock that interrupts guests.
fn tick(engine: &Engine, limit: Duration) -> Result<Ticker, Error> {
    Ticker::start(engine, limit).map_err(|error| Error::TurnLimit { limit, error })
}

/// An error, and the option to look at where a guest has too little memory to start.
pub(crate) fn with_memory(error: Box<dyn AnyError>, max_memory: u16) -> Box<dyn AnyError> {
    // The words of wasmtime about a memory that may not grow.
    if !error.to_string().contains("growing memory") {
        return error;
    }
    format!("{error}\n  --max-memory is {max_memory} MiB, and it needs more").into()
}

/// An error, and the option to look at where a command of WASI has more resources than it may.
fn with_resources(error: Box<dyn AnyError>, max_resources: usize) -> Box<dyn AnyError> {
    let said = error.to_string();
    // The words of wasmtime about a table that is full, and of a list that is too long.
    let signs = ["resource table has no free keys", "fuel allocated for hostcalls", "resources at once"];
    if !signs.iter().any(|sign| said.contains(sign)) {
        return error;
    }
    format!("{said}\n  --max-resources is {max_resources}, and it wants more at once").into()
}

/// Returns a function that tells when the time to drain is over, of which the loop itself does not hear while it waits
/// for a guest.
fn is_over(drain_timeout: Option<Duration>) -> impl Fn() -> bool + Send + Sync + 'static {
    let heard = OnceLock::new();
    move || {
        interrupted() && drain_timeout.is_some_and(|limit| heard.get_or_init(Instant::now).elapsed() >= limit)
    }
}

/// Drives a service.
fn drive(component: &Component, args: &RunArgs) -> Result<ExitCode, Box<dyn AnyError>> {
    descriptors::make_room_for(args.serving.max_connections);
    let factory = factory(component, &args.guest, args.max_memory, args.turn_limit.0)?;
    let factory = factory.until(is_over(args.serving.drain_timeout.0));
    let server = GuestServer::new(factory, &settings(args));
    let mut server = server.map_err(|error| with_memory(error.into(), args.max_memory))?;
    // Signals come first: a supervisor that has connected takes the server to be up, and may stop it at once.
    stop_on_signal(server.stopper())?;
    let bound =
        args.serving.listen.iter().map(|address| server.listen(*address)).collect::<Result<Vec<_>, _>>()?;
    // A server that can't listen leaves no file.
    if let Some(path) = &args.serving.record {
        outlive_full_files()?;
        let name = args.guest.file_stem().unwrap_or_default().to_string_lossy();
        let recorded = server.record(path, &name, args.serving.record_limit());
        recorded.map_err(|error| format!("cannot record in {}: {error}", path.display()))?;
    }
    for (asked, bound) in args.serving.listen.iter().zip(bound) {
        output::listening(*asked, bound)?;
    }
    Ok(end(&server.run()?))
}

/// The stdout of a command of WASI: that of this process.
struct Stdout;

impl Output for Stdout {
    fn has_room(&self) -> io::Result<bool> {
        OUT.has_room()
    }

    fn push(&self, bytes: &[u8]) -> io::Result<()> {
        OUT.push(bytes)
    }

    fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }
}

/// Runs a command of WASI.
fn run_command(component: &Component, args: &RunArgs) -> Result<ExitCode, Box<dyn AnyError>> {
    if args.serving.record.is_some() {
        refuse("--record takes a guest that the host drives; a command of WASI drives itself");
    }
    if args.serving.dual_stack {
        refuse(
            "--dual-stack takes a guest that the host drives; a command of WASI has IPv6 alone by an IPv6 address, and takes \
             another --listen for IPv4",
        );
    }
    descriptors::make_room_for(args.serving.max_connections);
    let (stopper, stopping) = portable::stopper().map_err(portable::Error::Runtime)?;
    shut_on_signal(stopper.socket())?;
    let settings = portable::Settings {
        program: args.guest.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        arguments: command_arguments(args),
        network: Network { listen: args.serving.listen.clone(), connect: args.allow_connect.clone() },
        max_memory: usize::from(args.max_memory) << 20,
        max_resources: max_resources(args),
        stopping,
        stdout: Arc::new(Stdout),
        stderr: log::guest_says,
        drain_timeout: args.serving.drain_timeout.0,
    };
    tick(component.engine(), PACE)?;
    let ended = portable::run(component.engine(), component, settings);
    match ended.map_err(|error| with_resources(error.into(), max_resources(args)))? {
        Outcome::Exited(code) => Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)),
        Outcome::Cut => {
            tracing::warn!("the time to drain was over, and the guest still ran");
            Ok(ExitCode::from(CUT))
        }
    }
}

/// Returns how many resources a command of WASI may hold: of a connection these are a socket, two streams, and a pollable of
/// each for all that waits for them.
fn max_resources(args: &RunArgs) -> usize {
    let derived = args.serving.max_connections.saturating_mul(16).saturating_add(1024);
    args.max_resources.unwrap_or(derived) as usize
}

/// Returns the arguments of a command of WASI. The host's options come first, in the words of our portable guests, unless the
/// command is to have its own alone.
fn command_arguments(args: &RunArgs) -> Vec<String> {
    if args.raw_arguments {
        return args.arguments.clone();
    }
    let mut arguments: Vec<_> =
        args.serving.listen.iter().map(|address| format!("--listen={address}")).collect();
    arguments.push(format!("--max-connections={}", args.serving.max_connections));
    arguments.push(format!("--max-buffered={}", args.serving.max_buffered));
    // A guest that is older than the option has no use for it.
    if args.serving.max_jobs != DEFAULT_MAX_JOBS {
        arguments.push(format!("--max-jobs={}", args.serving.max_jobs));
    }
    if let Some(limit) = args.serving.max_per_peer {
        arguments.push(format!("--max-per-peer={limit}"));
    }
    arguments.push(format!("--slice={}", args.serving.slice));
    arguments.push(format!("--drain-timeout={}", args.serving.drain_timeout));
    arguments.push("--until-stdin-ends".to_owned());
    arguments.extend(args.arguments.iter().cloned());
    arguments
}

fn end(summary: &GuestSummary) -> ExitCode {
    output::say(format_args!("{summary}{}", output::Lost));
    if summary.served.cut > 0 { ExitCode::from(CUT) } else { ExitCode::SUCCESS }
}
