//! The run of a guest that the host drives.

use std::error::Error as AnyError;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sinbin_cli::serving::Bound;
use sinbin_cli::signals::{interrupted, outlive_full_files, stop_on_signal};
use sinbin_cli::stream::{OUT, Waiting};
use sinbin_cli::{log, output};
use sinbin_wasi::{GuestFactory, GuestServer, GuestSettings, ProgramEnd};
use wasmtime::component::Component;

use super::{CUT, FAILURE, Prepared, factory, with_memory};
use crate::cli::refuse;
use crate::several::NamedGuest;

/// Prepares a guest that the host drives.
pub(super) fn prepare(component: &Component, guest: &NamedGuest) -> Result<Prepared, Box<dyn AnyError>> {
    let args = &guest.args;
    if args.trace {
        refuse(
            "--trace requires a WASI command; this guest is one that the host drives, and makes no calls: record it, and \
             print its turns by `sinbin-wasi replay --trace`",
        );
    }
    let factory = factory(component, &args.guest, args.max_memory, args.turn_limit)?;
    let factory = factory.until(is_over(args.serving.drain_timeout.0));
    if factory.is_program() {
        return program(factory, guest);
    }
    let server = GuestServer::new(factory, &settings(guest)?);
    let mut server = server.map_err(|error| with_memory(error.into(), args.max_memory))?;
    // Signal handlers are set before listening: a supervisor that can connect may stop the server at once.
    stop_on_signal(server.stopper())?;
    let mut places = Vec::new();
    for Bound { asked, bound, listener } in args.serving.listeners()? {
        server.listen_on(listener)?;
        places.push((asked, bound));
    }
    // The recording is created after listening, so that a server that can't listen leaves no file.
    record(&mut server, guest)?;
    let name = log::guest_name();
    let run = move || {
        let summary = server.run()?;
        let name = name.map_or_else(String::new, |name| format!("{name}: "));
        output::say(format_args!("{name}{summary}{}", output::Lost));
        Ok(if summary.served.cut > 0 { CUT } else { 0 })
    };
    Ok(Prepared { places, run: Box::new(run) })
}

/// Returns the settings of a guest that the host drives.
fn settings(guest: &NamedGuest) -> Result<GuestSettings, String> {
    let args = &guest.args;
    let mut settings = args.serving.guest_settings(args.arguments.clone());
    settings.max_restarts = usize::from(args.max_restarts);
    settings.max_commands = args.max_commands as usize;
    settings.max_ignored = args.max_ignored as usize;
    settings.name.clone_from(&guest.name);
    // The log of this process has a limit of its own.
    settings.max_log_lines = None;
    args.connect.apply(settings)
}

/// Returns a function that returns true once the drain timeout has expired. The ticks of the timer call it during a
/// turn, since the loop itself can't check the timeout while a guest runs.
fn is_over(drain_timeout: Option<Duration>) -> impl Fn() -> bool + Send + Sync + 'static {
    let heard = OnceLock::new();
    move || {
        interrupted() && drain_timeout.is_some_and(|limit| heard.get_or_init(Instant::now).elapsed() >= limit)
    }
}

/// Records the run in the file of --record, if that is given.
fn record(server: &mut GuestServer, guest: &NamedGuest) -> Result<(), Box<dyn AnyError>> {
    let args = &guest.args;
    let Some(path) = &args.serving.record else { return Ok(()) };
    outlive_full_files()?;
    let recorded = server.record(path, &guest.name, args.serving.record_limit());
    Ok(recorded.map_err(|error| format!("cannot record in {}: {error}", path.display()))?)
}

/// Prepares a guest that the host drives, and that is a program. Its output is that of this process, and so is its exit
/// code.
fn program(factory: GuestFactory, guest: &NamedGuest) -> Result<Prepared, Box<dyn AnyError>> {
    let args = &guest.args;
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
    let server = GuestServer::new(factory, &settings(guest)?);
    let mut server = server.map_err(|error| with_memory(error.into(), args.max_memory))?;
    stop_on_signal(server.stopper())?;
    record(&mut server, guest)?;
    server.print_to(Waiting(&OUT));
    let run = move || {
        let summary = server.run()?;
        tracing::debug!("{summary}");
        Ok(exit_code(summary.program))
    };
    Ok(Prepared { places: Vec::new(), run: Box::new(run) })
}

/// Returns the exit code of a program.
fn exit_code(end: Option<ProgramEnd>) -> u8 {
    match end {
        Some(ProgramEnd::Exited(code)) => code,
        // A program whose reader needs no more is complete.
        Some(ProgramEnd::Unread) => 0,
        Some(ProgramEnd::Cut) => {
            tracing::warn!("the guest did not end within the drain timeout, and was ended");
            CUT
        }
        _ => FAILURE,
    }
}
