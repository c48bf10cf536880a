//! `sinbin serve --record`: a service as the driver's guest, which is told what can be told again.

use std::error::Error;
use std::process::ExitCode;

use sinbin::driven::DrivenHost;
use sinbin::guests::{GuestServer, InProcess};
use sinbin::{Service, Task, WireJob};
use sinbin_cli::output;
use sinbin_cli::signals::{outlive_full_files, stop_on_signal};

use crate::cli::{ServeArgs, WrittenAs, refuse};
use crate::serve::CUT;

/// What a driven loop can count of bytes that wait, in MiB.
const MAX_BUFFERED: u16 = 4095;

/// Serves what `make` makes of `arguments`, and records it under this name.
pub(crate) fn run<S>(
    name: &str,
    arguments: Vec<String>,
    make: impl Fn(&[String]) -> Result<S, String>,
    args: &ServeArgs,
) -> Result<ExitCode, Box<dyn Error>>
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob + 'static>,
{
    check(args);
    let args = &args.serving;
    let Some(path) = &args.record else { return Err("no file to record in".into()) };
    sinbin_cli::descriptors::make_room_for(args.max_connections);
    let mut server = GuestServer::new(InProcess::new(make), &args.guest_settings(arguments))?;
    // Signals come first: a supervisor that has connected takes the server to be up, and may stop it at once.
    stop_on_signal(server.stopper())?;
    let bound = args.listen.iter().map(|address| server.listen(*address)).collect::<Result<Vec<_>, _>>()?;
    // A server that can't listen leaves no file.
    outlive_full_files()?;
    server
        .record(path, name, args.record_limit())
        .map_err(|error| format!("cannot record in {}: {error}", path.display()))?;
    for (asked, bound) in args.listen.iter().zip(bound) {
        output::listening(*asked, bound)?;
    }
    let summary = server.run()?;
    output::say(format_args!("{summary}{}", output::Lost));
    Ok(if summary.served.cut == 0 { ExitCode::SUCCESS } else { ExitCode::from(CUT) })
}

/// Refuses what can't be recorded.
fn check(args: &ServeArgs) {
    if matches!(args.written_as, WrittenAs::AsyncFn) {
        refuse(
            "--record takes a service that is written as a state machine; leave out --written-as, and SINBIN_WRITTEN_AS",
        );
    }
    if args.serving.max_buffered > MAX_BUFFERED {
        refuse(&format!("--record takes a --max-buffered of {MAX_BUFFERED} at the most"));
    }
}
