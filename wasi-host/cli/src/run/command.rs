//! The run of a WASI command.

use std::error::Error as AnyError;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use sinbin::Place;
use sinbin::driven::DEFAULT_MAX_JOBS;
use sinbin_cli::log;
use sinbin_cli::signals::{outlive_full_files, shut_on_signal};
use sinbin_cli::size::Size;
use sinbin_cli::stream::{ERR, OUT, Waiting};
use sinbin_wasi::portable::recording::{Header, Recording, Trace, digest};
use sinbin_wasi::portable::{self, Input, Network, Outcome, Output};
use wasmtime::component::Component;

use super::{CUT, FAILURE, Prepared};
use crate::cli::{RunArgs, refuse};
use crate::several::NamedGuest;

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

/// Prepares a WASI command.
pub(super) fn prepare(component: &Component, guest: &NamedGuest) -> Result<Prepared, Box<dyn AnyError>> {
    let args = &guest.args;
    if args.serving.is_encrypted() {
        refuse(
            "--tls-cert requires a guest that the host drives; this guest is a WASI command, which accepts its connections \
             itself: put a proxy that speaks TLS in front of it",
        );
    }
    if !args.connect.allow_listen.is_empty() {
        refuse(
            "--allow-listen requires a guest that the host drives; this guest is a WASI command, which listens by itself on \
             the addresses of --listen",
        );
    }
    if args.serving.dual_stack {
        refuse(
            "--dual-stack requires a guest that the host drives; this guest is a WASI command, whose IPv6 listeners accept only \
             IPv6: give another --listen for IPv4",
        );
    }
    if portable::is_asynchronous(component) && (args.trace || args.serving.record.is_some()) {
        refuse(
            "--record and --trace require a WASI 0.2 command; this guest is one of WASI 0.3, whose calls can't be recorded yet",
        );
    }
    let (stopper, stopping) = portable::stopper().map_err(portable::Error::Runtime)?;
    shut_on_signal(stopper.socket())?;
    let settings = portable::Settings {
        program: guest.name.clone(),
        arguments: command_arguments(args),
        network: network(args),
        max_memory: args.max_memory.bytes(),
        max_resources: max_resources(args),
        max_connections: args.serving.max_connections as usize,
        max_listeners: args.max_listeners as usize,
        max_buffered: args.serving.max_buffered.bytes(),
        directories: args.dir.clone(),
        environment: environment(args),
        stdin: if guest.has_stdin { Some(stdin()?) } else { None },
        stopping,
        stdout: Arc::new(Stdout),
        stderr: log::guest_says,
        drain_timeout: args.serving.drain_timeout.0,
        observe: !args.serving.no_observe,
    };
    let recording = recording(guest)?;
    let trace = args.trace.then_some(print_call as Trace);
    let (component, max_resources) = (component.clone(), max_resources(args));
    let run = move || {
        let engine = component.engine();
        let ended = if recording.is_some() || trace.is_some() {
            portable::run_recorded(engine, &component, settings, recording, trace)
        } else {
            portable::run(engine, &component, settings)
        };
        ended.map(exit_code).map_err(|error| with_resources(error.into(), max_resources))
    };
    Ok(Prepared { places: Vec::new(), run: Box::new(run) })
}

/// Returns the exit code of a command.
fn exit_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Exited(code) => u8::try_from(code).unwrap_or(FAILURE),
        Outcome::Drained => 0,
        Outcome::Cut => {
            tracing::warn!("the guest did not end within the drain timeout, and was ended");
            CUT
        }
    }
}

/// Starts the recording of a WASI command, if one is requested.
fn recording(guest: &NamedGuest) -> Result<Option<Recording>, Box<dyn AnyError>> {
    let args = &guest.args;
    let Some(path) = &args.serving.record else { return Ok(None) };
    outlive_full_files()?;
    let component =
        digest(&args.guest).map_err(|error| format!("cannot read {}: {error}", args.guest.display()))?;
    let header = Header {
        program: guest.name.clone(),
        component,
        max_memory: args.max_memory.bytes() as u64,
        max_resources: max_resources(args) as u64,
    };
    let recording = Recording::create(path, &header, args.serving.record_limit());
    Ok(Some(recording.map_err(|error| format!("cannot record in {}: {error}", path.display()))?))
}

/// Prints a call of a WASI command to stderr.
fn print_call(call: &str) {
    let line = match log::guest_name() {
        Some(guest) => format!("{guest}: {call}\n"),
        None => format!("{call}\n"),
    };
    // Without a reader of stderr, the command still runs.
    Waiting(&ERR).write_all(line.as_bytes()).ok();
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
