//! How guests are loaded, by `run` and `replay`.

use std::error::Error as AnyError;
use std::path::{Path, PathBuf};
use std::{env, io};

use clap::Args;
use sinbin_cli::span::{Span, span};
use sinbin_wasi::{Artefact, Cache, Compiler, Error, Loader};
use wasmtime::Engine;

/// How large a guest may be.
#[derive(Args)]
struct SizeArgs {
    /// The largest file of a guest, in MiB; a larger one is refused.
    #[arg(long, default_value_t = 64, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=65536))]
    max_guest_size: u32,
}

/// Limits of a guest before it runs.
#[derive(Args)]
pub(crate) struct CompilingArgs {
    #[command(flatten)]
    size: SizeArgs,
    /// How long a guest may be checked and compiled, in a process of its own; one that takes longer is refused. "off" does
    /// so in this process, with no limit of time or memory: for guests that you trust.
    #[arg(long, default_value = "10s", value_name = "SPAN", env = "SINBIN_WASI_COMPILE_TIMEOUT", value_parser = span)]
    compile_timeout: Span,
    /// Memory to check and compile a guest with, in MiB; one that needs more is refused.
    #[arg(long, default_value_t = 512, value_name = "MIB", value_parser = clap::value_parser!(u32).range(32..=65536))]
    compile_memory: u32,
}

impl SizeArgs {
    /// A loader of such guests.
    fn loader<'e>(&self, engine: &'e Engine) -> Loader<'e> {
        Loader::new(engine).max_size(u64::from(self.max_guest_size) << 20)
    }
}

impl CompilingArgs {
    /// A loader of such guests.
    pub(crate) fn loader<'e>(&self, engine: &'e Engine) -> Result<Loader<'e>, String> {
        let loader = self.size.loader(engine);
        match self.compile_timeout.0 {
            None => Ok(loader),
            Some(limit) => {
                let compiler = apart().map_err(|error| format!("cannot find this program: {error}"))?;
                Ok(loader.compiler(compiler.limits(limit, u64::from(self.compile_memory) << 20)))
            }
        }
    }
}

/// Compiles by this program itself: see `Command::CompileApart`.
#[allow(unsafe_code, reason = "the program is this one")]
fn apart() -> io::Result<Compiler> {
    // Another program may have its name by now, but never this one.
    let own = Path::new("/proc/self/exe");
    let program = if own.exists() { own.to_owned() } else { env::current_exe()? };
    // SAFETY: this program does nothing but what is asked for there when it is called so.
    Ok(unsafe { Compiler::apart(program, vec!["compile-apart".into()]) })
}

/// How a guest is loaded.
#[derive(Args)]
pub(crate) struct LoadArgs {
    /// Also run a guest that is compiled already, a .cwasm. It is machine code: it runs outside of the sandbox, with
    /// all your rights. Say so only of files that you have made yourself with `sinbin-wasi compile`, where nobody else
    /// can have changed them.
    #[arg(long)]
    allow_precompiled: bool,
    /// Where compiled guests are kept (default: below your cache directory); "off" to keep none. A directory or file in
    /// it that others may write to is not used.
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
    // SAFETY: the user says by --allow-precompiled that the file is one of their own; the option's help says what that
    // means.
    unsafe { loader.load_precompiled(guest) }
}
