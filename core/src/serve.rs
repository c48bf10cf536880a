//! Serves connections: takes them in, lets them go, and counts whose they are.

pub(crate) mod acceptor;
pub(crate) mod linger;
#[cfg(feature = "alloc")]
pub mod peers;
