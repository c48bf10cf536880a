//! `sinbin-wasi run`.

use std::error::Error as AnyError;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sinbin::Place;
use sinbin::driven::DEFAULT_MAX_JOBS;
use sinbin_cli::serving::Bound;
use sinbin_cli::signals::{interrupted, outlive_full_files, shut_on_signal, stop_on_signal};
use sinbin_cli::size::Size;
use sinbin_cli::span::Span;
use sinbin_cli::stream::{ERR, OUT, Waiting};
use sinbin_cli::{descriptors, log, output};
use sinbin_wasi::portable::recording::{Header, Recording, Trace, digest};
use sinbin_wasi::portable::{self, Input, Network, Outcome, Output};
use sinbin_wasi::{
    Artefact, Error, GuestFactory, GuestServer, GuestSettings, GuestSummary, Names, ProgramEnd, Ticker,
    engine, is_program,
};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cli::{RunArgs, refuse};

/// The exit code if the drain timeout expired and connections were closed.
const CUT: u8 = 3;

/// The default CPU time of a turn of a guest that serves clients, which wait meanwhile, and of a program.
const TURN: Duration = Duration::from_secs(1);
const PROGRAM_TURN: Duration = Duration::from_secs(30);

/// The time limit that the timer is started with if turns have no limit. Jobs and WASI commands still need its ticks.
pub(crate) const PACE: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Box<dyn AnyError>> {
    let engine = engine()?;
    match args.load.load(&args.guest, &engine)? {
        Artefact::Driven(component) => drive(&component, args),
        Artefact::Portable(component) => run_command(&component, args),
    }
}

fn settings(args: &RunArgs) -> Result<GuestSettings, String> {
    let mut settings = args.serving.guest_settings(args.arguments.clone());
    settings.max_restarts = usize::from(args.max_restarts);
    settings.max_commands = args.max_commands as usize;
    settings.max_ignored = args.max_ignored as usize;
    settings.name = args.guest.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // The log of this process has a limit of its own.
    settings.max_log_lines = None;
    args.connect.apply(settings)
}

/// Creates the factory of a guest's instances, and starts the timer that interrupts them.
pub(crate) fn factory(
    component: &Component,
    path: &Path,
    max_memory: Size,
    limit: Option<Span>,
) -> Result<GuestFactory, Error> {
    let default = if is_program(component) { PROGRAM_TURN } else { TURN };
    let limit = limit.map_or(Some(default), |limit| limit.0);
    let factory = GuestFactory::new(component, max_memory.bytes(), limit)
        .map_err(|error| Error::World { path: path.to_owned(), what: format!("{error:#}") })?;
    tick(factory.engine(), limit.unwrap_or(PACE))?;
    Ok(factory.with_names(Names::beside(path)))
}

/// Starts the timer that interrupts guests.
pub(crate) fn tick(engine: &Engine, limit: Duration) -> Result<Ticker, Error> {
    Ticker::start(engine, limit).map_err(|error| Error::TurnLimit { limit, error })
}

/// Adds advice about --max-memory to the error if the guest has too little memory to start.
pub(crate) fn with_memory(error: Box<dyn AnyError>, max_memory: Size) -> Box<dyn AnyError> {
    // Part of wasmtime's message if a memory exceeds its limit.
    if !error.to_string().contains("growing memory") {
        return error;
    }
    format!("{error}\n  the guest needs more than --max-memory, which is {max_memory}; give a larger one")
        .into()
}

/// Adds advice about --max-resources to the error if a WASI command needs more resources than it may hold.
fn with_resources(error: Box<dyn AnyError>, max_resources: usize) -> Box<dyn AnyError> {
    let said = error.to_string();
    // Parts of wasmtime's messages if a table is full or a list is too long, and of this host's messages if the guest
    // holds too many resources, or polls too many at once.
    let signs = [
        "resource table has no free keys",
        "handle limit exceeded",
        "fuel allocated for hostcalls",
        "resources, but is limited to",
        "resources at once",
    ];
    if !signs.iter().any(|sign| said.contains(sign)) {
        return error;
    }
    format!(
        "{said}\n  the guest needs more than --max-resources, which is {max_resources}; give a larger one"
    )
    .into()
}

/// Returns a function that returns true once the drain timeout has expired. The ticks of the timer call it during a
/// turn, since the loop itself can't check the timeout while a guest runs.
fn is_over(drain_timeout: Option<Duration>) -> impl Fn() -> bool + Send + Sync + 'static {
    let heard = OnceLock::new();
    move || {
        interrupted() && drain_timeout.is_some_and(|limit| heard.get_or_init(Instant::now).elapsed() >= limit)
    }
}

/// Serves a guest that the host drives.
fn drive(component: &Component, args: &RunArgs) -> Result<ExitCode, Box<dyn AnyError>> {
    if args.trace {
        refuse(
            "--trace requires a WASI command; this guest is one that the host drives, and makes no calls: record it, and \
             print its turns by `sinbin-wasi replay --trace`",
        );
    }
    descriptors::make_room_for(args.serving.max_connections);
    let factory = factory(component, &args.guest, args.max_memory, args.turn_limit)?;
    let factory = factory.until(is_over(args.serving.drain_timeout.0));
    if factory.is_program() {
        return run_program(factory, args);
    }
    let server = GuestServer::new(factory, &settings(args)?);
    let mut server = server.map_err(|error| with_memory(error.into(), args.max_memory))?;
    // Signal handlers are set before listening: a supervisor that can connect may stop the server at once.
    stop_on_signal(server.stopper())?;
    let mut places = Vec::new();
    for Bound { asked, bound, listener } in args.serving.listeners()? {
        server.listen_on(listener)?;
        places.push((asked, bound));
    }
    // The recording is created after listening, so that a server that can't listen leaves no file.
    record(&mut server, args)?;
    for (asked, bound) in places {
        output::listening(&asked, &bound)?;
    }
    Ok(end(&server.run()?))
}

/// Records the run in the file of --record, if that is given.
fn record(server: &mut GuestServer, args: &RunArgs) -> Result<(), Box<dyn AnyError>> {
    let Some(path) = &args.serving.record else { return Ok(()) };
    outlive_full_files()?;
    let name = args.guest.file_stem().unwrap_or_default().to_string_lossy();
    let recorded = server.record(path, &name, args.serving.record_limit());
    Ok(recorded.map_err(|error| format!("cannot record in {}: {error}", path.display()))?)
}

/// Runs a guest that the host drives, and that is a program. Its output is that of this process, and so is its exit code.
fn run_program(factory: GuestFactory, args: &RunArgs) -> Result<ExitCode, Box<dyn AnyError>> {
    if args.serving.has_listeners() {
        refuse(
            "--listen requires a guest that serves clients; this guest is a program, which works by itself",
        );
    }
    if args.serving.is_encrypted() {
        refuse(
            "--tls-cert requires a guest that serves clients; this guest is a program, which works by itself",
        );
    }
    let server = GuestServer::new(factory, &settings(args)?);
    let mut server = server.map_err(|error| with_memory(error.into(), args.max_memory))?;
    stop_on_signal(server.stopper())?;
    record(&mut server, args)?;
    server.print_to(Waiting(&OUT));
    let summary = server.run()?;
    tracing::debug!("{summary}");
    Ok(match summary.program {
        Some(ProgramEnd::Exited(code)) => ExitCode::from(code),
        // A program whose reader needs no more is complete.
        Some(ProgramEnd::Unread) => ExitCode::SUCCESS,
        Some(ProgramEnd::Cut) => {
            tracing::warn!("the guest did not end within the drain timeout, and was ended");
            ExitCode::from(CUT)
        }
        _ => ExitCode::FAILURE,
    })
}

/// The stdout of a WASI command, which is the stdout of this process.
struct Stdout;

impl Output for Stdout {
    fn has_room(&self) -> io::Result<bool> {
        OUT.has_room()
    }

    fn push(&self, bytes: &[u8]) -> io::Result<()> {
        OUT.push(bytes)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(rustix::stdio::stdout())
    }

    fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }
}

/// Returns the stdin of this process.
fn stdin() -> io::Result<Input> {
    Ok(Input::new(io::stdin().as_fd().try_clone_to_owned()?))
}

/// Returns the environment variables that the guest may see.
fn environment(args: &RunArgs) -> Vec<(String, String)> {
    let variable = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.clone(), std::env::var(text).ok()?)),
    };
    args.env.iter().filter_map(variable).collect()
}

/// Runs a WASI command.
fn run_command(component: &Component, args: &RunArgs) -> Result<ExitCode, Box<dyn AnyError>> {
    if args.serving.is_encrypted() {
        refuse(
            "--tls-cert requires a guest that the host drives; this guest is a WASI command, which accepts its connections \
             itself: put a proxy that speaks TLS in front of it",
        );
    }
    if args.serving.dual_stack {
        refuse(
            "--dual-stack requires a guest that the host drives; this guest is a WASI command, whose IPv6 listeners accept only \
             IPv6: give another --listen for IPv4",
        );
    }
    descriptors::make_room_for(args.serving.max_connections);
    let (stopper, stopping) = portable::stopper().map_err(portable::Error::Runtime)?;
    shut_on_signal(stopper.socket())?;
    let settings = portable::Settings {
        program: args.guest.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        arguments: command_arguments(args),
        network: network(args),
        max_memory: args.max_memory.bytes(),
        max_resources: max_resources(args),
        max_connections: args.serving.max_connections as usize,
        max_listeners: args.max_listeners as usize,
        max_buffered: args.serving.max_buffered.bytes(),
        directories: args.dir.clone(),
        environment: environment(args),
        stdin: if args.raw_arguments { Some(stdin()?) } else { None },
        stopping,
        stdout: Arc::new(Stdout),
        stderr: log::guest_says,
        drain_timeout: args.serving.drain_timeout.0,
        observe: !args.serving.no_observe,
    };
    tick(component.engine(), PACE)?;
    let recording = recording(args)?;
    let ended = if recording.is_some() || args.trace {
        let trace = args.trace.then_some(print_call as Trace);
        portable::run_recorded(component.engine(), component, settings, recording, trace)
    } else {
        portable::run(component.engine(), component, settings)
    };
    match ended.map_err(|error| with_resources(error.into(), max_resources(args)))? {
        Outcome::Exited(code) => Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)),
        Outcome::Drained => Ok(ExitCode::SUCCESS),
        Outcome::Cut => {
            tracing::warn!("the guest did not end within the drain timeout, and was ended");
            Ok(ExitCode::from(CUT))
        }
    }
}

/// Starts the recording of a WASI command, if one is requested.
fn recording(args: &RunArgs) -> Result<Option<Recording>, Box<dyn AnyError>> {
    let Some(path) = &args.serving.record else { return Ok(None) };
    outlive_full_files()?;
    let component =
        digest(&args.guest).map_err(|error| format!("cannot read {}: {error}", args.guest.display()))?;
    let header = Header {
        program: args.guest.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        component,
        max_memory: args.max_memory.bytes() as u64,
        max_resources: max_resources(args) as u64,
    };
    let recording = Recording::create(path, &header, args.serving.record_limit());
    Ok(Some(recording.map_err(|error| format!("cannot record in {}: {error}", path.display()))?))
}

/// Prints a call of a WASI command to stderr.
fn print_call(call: &str) {
    // Without a reader of stderr, the command still runs.
    writeln!(Waiting(&ERR), "{call}").ok();
}

/// Returns the addresses that a WASI command may use.
fn network(args: &RunArgs) -> Network {
    let mut network = Network::default();
    network.listen = addresses(args);
    network.connect = args.connect.peers().unwrap_or_else(|what| refuse(&what));
    network.udp = args.allow_udp;
    network
}

/// Returns the addresses that a WASI command may listen on. Ends the process if there are other places.
fn addresses(args: &RunArgs) -> Vec<SocketAddr> {
    let address = |place: &Place| match place {
        Place::Address(address) => *address,
        Place::Path(_) => refuse(
            "--listen=unix:PATH requires a guest that the host drives; this guest is a WASI command, which has no Unix sockets",
        ),
    };
    args.serving.listen.iter().map(address).collect()
}

/// Returns the maximum number of resources of a WASI command. A connection needs a socket, two streams, and the
/// pollables of all that wait for these.
fn max_resources(args: &RunArgs) -> usize {
    let derived = args.serving.max_connections.saturating_mul(16).saturating_add(1024);
    args.max_resources.unwrap_or(derived) as usize
}

/// Returns the arguments of a WASI command. Unless --raw-arguments is given, options for the shipped portable guests
/// come first.
fn command_arguments(args: &RunArgs) -> Vec<String> {
    if args.raw_arguments {
        return args.arguments.clone();
    }
    let mut arguments: Vec<_> =
        args.serving.listen.iter().map(|address| format!("--listen={address}")).collect();
    arguments.push(format!("--max-connections={}", args.serving.max_connections));
    let buffered = args.serving.max_buffered;
    // Older guests accept only a number, in MiB.
    let is_whole = buffered == Size(buffered.in_mebibytes() << 20);
    let buffered = if is_whole { buffered.in_mebibytes().to_string() } else { buffered.to_string() };
    arguments.push(format!("--max-buffered={buffered}"));
    // The default is not passed, since older guests do not know the option.
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
