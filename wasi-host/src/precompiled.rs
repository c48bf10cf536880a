//! Compiled components: machine code.
//!
//! Code runs with all rights of the process that loads it, so [`Code`] is either made here, or somebody has promised
//! that it was. A file of it (`.cwasm`) ends with a checksum that finds damage; anyone can compute one, so it proves
//! nothing about who made the file.
#![allow(unsafe_code)]

use wasmtime::component::Component;
use wasmtime::{Engine, Precompiled};

use crate::threads;

/// The end of a file of ours, behind the checksum.
const MAGIC: &[u8; 8] = b"sinbincw";

/// The trailer: a checksum of 4 bytes, and the magic number.
const TRAILER: usize = 4 + MAGIC.len();

/// Machine code of a component that wasmtime has made and nobody has changed.
pub(crate) struct Code(Vec<u8>);

impl Code {
    /// Compiles a component, in this process.
    ///
    /// # Errors
    ///
    /// When it is no valid component.
    pub(crate) fn compile(engine: &Engine, wasm: &[u8]) -> Result<Self, wasmtime::Error> {
        threads::compile(|| engine.precompile_component(wasm)).map(Self)
    }

    /// Takes bytes for code.
    ///
    /// # Safety
    ///
    /// The bytes are those of a [`Code`], of this or another process.
    pub(crate) unsafe fn trust(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Takes the bytes of a file for code, if it is one of ours and not damaged.
    ///
    /// # Errors
    ///
    /// The reason why it is refused.
    ///
    /// # Safety
    ///
    /// [`to_file`](Self::to_file) made the file, or the file is damaged by accident: nobody forged it.
    pub(crate) unsafe fn of_file(mut bytes: Vec<u8>) -> Result<Self, &'static str> {
        if Engine::detect_precompiled(&bytes) != Some(Precompiled::Component) {
            return Err("a compiled core module, where a component is needed");
        }
        let (code, trailer) = bytes.split_at(bytes.len().saturating_sub(TRAILER));
        let checksum =
            trailer.strip_suffix(MAGIC).ok_or("a compiled component that is cut short, or not of ours")?;
        if checksum != crc32fast::hash(code).to_le_bytes() {
            return Err("a compiled component that is damaged");
        }
        bytes.truncate(bytes.len() - TRAILER);
        Ok(Self(bytes))
    }

    /// The bytes of a `.cwasm`.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        let checksum = crc32fast::hash(&self.0);
        [&self.0[..], &checksum.to_le_bytes(), MAGIC].concat()
    }

    /// The code.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Makes a component of it.
    ///
    /// # Errors
    ///
    /// When it is code for another engine: of another version, or for another machine.
    pub(crate) fn load(&self, engine: &Engine) -> Result<Component, &'static str> {
        // SAFETY: wasmtime made these bytes, and they are as they were then: whoever made this value has seen to that.
        let component = unsafe { Component::deserialize(engine, &self.0) };
        component.map_err(|_| "a compiled component of another version, or for another machine")
    }
}

/// Whether bytes look like machine code of wasmtime's.
pub(crate) fn is_precompiled(bytes: &[u8]) -> bool {
    Engine::detect_precompiled(bytes).is_some()
}
