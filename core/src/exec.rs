//! Execution: the kernel together with its tasks, and the tasks' view of their host.

pub(crate) mod buffers;
pub(crate) mod context;
pub(crate) mod executor;
pub(crate) mod host;
pub(crate) mod label;
