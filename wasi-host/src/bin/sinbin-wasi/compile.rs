//! `sinbin-wasi compile`.

use std::error::Error as AnyError;
use std::fs;
use std::process::ExitCode;

use sinbin::command::output;
use sinbin_wasi::{Artefact, Error, cache, engine};

use crate::cli::CompileArgs;

pub(crate) fn run(args: &CompileArgs) -> Result<ExitCode, Box<dyn AnyError>> {
    let engine = engine()?;
    // What can't be run need not be compiled.
    Artefact::load(&args.guest, &engine, None)?;
    let path = args.output.clone().unwrap_or_else(|| args.guest.with_extension("cwasm"));
    if path == args.guest {
        return Err(format!("{} is compiled already", path.display()).into());
    }
    let wasm = fs::read(&args.guest).map_err(|error| Error::Read { path: args.guest.clone(), error })?;
    let compiled =
        cache::freeze(&engine, &wasm).map_err(|error| Error::Compile { path: args.guest.clone(), error })?;
    cache::write(&path, &compiled).map_err(|error| Error::Write { path: path.clone(), error })?;
    output::line(format_args!("{}: {} bytes", path.display(), compiled.len()));
    Ok(ExitCode::SUCCESS)
}
