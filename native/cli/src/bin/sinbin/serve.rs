//! `sinbin serve`.

use std::error::Error;
use std::process::ExitCode;

use sinbin::task::{self, Conn};
use sinbin::{NativeService, Place, Server, Settings, Stopper, Summary};

use crate::cli::{Serve, ServeArgs, WrittenAs};
use crate::observe::beside::Beside;
use crate::services::{arguments, fib_arguments};
use crate::{record, services};
use sinbin_cli::output;
use sinbin_cli::serving::Bound;
use sinbin_cli::signals::{keep_signals, stop_on_signal};

/// The exit code if the drain timeout expired and connections were closed.
pub(crate) const CUT: u8 = 3;

pub(crate) fn run(command: &Serve) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Serve::Fib(args) if args.serve.serving.record.is_some() => {
            record::run("fib", fib_arguments(&args.rules, &args.serve), services::fib, &args.serve)
        }
        Serve::Echo(args) if args.serving.record.is_some() => {
            record::run("echo", arguments(args), services::echo, args)
        }
        Serve::Upper(args) if args.serving.record.is_some() => {
            record::run("upper", arguments(args), services::upper, args)
        }
        Serve::Fib(args) => {
            let fib = services::fib_of(&args.rules, &args.serve.life, args.serve.serving.reply_timeout);
            match args.serve.written_as {
                WrittenAs::Machine => serve(fib, &args.serve),
                WrittenAs::AsyncFn => {
                    serve_async(async |conn| sinbin::services::fib(conn, &fib).await, &args.serve)
                }
            }
        }
        Serve::Echo(args) => {
            let echo = services::echo_of(&args.life, args.serving.reply_timeout);
            match args.written_as {
                WrittenAs::Machine => serve(echo, args),
                WrittenAs::AsyncFn => {
                    serve_async(async |conn| sinbin::services::echo(conn, &echo).await, args)
                }
            }
        }
        Serve::Upper(args) => {
            let upper = services::upper_of(&args.life, args.serving.reply_timeout);
            match args.written_as {
                WrittenAs::Machine => serve(upper, args),
                WrittenAs::AsyncFn => {
                    serve_async(async |conn| sinbin::services::upper(conn, &upper).await, args)
                }
            }
        }
    }
}

fn settings(args: &ServeArgs) -> Settings {
    let mut settings = Settings::default();
    settings.control = args.observing.control;
    let args = &args.serving;
    settings.max_connections = args.max_connections as usize;
    settings.max_buffered = args.max_buffered();
    settings.max_jobs = args.max_jobs as usize;
    settings.max_per_peer = args.max_per_peer;
    settings.dual_stack = args.dual_stack;
    settings.slice = args.slice;
    settings.busy_poll = args.busy_poll();
    settings.drain_timeout = args.drain_timeout();
    settings.observe = !args.no_observe;
    if let Some(workers) = args.workers {
        settings.workers = usize::from(workers);
    }
    settings
}

fn serve<S: NativeService>(service: S, args: &ServeArgs) -> Result<ExitCode, Box<dyn Error>> {
    sinbin_cli::descriptors::make_room_for(args.serving.max_connections);
    let mut server = Server::new(service, &settings(args))?;
    // Signal handlers are set before listening: a supervisor that can connect may stop the server at once.
    stop_on_signal(server.stopper())?;
    for Bound { asked, bound, listener } in args.serving.listeners()? {
        server.listen_on(listener)?;
        output::listening(&asked, &bound)?;
    }
    let _beside = Beside::start(&args.observing)?;
    Ok(end(&server.run()?))
}

fn serve_async(
    service: impl AsyncFn(Conn<'_>) -> Result<(), task::Error>,
    args: &ServeArgs,
) -> Result<ExitCode, Box<dyn Error>> {
    sinbin_cli::descriptors::make_room_for(args.serving.max_connections);
    let settings = settings(args);
    // Signal handlers are set before listening: a supervisor that can connect may stop the server at once.
    keep_signals()?;
    let (listeners, places): (Vec<_>, Vec<_>) = args
        .serving
        .listeners()?
        .into_iter()
        .map(|bound| (bound.listener, (bound.asked, bound.bound)))
        .unzip();
    let mut begun: Result<Option<Beside>, Box<dyn Error>> = Ok(None);
    let started = |stopper: Stopper| {
        begun = begin(&stopper, &places)
            .and_then(|()| Ok(Some(Beside::start(&args.observing)?)))
            .inspect_err(|_| stopper.stop());
    };
    let summary = settings.serve(listeners, started, service)?;
    drop(begun?);
    Ok(end(&summary))
}

/// Sets the signal handlers, and prints the places of a server.
fn begin(stopper: &Stopper, places: &[(Place, Place)]) -> Result<(), Box<dyn Error>> {
    let mut begun = stop_on_signal(stopper.clone()).map_err(Into::into);
    for (asked, bound) in places {
        begun = begun.and_then(|()| output::listening(asked, bound).map_err(Into::into));
    }
    begun
}

fn end(summary: &Summary) -> ExitCode {
    output::say(format_args!("{summary}{}", output::Lost));
    if summary.cut == 0 { ExitCode::SUCCESS } else { ExitCode::from(CUT) }
}
