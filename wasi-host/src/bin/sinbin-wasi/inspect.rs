//! `sinbin-wasi inspect`.

use std::error::Error;
use std::process::ExitCode;

use sinbin::command::output;
use sinbin_wasi::{Artefact, engine};

use crate::cli::InspectArgs;

pub(crate) fn run(args: &InspectArgs) -> Result<ExitCode, Box<dyn Error>> {
    let engine = engine()?;
    let artefact = Artefact::load(&args.guest, &engine, None)?;
    artefact.check(&args.guest)?;
    let kind = match artefact {
        Artefact::Driven(_) => "a service: the host drives it",
        Artefact::Portable(_) => "a command of WASI 0.2: it drives itself",
    };
    output::line_or_end(format_args!("{}: {kind}", args.guest.display()));
    for (what, names) in [("imports", artefact.imports()), ("exports", artefact.exports())] {
        let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        output::line_or_end(format_args!("{what}: {names}"));
    }
    Ok(ExitCode::SUCCESS)
}
