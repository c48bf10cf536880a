//! Properties of sinbin that hold for arbitrary input. Each property is a function of bytes that panics if the property
//! does not hold. The fuzz targets (`tests/fuzz`) and this crate's own tests, which need no fuzzer, call the same
//! functions.
//!
//! The bytes are a `Tape` from which the next operation and its arguments are read. Any bytes are therefore valid, a
//! fuzzer can change some of them and keep the rest, and a file that has once failed becomes a regression test.
//!
//! The kernel's model, the protocol's oracle and the driver that keeps the rules come from `sinbin-testkit`.

// The driver needs Unix sockets.
#[cfg(unix)]
mod contract;
mod driven;
mod fib;
mod forwarding;
mod job;
mod kernel;
mod nesting;
mod recording;
mod serving;

#[cfg(unix)]
pub use contract::contract;
pub use driven::driven;
pub use fib::fib;
pub use forwarding::forwarding;
pub use job::job;
pub use kernel::kernel;
pub use nesting::nesting;
pub use recording::recording;
pub use serving::{echo, service};

/// A property, which panics if it does not hold.
pub type Property = fn(&[u8]);

/// All properties, by the names of their fuzz targets.
pub const ALL: &[(&str, Property)] = &[
    #[cfg(unix)]
    ("contract", contract),
    ("driven", driven),
    ("echo", echo),
    ("fib", fib),
    ("forwarding", forwarding),
    ("job", job),
    ("kernel", kernel),
    ("nesting", nesting),
    ("recording", recording),
    ("service", service),
];
