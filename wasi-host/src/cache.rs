//! The cache of compiled components.
//!
//! Its entries are machine code that will be run, so it is the user's alone: see `private.rs` for what is asked of
//! the directory and its files. Each entry also begins with a code that only who knows the user's key can compute, over
//! the entry's name and its content: an entry that is damaged, was copied there, or was renamed is never run. Who can
//! read the key as this user can do anything else as this user as well.

#[cfg(unix)]
mod entries;
#[cfg(unix)]
mod private;

use std::env;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use wasmtime::Engine;

#[cfg(not(unix))]
use crate::precompiled::Code;

/// A directory of compiled components.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// The cache in `directory`, which is made when it is needed.
    #[must_use]
    pub fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The user's own, by the XDG rules: `$XDG_CACHE_HOME/sinbin-wasi`, or `~/.cache/sinbin-wasi`. None where there is
    /// no home.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        Some(Self::at(base.join("sinbin-wasi")))
    }
}

/// Where nobody can tell whose a file is, nothing is kept.
#[cfg(not(unix))]
impl Cache {
    pub(crate) fn get(&self, _: &Engine, _: &[u8]) -> Option<Code> {
        None
    }

    pub(crate) fn put(&self, _: &Engine, _: &[u8], _: &Code) {}
}

/// Names an entry by what is compiled, and by what with.
fn name(engine: &Engine, wasm: &[u8]) -> String {
    let mut name = String::new();
    for byte in Sha256::digest(wasm) {
        // A string takes everything.
        write!(name, "{byte:02x}").ok();
    }
    let mut with = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut with);
    format!("{name}-{:016x}.cwasm", with.finish())
}
