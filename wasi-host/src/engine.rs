//! The wasmtime engine: its configuration, and the interruption of guests.

use wasmtime::{Config, Engine};

use crate::error::Error;

/// Creates an engine for guests that are called only by the host's own loop and its workers.
///
/// # Errors
///
/// Returns [`Error::Engine`] if wasmtime does not support this machine.
pub fn engine() -> Result<Engine, Error> {
    let mut config = Config::new();
    // A turn is a plain call. With the component model's concurrency enabled, each call takes more than twice as long.
    config.concurrency_support(false);
    // Epochs interrupt a guest that does not return. Fuel would cost three times as much.
    config.epoch_interruption(true);
    // Keeps the memory of a guest that has trapped, so that the text of its panic can be read.
    config.coredump_on_trap(true);
    Engine::new(&config).map_err(Error::Engine)
}
