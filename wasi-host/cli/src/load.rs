//! The loading of guests, and its options.

use std::error::Error as AnyError;
use std::path::{Path, PathBuf};
use std::{env, io};

use clap::Args;
use sinbin_cli::size::{Size, size_within};
use sinbin_cli::span::{Span, span};
use sinbin_wasi::{Artefact, Cache, Compiler, Error, Loader};
use wasmtime::Engine;

/// The limit on the size of a guest.
#[derive(Args)]
struct SizeArgs {
    /// Maximum size of the guest's file, such as 64M or 1G; a number without a unit is in MiB. A larger file is refused.
    #[arg(long, default_value = "64MiB", value_name = "SIZE", value_parser = size_within(Size::mebibytes(1)..=Size::mebibytes(65536)))]
    max_guest_size: Size,
}

/// The limits on the loading and the compilation of a guest.
#[derive(Args)]
pub(crate) struct CompilingArgs {
    #[command(flatten)]
    size: SizeArgs,
    /// Maximum time to validate and compile the guest, in a separate process; a guest that takes longer is refused.
    /// "off" compiles in this process, without a limit of time or memory: use it only for guests that you trust.
    #[arg(long, default_value = "10s", value_name = "SPAN", env = "SINBIN_WASI_COMPILE_TIMEOUT", value_parser = span)]
    compile_timeout: Span,
    /// Maximum memory to validate and compile the guest with, such as 512M or 1G; a number without a unit is in MiB. A
    /// guest that needs more is refused.
    #[arg(long, default_value = "512MiB", value_name = "SIZE", value_parser = size_within(Size::mebibytes(32)..=Size::mebibytes(65536)))]
    compile_memory: Size,
}

impl SizeArgs {
    /// Creates a loader with these limits.
    fn loader<'e>(&self, engine: &'e Engine) -> Loader<'e> {
        Loader::new(engine).max_size(self.max_guest_size.0)
    }
}

impl CompilingArgs {
    /// Creates a loader with these limits.
    pub(crate) fn loader<'e>(&self, engine: &'e Engine) -> Result<Loader<'e>, String> {
        let loader = self.size.loader(engine);
        match self.compile_timeout.0 {
            None => Ok(loader),
            Some(limit) => {
                let compiler = apart().map_err(|error| {
                    format!("cannot find this program's file, to start the compiler: {error}")
                })?;
                Ok(loader.compiler(compiler.limits(limit, self.compile_memory.0)))
            }
        }
    }
}

/// Creates a compiler that starts this program again: see `Command::CompileApart`.
#[allow(unsafe_code, reason = "the program is this one")]
fn apart() -> io::Result<Compiler> {
    // This path always refers to the running program, even if another file has its name now.
    let own = Path::new("/proc/self/exe");
    let program = if own.exists() { own.to_owned() } else { env::current_exe()? };
    // SAFETY: called with this argument, this program calls `compiler::work` with the limit that follows, with an
    // engine made by the same function, and writes nothing else to its stdout.
    Ok(unsafe { Compiler::apart(program, vec!["compile-apart".into()]) })
}

/// The options for loading a guest.
#[derive(Args)]
pub(crate) struct LoadArgs {
    /// Also accept a compiled guest, a .cwasm file. It is machine code: it runs outside the sandbox, with all your
    /// rights. Use this only for files that you made with `sinbin-wasi compile`, and that no other user can have
    /// changed.
    #[arg(long)]
    allow_precompiled: bool,
    /// Directory for the cache of compiled guests (default: below your cache directory); "off" for no cache. The
    /// directory, or a file in it, is not used if other users can write to it.
    #[arg(long, value_name = "DIR", env = "SINBIN_WASI_CACHE")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    compiling: CompilingArgs,
}

impl LoadArgs {
    /// Loads the guest.
    pub(crate) fn load(&self, guest: &Path, engine: &Engine) -> Result<Artefact, Box<dyn AnyError>> {
        let loader = self.compiling.loader(engine)?.cache(self.cache());
        Ok(if self.allow_precompiled { trusting(&loader, guest) } else { loader.load(guest) }?)
    }

    fn cache(&self) -> Option<Cache> {
        match &self.cache {
            None => Cache::of_user(),
            Some(path) if path.as_os_str() == "off" => None,
            Some(path) => Some(Cache::at(path.clone())),
        }
    }
}

#[allow(unsafe_code, reason = "the user takes the risk, and is told of it")]
fn trusting(loader: &Loader<'_>, guest: &Path) -> Result<Artefact, Error> {
    // SAFETY: with --allow-precompiled, the user guarantees what the option's help states: `sinbin-wasi compile` made
    // the file, and no other user can have changed it.
    unsafe { loader.load_precompiled(guest) }
}
