//! Properties of sinbin that hold for arbitrary input. Each property is a function of bytes that panics if the property
//! does not hold. The fuzz targets (`tests/fuzz`) and this crate's own tests, which need no fuzzer, call the same
//! functions.
//!
//! The bytes are a `Tape` from which the next operation and its arguments are read. Any bytes are therefore valid, a
//! fuzzer can change some of them and keep the rest, and a file that has once failed becomes a regression test.
//!
//! The kernel's model, the protocol's oracle and the driver that keeps the rules are shared with the core's tests.

// The driver needs Unix sockets.
#[cfg(unix)]
mod contract;
mod driven;
mod fib;
mod job;
mod kernel;
mod nesting;
mod recording;
mod serving;

#[path = "../../../core/tests/driver/mod.rs"]
mod driver;
#[path = "../../../core/tests/tape/mod.rs"]
mod tape;

// The core's tests use more of these modules.
#[path = "../../../core/tests/promises/heap.rs"]
#[allow(dead_code)]
mod heap;
#[path = "../../../core/tests/promises/model.rs"]
#[allow(dead_code)]
mod model;
#[path = "../../../core/tests/promises/ops.rs"]
#[allow(dead_code)]
mod ops;
#[path = "../../../core/tests/oracle/mod.rs"]
#[allow(dead_code)]
mod oracle;
#[path = "../../../core/tests/promises/world.rs"]
#[allow(dead_code)]
mod world;
// The in-memory sources of the core's task tests.
#[path = "../../../core/tests/support/mod.rs"]
mod support;

#[cfg(unix)]
pub use contract::contract;
pub use driven::driven;
pub use fib::fib;
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
    ("job", job),
    ("kernel", kernel),
    ("nesting", nesting),
    ("recording", recording),
    ("service", service),
];
