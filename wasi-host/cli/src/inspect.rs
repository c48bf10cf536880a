//! `sinbin-wasi inspect`.

use std::error::Error;
use std::process::ExitCode;

use sinbin_cli::output;
use sinbin_wasi::{Kind, engine};

use crate::cli::InspectArgs;

pub(crate) fn run(args: &InspectArgs) -> Result<ExitCode, Box<dyn Error>> {
    let engine = engine()?;
    let world = args.compiling.loader(&engine)?.inspect(&args.guest)?;
    let kind = match world.kind() {
        Kind::Driven if world.is_program() => "a program, driven by the host",
        Kind::Driven => "a service, driven by the host",
        Kind::Portable if world.is_asynchronous() => "a WASI 0.3 command, with its own loop",
        Kind::Portable => "a WASI 0.2 command, with its own loop",
    };
    output::line_or_end(format_args!("{}: {kind}", args.guest.display()));
    for (what, names) in [("imports", world.imports()), ("exports", world.exports())] {
        let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        output::line_or_end(format_args!("{what}: {names}"));
    }
    Ok(ExitCode::SUCCESS)
}
