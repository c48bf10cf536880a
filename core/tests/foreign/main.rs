//! Futures of other crates in our tasks: whatever wakes them, on whatever thread, wakes the task.
//!
//! The host here has wires for sockets, and no clock: what should be woken and is not would wait forever, and is
//! given up after a minute.

mod channels;
mod executors;
mod inbox;
mod loopback;
mod signals;
mod threads;
mod wakers;
mod yielding;

/// How many of something that is to be many.
pub(crate) const MANY: u32 = if cfg!(miri) { 100 } else { 10_000 };
