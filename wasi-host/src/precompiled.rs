//! Compiled components: machine code.
//!
//! Machine code runs with all rights of the process that loads it. A [`Code`] is therefore either compiled here, or
//! created by an unsafe function whose caller guarantees that it was. A file of machine code (`.cwasm`) ends with a
//! checksum that detects damage. Anyone can compute the checksum, so it does not prove the origin of the file.
#![allow(unsafe_code)]

use wasmtime::component::Component;
use wasmtime::{Engine, Precompiled};

use crate::threads;

/// The last bytes of a `.cwasm` file, after the checksum.
const MAGIC: &[u8; 8] = b"sinbincw";

/// The length of the trailer: a checksum of 4 bytes, and the magic number.
const TRAILER: usize = 4 + MAGIC.len();

/// Machine code of a component, as wasmtime has produced it.
pub(crate) struct Code(Vec<u8>);

impl Code {
    /// Compiles a component in this process.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are not a valid component.
    pub(crate) fn compile(engine: &Engine, wasm: &[u8]) -> Result<Self, wasmtime::Error> {
        threads::compile(|| engine.precompile_component(wasm)).map(Self)
    }

    /// Creates code from bytes, without a check.
    ///
    /// # Safety
    ///
    /// The bytes must be those of a [`Code`] of this or another process.
    pub(crate) unsafe fn trust(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Creates code from the bytes of a `.cwasm` file, after checking its trailer and its checksum.
    ///
    /// # Errors
    ///
    /// Returns a description of the file if it is not a valid `.cwasm` file.
    ///
    /// # Safety
    ///
    /// The bytes must come from [`to_file`](Self::to_file). Accidental damage is detected, but deliberate changes are
    /// not.
    pub(crate) unsafe fn of_file(mut bytes: Vec<u8>) -> Result<Self, &'static str> {
        if Engine::detect_precompiled(&bytes) != Some(Precompiled::Component) {
            return Err("a compiled core module, but a component is needed");
        }
        let (code, trailer) = bytes.split_at(bytes.len().saturating_sub(TRAILER));
        let checksum = trailer
            .strip_suffix(MAGIC)
            .ok_or("a compiled component that is truncated or was not made by sinbin-wasi")?;
        if checksum != crc32fast::hash(code).to_le_bytes() {
            return Err("a compiled component that is damaged");
        }
        bytes.truncate(bytes.len() - TRAILER);
        Ok(Self(bytes))
    }

    /// Returns the bytes of a `.cwasm` file.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        let checksum = crc32fast::hash(&self.0);
        [&self.0[..], &checksum.to_le_bytes(), MAGIC].concat()
    }

    /// Returns the code.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Loads the code as a component.
    ///
    /// # Errors
    ///
    /// Fails if the code is made by another version of wasmtime, for another configuration, or for another machine.
    pub(crate) fn load(&self, engine: &Engine) -> Result<Component, &'static str> {
        // SAFETY: wasmtime produced these bytes, and they are unchanged: every way to create a `Code` requires that.
        let component = unsafe { Component::deserialize(engine, &self.0) };
        component.map_err(|_| "a compiled component of another version, or for another machine")
    }
}

/// Returns true if the bytes look like machine code that wasmtime has produced.
pub(crate) fn is_precompiled(bytes: &[u8]) -> bool {
    Engine::detect_precompiled(bytes).is_some()
}
