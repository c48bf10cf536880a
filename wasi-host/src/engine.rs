//! The wasmtime engine: its configuration, and the interruption of guests.

use wasmtime::{Config, Engine};

use crate::error::Error;
use crate::world::World;

/// Creates an engine for guests that are called only by the host's own loop and its workers.
///
/// # Errors
///
/// Returns [`Error::Engine`] if wasmtime does not support this machine.
pub fn engine() -> Result<Engine, Error> {
    // A turn is a plain call. With the component model's concurrency enabled, each call takes more than twice as long.
    Engine::new(config().concurrency_support(false)).map_err(Error::Engine)
}

/// Creates an engine for commands of WASI 0.3, whose calls are asynchronous.
///
/// # Errors
///
/// Fails if wasmtime does not support them on this machine.
pub(crate) fn asynchronous_engine() -> Result<Engine, wasmtime::Error> {
    Engine::new(config().wasm_component_model_async(true))
}

/// Returns the engine for a component: an engine of its own for a command of WASI 0.3, and otherwise `engine`.
///
/// # Errors
///
/// Returns a message if the engine can't be created.
pub(crate) fn engine_for(world: &World, engine: &Engine) -> Result<Engine, String> {
    if !world.is_asynchronous() {
        return Ok(engine.clone());
    }
    asynchronous_engine().map_err(|error| format!("this machine cannot run WASI 0.3: {error:#}"))
}

fn config() -> Config {
    let mut config = Config::new();
    // Epochs interrupt a guest that does not return. Fuel would cost three times as much.
    config.epoch_interruption(true);
    // Keeps the memory of a guest that has trapped, so that the text of its panic can be read.
    config.coredump_on_trap(true);
    config
}
