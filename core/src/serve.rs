//! Serving: the loop that every host runs around its sources, written once.
//!
//! [`Engine`] takes connections, runs their tasks, reads out what peers still send to closed connections, keeps within the
//! room there is, and drains. A [`Platform`] is what it needs of a system: sources, a clock, a way to wait. Each is a [`Host`]
//! whose tasks are [`ServeTask`]s; `native/examples/smallest_host.rs` is one in a page. These take a heap: the feature
//! `alloc`.
//!
//! Loops that somebody else drives ([`driven`](crate::driven)) share the tasks and the turn, and leave the rest to their
//! drivers.
//!
//! [`Host`]: crate::Host

pub(crate) mod acceptor;
#[cfg(feature = "alloc")]
mod admission;
#[cfg(feature = "alloc")]
mod drain;
#[cfg(feature = "alloc")]
mod engine;
#[cfg(feature = "alloc")]
pub(crate) mod guard;
pub(crate) mod linger;
#[cfg(feature = "alloc")]
pub mod peers;
#[cfg(feature = "alloc")]
mod platform;
#[cfg(feature = "alloc")]
pub(crate) mod task;
#[cfg(feature = "alloc")]
pub(crate) mod turn;

#[cfg(feature = "alloc")]
pub use admission::Admission;
#[cfg(feature = "alloc")]
pub use engine::{Engine, Stopped};
#[cfg(feature = "alloc")]
pub use guard::{Guard, Guarded, Subject, Unguarded};
#[cfg(feature = "alloc")]
pub use platform::{Platform, Until};
#[cfg(feature = "alloc")]
pub use task::ServeTask;
