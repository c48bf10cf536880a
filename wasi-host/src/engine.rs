//! The engine: how guests are compiled, and what may interrupt them.

use wasmtime::{Config, Engine};

use crate::error::Error;

/// An engine for guests that nothing but the host's own loop and its workers call.
///
/// # Errors
///
/// When wasmtime does not support this machine.
pub fn engine() -> Result<Engine, Error> {
    let mut config = Config::new();
    // A turn is a plain call. With the component model's own concurrency each call costs more than twice as much.
    config.concurrency_support(false);
    // What interrupts a guest that loops. Fuel would cost three times as much.
    config.epoch_interruption(true);
    Engine::new(&config).map_err(Error::Engine)
}
