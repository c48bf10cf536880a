//! Models, oracles and hosts without a system that several test suites of sinbin share.
//!
//! | module | content | used by |
//! | --- | --- | --- |
//! | [`kernel_model`] | the kernel beside a model of lists, and random operations on both | the core's promises, properties |
//! | [`fib_oracle`] | the answers that the Fibonacci service must give | driven loops, properties, the simulator |
//! | [`driver`] | a driver of driven loops that keeps the contract and uses all its freedom | driven loops, properties |
//! | [`memory_host`] | a host with sources in memory and a clock that tests advance | the core's tasks and locks, properties |
//! | [`no_io!`] | the part of a host whose tasks do no I/O | the core's tasks |
//! | [`tape`] | bytes that decide the choices of a test | driven loops, properties |
//! | [`cases`] | the number of cases of a property test | every property test |
//! | [`count`] | a job of known length | driven loops, the core's tasks |

#![allow(missing_docs, reason = "the items are for the tests of this repository, and most names say all")]

#[cfg(feature = "random")]
pub mod cases;
pub mod count;
#[cfg(feature = "random")]
pub mod driver;
pub mod fib_oracle;
#[cfg(feature = "random")]
pub mod kernel_model;
#[cfg(feature = "random")]
pub mod memory_host;
mod no_io;
#[cfg(feature = "random")]
pub mod tape;
