//! Compiled components, in files: `.cwasm`.
//!
//! Such a file is machine code, and loading it trusts it. A trailer with a checksum finds files that are damaged or cut
//! short; it does not find forgeries. Whoever can write to the cache's directory can run what he likes as you, so it is
//! made for you alone, below your own cache directory.
#![allow(unsafe_code)]

use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::threads;

/// What a file of ours ends with, behind the checksum.
const MAGIC: &[u8; 8] = b"sinbincw";

/// The trailer: a checksum of 4 bytes, and the magic number.
const TRAILER: usize = 4 + MAGIC.len();

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

    /// The compiled form of these bytes, if there is one that is whole.
    pub(crate) fn get(&self, engine: &Engine, wasm: &[u8]) -> Option<Component> {
        let path = self.path(engine, wasm);
        if path.exists() && !is_private(&self.directory) {
            let directory = self.directory.display();
            tracing::warn!(%directory, "others can write to the cache, and it is not used; see chmod");
            return None;
        }
        let bytes = fs::read(&path).ok()?;
        thaw(engine, &bytes)
            .inspect_err(
                |what| tracing::warn!(file = %path.display(), "a cached file is {what}; compiling anew"),
            )
            .ok()
    }

    /// Keeps a compiled form. A cache that can't be written to costs time alone.
    pub(crate) fn put(&self, engine: &Engine, wasm: &[u8], frozen: &[u8]) {
        let path = self.path(engine, wasm);
        if let Err(error) = make_private(&self.directory).and_then(|()| write(&path, frozen)) {
            tracing::warn!(directory = %self.directory.display(), %error, "what is compiled cannot be kept");
        }
    }

    /// By what is compiled, and by what with.
    fn path(&self, engine: &Engine, wasm: &[u8]) -> PathBuf {
        let mut name = String::new();
        for byte in &Sha256::digest(wasm)[..16] {
            name.push_str(&format!("{byte:02x}"));
        }
        let mut with = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut with);
        self.directory.join(format!("{name}-{:016x}.cwasm", with.finish()))
    }
}

/// Compiles a component, to the bytes of a `.cwasm`.
///
/// # Errors
///
/// When it is no valid component.
pub fn freeze(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, wasmtime::Error> {
    let mut frozen = threads::compile(|| engine.precompile_component(wasm))?;
    let checksum = crc32fast::hash(&frozen);
    frozen.extend_from_slice(&checksum.to_le_bytes());
    frozen.extend_from_slice(MAGIC);
    Ok(frozen)
}

/// Makes a component of the bytes of a `.cwasm` that [`freeze`] made.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn thaw(engine: &Engine, frozen: &[u8]) -> Result<Component, &'static str> {
    let (code, trailer) = frozen.split_at(frozen.len().saturating_sub(TRAILER));
    let checksum =
        trailer.strip_suffix(MAGIC).ok_or("a compiled component that is cut short, or not of ours")?;
    if checksum != crc32fast::hash(code).to_le_bytes() {
        return Err("a compiled component that is damaged");
    }
    // SAFETY: wasmtime made these bytes, in `freeze`, and they are as they were then: the checksum says so. That nobody
    // forged them is what the user says by giving us the file, or by keeping his cache to himself.
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|_| "a compiled component of another version, or for another machine")
}

/// Writes a file so that nobody ever sees a part of it. What is there and no regular file, such as a device, a FIFO or a
/// symbolic link, is never replaced, but written to.
///
/// # Errors
///
/// What the system says.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return fs::write(path, bytes),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".part-{}", process::id()));
    let part = path.with_file_name(name);
    // A file of this name that is there already is not ours, or is a link to anywhere.
    let written = File::create_new(&part).and_then(|mut file| file.write_all(bytes));
    if written.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
        return written;
    }
    written.and_then(|()| fs::rename(&part, path)).inspect_err(|_| {
        fs::remove_file(&part).ok();
    })
}

#[cfg(unix)]
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Whether it is ours, and nobody else writes to it.
#[cfg(unix)]
fn is_private(directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let own = rustix::process::geteuid().as_raw();
    fs::metadata(directory).is_ok_and(|found| found.uid() == own && found.mode() & 0o022 == 0)
}

#[cfg(not(unix))]
fn is_private(_: &Path) -> bool {
    true
}

#[cfg(not(unix))]
fn make_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}
