//! Execution: the kernel together with its tasks, and the tasks' view of their host.
//!
//! * [`Executor`] runs the tasks of a kernel: the inner half of a host's loop.
//! * [`Task`] is a state machine, and [`Cx`] what it sees of its host while it runs.
//! * [`Host`] is what a host implements for its tasks, [`Jobs`] and [`Serves`] what it implements for those that compute
//!   and those that serve connections. A [`Service`] makes a task of each connection.
//! * [`Buffers`] keep bytes that outlive a turn.

pub(crate) mod buffers;
pub(crate) mod context;
pub(crate) mod executor;
pub(crate) mod host;
pub(crate) mod label;

pub use buffers::{BufferedBytes, Buffers};
pub use context::{Cx, MAX_SPAWNS, Task};
pub use executor::Executor;
pub use host::{Connects, Host, Jobs, Serves, Service};
