//! Futures of other crates in our tasks: a wake from any source, on any thread, wakes the task.
//!
//! The host of these tests has wires for sockets, and no clock. A lost wake-up would block forever, so the tests fail
//! after a minute without one.

mod channels;
mod executors;
mod inbox;
mod loopback;
mod round_robin;
mod signals;
mod threads;
mod wakers;
mod yielding;

/// The number of repetitions in tests that need many.
pub(crate) const MANY: u32 = if cfg!(miri) { 100 } else { 10_000 };
