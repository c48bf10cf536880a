//! `wasi:clocks/monotonic-clock`, by the clock of the watcher.

use sinbin::Instant;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host;

use super::Guest;
use super::poll::Pollable;

impl Host for Guest {
    fn now(&mut self) -> Result<u64> {
        Ok(self.io.now().as_nanos())
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        self.io.subscribe(Pollable::At(Instant::from_nanos(when)))
    }

    fn subscribe_duration(&mut self, span: u64) -> Result<Resource<DynPollable>> {
        // A time that the clock never reaches is waited for without end.
        let when = self.io.now().as_nanos().saturating_add(span);
        self.io.subscribe(Pollable::At(Instant::from_nanos(when)))
    }
}
