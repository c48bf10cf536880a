//! `sinbin serve`.

use std::error::Error;
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use sinbin::echo::{Echo, Upper};
use sinbin::task::{self, Conn};
use sinbin::{NativeService, Server, Settings, Stopper, Summary, bind};

use crate::cli::{Serve, ServeArgs, WrittenAs};
use crate::services::{arguments, fib_arguments};
use crate::{record, services};
use sinbin::command::output;
use sinbin::command::signals::stop_on_signal;

/// The exit code when connections had to be cut.
pub(crate) const CUT: u8 = 3;

pub(crate) fn run(command: &Serve) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Serve::Fib(args) if args.serve.record.is_some() => {
            record::run("fib", fib_arguments(&args.rules, &args.serve.life), services::fib, &args.serve)
        }
        Serve::Echo(args) if args.record.is_some() => {
            record::run("echo", arguments(&args.life), services::echo, args)
        }
        Serve::Upper(args) if args.record.is_some() => {
            record::run("upper", arguments(&args.life), services::upper, args)
        }
        Serve::Fib(args) => {
            let fib = services::fib_of(&args.rules, &args.serve.life);
            match args.serve.written_as {
                WrittenAs::Machine => serve(fib, &args.serve),
                WrittenAs::AsyncFn => {
                    serve_async(async |conn| sinbin::services::fib(conn, &fib).await, &args.serve)
                }
            }
        }
        Serve::Echo(args) => {
            let idle_timeout = args.life.idle_timeout.0;
            match args.written_as {
                WrittenAs::Machine => serve(Echo { idle_timeout }, args),
                WrittenAs::AsyncFn => {
                    serve_async(async |conn| sinbin::services::echo(conn, idle_timeout).await, args)
                }
            }
        }
        Serve::Upper(args) => {
            let idle_timeout = args.life.idle_timeout.0;
            match args.written_as {
                WrittenAs::Machine => serve(Upper { idle_timeout }, args),
                WrittenAs::AsyncFn => {
                    serve_async(async |conn| sinbin::services::upper(conn, idle_timeout).await, args)
                }
            }
        }
    }
}

fn settings(args: &ServeArgs) -> Settings {
    let mut settings = Settings::default();
    settings.max_connections = args.max_connections as usize;
    settings.max_buffered = usize::from(args.max_buffered) << 20;
    settings.slice = args.slice;
    settings.busy_poll = Duration::from_micros(args.busy_poll);
    settings.drain_timeout = args.drain_timeout.0.unwrap_or(Duration::MAX);
    if let Some(workers) = args.workers {
        settings.workers = usize::from(workers);
    }
    settings
}

fn serve<S: NativeService>(service: S, args: &ServeArgs) -> Result<ExitCode, Box<dyn Error>> {
    sinbin::command::descriptors::make_room_for(args.max_connections);
    let mut server = Server::new(service, &settings(args))?;
    // Before anybody is told that there is a server to stop.
    let stopper = server.stopper();
    stop_on_signal(move || stopper.stop())?;
    for address in &args.listen {
        let bound = server.listen(*address)?;
        output::line(format_args!("listening on {bound}"));
    }
    Ok(end(&server.run()?))
}

fn serve_async(
    service: impl AsyncFn(Conn<'_>) -> Result<(), task::Error>,
    args: &ServeArgs,
) -> Result<ExitCode, Box<dyn Error>> {
    sinbin::command::descriptors::make_room_for(args.max_connections);
    let listeners = args.listen.iter().map(|address| bind(*address)).collect::<Result<Vec<_>, _>>()?;
    let bound = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let mut signals = Ok(());
    let started = |stopper: Stopper| {
        signals = stop_on_signal(move || stopper.stop());
        for address in bound {
            output::line(format_args!("listening on {address}"));
        }
    };
    let summary = settings(args).serve(listeners, started, service)?;
    signals?;
    Ok(end(&summary))
}

fn end(summary: &Summary) -> ExitCode {
    output::line(summary);
    if summary.cut == 0 { ExitCode::SUCCESS } else { ExitCode::from(CUT) }
}
