//! The entries of the cache: machine code, with an authentication code that proves that the user stored it.
#![allow(unsafe_code)]

use std::io::{self, ErrorKind};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use wasmtime::Engine;

use crate::cache::private::{Directory, random};
use crate::cache::{Cache, name};
use crate::precompiled::Code;

/// The name of the key's file.
const KEY: &str = "key";

/// The length of a key and of an authentication code, in bytes.
const LEN: usize = 32;

impl Cache {
    /// Returns the compiled form of a component, if this cache has stored it.
    pub(crate) fn get(&self, engine: &Engine, wasm: &[u8]) -> Option<Code> {
        let name = name(engine, wasm);
        self.read(&name).unwrap_or_else(|error| {
            if error.kind() != ErrorKind::NotFound {
                let directory = self.directory.display();
                tracing::warn!(%directory, entry = name, "cannot use a cached guest: {error}; compiling it again");
            }
            None
        })
    }

    fn read(&self, name: &str) -> io::Result<Option<Code>> {
        let directory = Directory::open(&self.directory)?;
        let mut entry = directory.read(name)?;
        let code = authenticator(&directory.read(KEY)?, name)?;
        if entry.len() < LEN {
            return Err(not_ours());
        }
        let bytes = entry.split_off(LEN);
        code.chain_update(&bytes).verify_slice(&entry).map_err(|_| not_ours())?;
        // SAFETY: `put` wrote these bytes under this name: their authentication code requires the user's key.
        Ok(Some(unsafe { Code::trust(bytes) }))
    }

    /// Stores the compiled form of a component. If that fails, the component is compiled again the next time.
    pub(crate) fn put(&self, engine: &Engine, wasm: &[u8], code: &Code) {
        if let Err(error) = self.write(&name(engine, wasm), code) {
            let directory = self.directory.display();
            tracing::warn!(%directory, "cannot store the compiled guest in the cache: {error}");
        }
    }

    fn write(&self, name: &str, code: &Code) -> io::Result<()> {
        let directory = Directory::make(&self.directory)?;
        let sum = authenticator(&key(&directory)?, name)?.chain_update(code.bytes()).finalize();
        directory.replace(name, &[&sum.into_bytes(), code.bytes()].concat())
    }
}

/// Returns the user's key. Creates the key if it does not exist.
fn key(directory: &Directory) -> io::Result<Vec<u8>> {
    match directory.read(KEY) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        found => return found,
    }
    match directory.create(KEY, &random::<LEN>()?) {
        // Another process has just created the key.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        created => created?,
    }
    directory.read(KEY)
}

/// Starts the computation of an entry's authentication code.
fn authenticator(key: &[u8], name: &str) -> io::Result<Hmac<Sha256>> {
    if key.len() != LEN {
        let what = format!("the file `{KEY}` does not contain a key; remove it to create a new key");
        return Err(io::Error::new(ErrorKind::InvalidData, what));
    }
    let code = Hmac::<Sha256>::new_from_slice(key).map_err(|error| io::Error::other(error.to_string()))?;
    // A name contains no zero byte, so the boundary between the name and the code is unambiguous.
    Ok(code.chain_update(name).chain_update([0]))
}

fn not_ours() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the entry is not what this cache has written")
}
