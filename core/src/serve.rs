//! Serving: the loop that every host runs around its sources, written once.
//!
//! [`Engine`] accepts connections, runs their tasks, discards input that arrives after a connection was closed,
//! enforces the capacity limits, and drains. A [`Platform`] provides what the loop needs from a system: sources, a
//! clock, and a way to wait. A platform is a [`Host`] whose tasks are [`ServeTask`]s;
//! `native/examples/smallest_host.rs` is a complete one on a page. None of this needs a heap. Without one, a loop has up
//! to 8 listeners and 128 connections.
//!
//! Loops whose I/O another program does ([`driven`](crate::driven)) share the tasks and the turn, and leave the rest to
//! that program.
//!
//! [`Host`]: crate::Host

pub(crate) mod acceptor;
mod admission;
mod drain;
mod engine;
pub(crate) mod guard;
pub(crate) mod linger;
mod list;
#[cfg(feature = "alloc")]
pub mod peers;
mod platform;
#[cfg(feature = "alloc")]
mod program;
pub(crate) mod task;
pub(crate) mod turn;

pub use acceptor::Acceptor;
pub use admission::Admission;
pub use engine::{Engine, Stopped};
pub use guard::{Guard, Guarded, Subject, Unguarded};
pub use linger::Linger;
pub use platform::{Platform, Until};
pub use task::ServeTask;
