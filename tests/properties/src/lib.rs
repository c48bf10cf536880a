//! What must hold of sinbin whatever bytes come in: each property is a function of bytes, and panics where it does not
//! hold. The fuzz targets (`tests/fuzz`) and this crate's own tests, which need no fuzzer, call the same functions.
//!
//! The bytes are a `Tape`: what is done next, and with what, is read off it. So any bytes make sense, a
//! fuzzer can change some of them and keep the rest, and a file that once failed is a test from then on.
//!
//! The kernel's model, the protocol's oracle and the driver that keeps the rules are the core's own: the files of its tests.

// The driver, as far as there are sockets as Unix has them.
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

// What the core's tests have beyond what is used here.
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
// The sources in memory of the tests of tasks.
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

/// A property: it panics where it does not hold.
pub type Property = fn(&[u8]);

/// All of them, by the names of their fuzz targets.
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
