//! The cache of compiled components.
//!
//! The entries are machine code that this process runs, so only the user may have access: see `private.rs` for the
//! requirements on the directory and its files. Each entry begins with an authentication code over its name and its
//! content, computed with the user's key. An entry that is damaged, copied from elsewhere or renamed is never run. An
//! attacker who can read the user's key already has all rights of the user.

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
    /// Creates a cache in `directory`, which is created when it is first written to.
    #[must_use]
    pub fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Returns the user's cache according to the XDG base directory specification: `$XDG_CACHE_HOME/sinbin-wasi`, or
    /// `~/.cache/sinbin-wasi`. Returns `None` if neither variable is an absolute path.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        Some(Self::at(base.join("sinbin-wasi")))
    }
}

/// A cache that stores nothing, for systems on which the owner of a file can't be checked.
#[cfg(not(unix))]
impl Cache {
    pub(crate) fn get(&self, _: &Engine, _: &[u8]) -> Option<Code> {
        None
    }

    pub(crate) fn put(&self, _: &Engine, _: &[u8], _: &Code) {}
}

/// Returns the name of an entry: a hash of the component, and a hash of the engine's configuration.
fn name(engine: &Engine, wasm: &[u8]) -> String {
    let mut name = String::new();
    for byte in Sha256::digest(wasm) {
        // Writing to a string never fails.
        write!(name, "{byte:02x}").ok();
    }
    let mut with = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut with);
    format!("{name}-{:016x}.cwasm", with.finish())
}
