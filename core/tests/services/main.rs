//! The shipped services on the shipped executor, over a network that does its worst: reads are cut anywhere,
//! sends take as little as nothing, readiness is late or false, peers vanish in the middle of a job, blocks
//! and places run out, jobs end in any order or not at all.
//!
//! Nothing here is real: sockets are queues in memory ([`net`]), time is a number, and every decision comes
//! from a tape ([`luck`]). So a failing run prints a short tape that replays it.
//!
//! * `faults.rs`: whatever happens, who is not reset gets exactly the right bytes, and when all is over
//!   nothing is left behind.
//! * `stories.rs`: one thing at a time.

#[path = "../cases/mod.rs"]
mod cases;
mod check;
mod client;
mod faults;
mod luck;
mod net;
#[path = "../oracle/mod.rs"]
mod oracle;
mod pool;
mod sim;
mod stories;
