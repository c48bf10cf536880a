//! `sinbin-wasi compile`.

use std::error::Error as AnyError;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use sinbin_cli::output;
use sinbin_cli::stream::OUT;
use sinbin_wasi::{Error, compiler, engine};

use crate::cli::{ApartArgs, CompileArgs};
use crate::output::write;

pub(crate) fn run(args: &CompileArgs) -> Result<ExitCode, Box<dyn AnyError>> {
    let engine = engine()?;
    let path = args.output.clone().unwrap_or_else(|| args.guest.with_extension("cwasm"));
    if is_same(&path, &args.guest) {
        let path = path.display();
        return Err(format!("cannot compile {path} to itself; give a .wasm file, or another --output").into());
    }
    let compiled = args.compiling.loader(&engine)?.compile(&args.guest)?;
    if path.as_os_str() == "-" {
        OUT.write_all(&compiled).map_err(|error| format!("cannot write to stdout: {error}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    write(&path, &compiled, args.output.is_some())
        .map_err(|error| Error::Write { path: path.clone(), error })?;
    if is_stdout(&path) {
        return Ok(ExitCode::SUCCESS);
    }
    output::line_or_end(format_args!("{}: {} bytes", path.display(), compiled.len()));
    output::line_or_end(format_args!("to run it: sinbin-wasi run --allow-precompiled {}", path.display()));
    Ok(ExitCode::SUCCESS)
}

/// Compiles for another process of this program, within limits.
pub(crate) fn apart(args: &ApartArgs) -> Result<ExitCode, Box<dyn AnyError>> {
    Ok(compiler::work(&engine()?, args.max_memory))
}

/// Returns true if both paths refer to the same file.
fn is_same(path: &Path, other: &Path) -> bool {
    path == other
        || fs::canonicalize(path).is_ok_and(|path| fs::canonicalize(other).is_ok_and(|other| path == other))
}

/// Returns true if the path refers to stdout, such as `/dev/stdout`. Nothing else must be written to stdout then.
#[cfg(unix)]
fn is_stdout(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let out = rustix::fs::fstat(rustix::stdio::stdout());
    fs::metadata(path)
        .is_ok_and(|found| out.is_ok_and(|out| (found.dev(), found.ino()) == (out.st_dev, out.st_ino)))
}

#[cfg(not(unix))]
fn is_stdout(_: &Path) -> bool {
    false
}
