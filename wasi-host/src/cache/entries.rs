//! Entries: code, with proof that it was put there by its user.
#![allow(unsafe_code)]

use std::io::{self, ErrorKind};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use wasmtime::Engine;

use crate::cache::private::{Directory, random};
use crate::cache::{Cache, name};
use crate::precompiled::Code;

/// The file of the key.
const KEY: &str = "key";

/// The bytes of a key, and of an authentication code.
const LEN: usize = 32;

impl Cache {
    /// The compiled form of these bytes, if it is there and this cache has put it there.
    pub(crate) fn get(&self, engine: &Engine, wasm: &[u8]) -> Option<Code> {
        let name = name(engine, wasm);
        self.read(&name).unwrap_or_else(|error| {
            if error.kind() != ErrorKind::NotFound {
                let directory = self.directory.display();
                tracing::warn!(%directory, entry = name, "a cached guest is not used: {error}; compiling anew");
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
        // SAFETY: `put` wrote these bytes under this name: nobody else knows the key.
        Ok(Some(unsafe { Code::trust(bytes) }))
    }

    /// Keeps a compiled form. A cache that can't be written to costs time alone.
    pub(crate) fn put(&self, engine: &Engine, wasm: &[u8], code: &Code) {
        if let Err(error) = self.write(&name(engine, wasm), code) {
            let directory = self.directory.display();
            tracing::warn!(%directory, "what is compiled is not kept: {error}");
        }
    }

    fn write(&self, name: &str, code: &Code) -> io::Result<()> {
        let directory = Directory::make(&self.directory)?;
        let sum = authenticator(&key(&directory)?, name)?.chain_update(code.bytes()).finalize();
        directory.replace(name, &[&sum.into_bytes(), code.bytes()].concat())
    }
}

/// The user's key, which is made where there is none.
fn key(directory: &Directory) -> io::Result<Vec<u8>> {
    match directory.read(KEY) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        found => return found,
    }
    match directory.create(KEY, &random::<LEN>()?) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        created => created?,
    }
    directory.read(KEY)
}

/// Begins the authentication code of an entry.
fn authenticator(key: &[u8], name: &str) -> io::Result<Hmac<Sha256>> {
    if key.len() != LEN {
        let what = format!("the file `{KEY}` holds no key; remove it to have a new one made");
        return Err(io::Error::new(ErrorKind::InvalidData, what));
    }
    let code = Hmac::<Sha256>::new_from_slice(key).map_err(|error| io::Error::other(error.to_string()))?;
    // Names have no zero in them, so the name and what follows can't be cut otherwise.
    Ok(code.chain_update(name).chain_update([0]))
}

fn not_ours() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it is not what was written there")
}
