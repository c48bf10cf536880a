//! `sinbin-wasi compile`.

use std::error::Error as AnyError;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use sinbin::command::output;
use sinbin::command::stream::OUT;
use sinbin_wasi::{Artefact, Error, cache, engine};

use crate::cli::CompileArgs;

pub(crate) fn run(args: &CompileArgs) -> Result<ExitCode, Box<dyn AnyError>> {
    let engine = engine()?;
    // What can't be run need not be compiled.
    Artefact::load(&args.guest, &engine, None)?.check(&args.guest)?;
    let path = args.output.clone().unwrap_or_else(|| args.guest.with_extension("cwasm"));
    if is_same(&path, &args.guest) {
        return Err(format!("{} is compiled already", path.display()).into());
    }
    let wasm = fs::read(&args.guest).map_err(|error| Error::Read { path: args.guest.clone(), error })?;
    let compiled =
        cache::freeze(&engine, &wasm).map_err(|error| Error::Compile { path: args.guest.clone(), error })?;
    if path.as_os_str() == "-" {
        OUT.write_all(&compiled).map_err(|error| format!("cannot write to stdout: {error}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    cache::write(&path, &compiled).map_err(|error| Error::Write { path: path.clone(), error })?;
    output::line_or_end(format_args!("{}: {} bytes", path.display(), compiled.len()));
    Ok(ExitCode::SUCCESS)
}

/// Returns true if both are names of one file.
fn is_same(path: &Path, other: &Path) -> bool {
    path == other
        || fs::canonicalize(path).is_ok_and(|path| fs::canonicalize(other).is_ok_and(|other| path == other))
}
