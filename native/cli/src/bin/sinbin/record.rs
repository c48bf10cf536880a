//! `sinbin serve --record`: a service that the driver runs as a guest, so that its input can be recorded.

use std::error::Error;
use std::process::ExitCode;

use sinbin::guests::{GuestServer, InProcess, InProcessHost};
use sinbin::job::WireJob;
use sinbin::{Service, Task};
use sinbin_cli::output;
use sinbin_cli::serving::Bound;
use sinbin_cli::signals::{outlive_full_files, stop_on_signal};
use sinbin_cli::size::Size;

use crate::cli::{ServeArgs, WrittenAs, refuse};
use crate::observe::beside::Beside;
use crate::serve::CUT;

/// The maximum of `--max-buffered` that a driven loop can count with 32 bits.
const MAX_BUFFERED: Size = Size::mebibytes(4095);

/// Serves the service that `make` creates from `arguments`, and records it under `name`.
pub(crate) fn run<S>(
    name: &str,
    arguments: Vec<String>,
    make: impl Fn(&[String]) -> Result<S, String>,
    args: &ServeArgs,
) -> Result<ExitCode, Box<dyn Error>>
where
    S: Service<Conn: Task<InProcessHost<S>>, Job: WireJob + 'static>,
{
    check(args);
    let observing = &args.observing;
    let args = &args.serving;
    let mut settings = args.guest_settings(arguments);
    name.clone_into(&mut settings.name);
    let Some(path) = &args.record else { return Err("--record has no file".into()) };
    sinbin_cli::descriptors::make_room_for(args.max_connections);
    let mut server = GuestServer::new(InProcess::new(make), &settings)?;
    // Signal handlers are set before listening: a supervisor that can connect may stop the server at once.
    stop_on_signal(server.stopper())?;
    let mut places = Vec::new();
    for Bound { asked, bound, listener } in args.listeners()? {
        server.listen_on(listener)?;
        places.push((asked, bound));
    }
    // The recording is created after listening, so that a server that can't listen leaves no file.
    outlive_full_files()?;
    server
        .record(path, name, args.record_limit())
        .map_err(|error| format!("cannot record in {}: {error}", path.display()))?;
    for (asked, bound) in places {
        output::listening(&asked, &bound)?;
    }
    let _beside = Beside::start(observing)?;
    let summary = server.run()?;
    output::say(format_args!("{summary}{}", output::Lost));
    Ok(if summary.served.cut == 0 { ExitCode::SUCCESS } else { ExitCode::from(CUT) })
}

/// Ends the process if the arguments can't be combined with `--record`.
fn check(args: &ServeArgs) {
    if matches!(args.written_as, WrittenAs::AsyncFn) {
        refuse(
            "--record requires a service that is written as a state machine; remove --written-as, or unset \
             SINBIN_WRITTEN_AS",
        );
    }
    if args.serving.max_buffered > MAX_BUFFERED {
        refuse(&format!("--record requires a --max-buffered of at most {MAX_BUFFERED}"));
    }
}
