//! Serving: the loop that every host runs around its sources, written once.
//!
//! [`Engine`] takes connections, runs their tasks, reads out what peers still send to closed connections, keeps within the
//! room there is, and drains. A [`Platform`] is what it needs of a system: sources, a clock, a way to wait. It is a [`Host`]
//! whose tasks are [`ServeTask`]s; `native/examples/smallest_host.rs` is one in a page.
//!
//! Loops that somebody else drives ([`driven`](crate::driven)) have the tasks and the turn of this, and leave the rest to
//! their drivers.
//!
//! [`Host`]: crate::Host

mod drain;
mod engine;
mod guard;
mod platform;
mod room;
mod task;
mod turn;

pub use engine::{Engine, Stopped};
pub use guard::{Guard, Guarded, Subject, Unguarded};
pub use platform::{Platform, Until};
pub use room::Room;
pub use task::ServeTask;
pub(crate) use turn::{Look, UNSEEN, turn};
