//! How guests are loaded, by `run` and `replay`.

use std::path::{Path, PathBuf};

use clap::Args;
use sinbin_wasi::{Artefact, Cache, Error, Loader};
use wasmtime::Engine;

/// How large a guest may be.
#[derive(Args)]
pub(crate) struct SizeArgs {
    /// The largest file of a guest, in MiB; a larger one is refused.
    #[arg(long, default_value_t = 64, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=65536))]
    max_guest_size: u32,
}

impl SizeArgs {
    /// A loader of such guests.
    pub(crate) fn loader<'e>(&self, engine: &'e Engine) -> Loader<'e> {
        Loader::new(engine).max_size(u64::from(self.max_guest_size) << 20)
    }
}

/// How a guest is loaded.
#[derive(Args)]
pub(crate) struct LoadArgs {
    /// Also run a guest that is compiled already, a .cwasm. It is machine code: it runs outside of the sandbox, with all your
    /// rights. Say so only of files that you have made yourself with `sinbin-wasi compile`, where nobody else can have
    /// changed them.
    #[arg(long)]
    allow_precompiled: bool,
    /// Where compiled guests are kept (default: below your cache directory); "off" to keep none. A directory or file in
    /// it that others may write to is not used.
    #[arg(long, value_name = "DIR", env = "SINBIN_WASI_CACHE")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    size: SizeArgs,
}

impl LoadArgs {
    /// Loads the guest.
    pub(crate) fn load(&self, guest: &Path, engine: &Engine) -> Result<Artefact, Error> {
        let loader = self.size.loader(engine).cache(self.cache());
        if self.allow_precompiled { trusting(&loader, guest) } else { loader.load(guest) }
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
    // SAFETY: the user says by --allow-precompiled that the file is one of their own; the option's help says what that means.
    unsafe { loader.load_precompiled(guest) }
}
