//! Serving: the loop that every host runs around its sources, written once.
//!
//! [`Engine`] accepts connections, runs their tasks, discards input that arrives after a connection was closed,
//! enforces the capacity limits, and drains. A [`Platform`] provides what the loop needs from a system: sources, a
//! clock, and a way to wait. A platform is a [`Host`] whose tasks are [`ServeTask`]s;
//! `native/examples/smallest_host.rs` is a complete one on a page. All of this needs a heap (feature `alloc`).
//!
//! Loops whose I/O another program does ([`driven`](crate::driven)) share the tasks and the turn, and leave the rest to
//! that program.
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
mod program;
#[cfg(feature = "alloc")]
pub(crate) mod task;
#[cfg(feature = "alloc")]
pub(crate) mod turn;

pub use acceptor::Acceptor;
#[cfg(feature = "alloc")]
pub use admission::Admission;
#[cfg(feature = "alloc")]
pub use engine::{Engine, Stopped};
#[cfg(feature = "alloc")]
pub use guard::{Guard, Guarded, Subject, Unguarded};
pub use linger::Linger;
#[cfg(feature = "alloc")]
pub use platform::{Platform, Until};
#[cfg(feature = "alloc")]
pub use task::ServeTask;
