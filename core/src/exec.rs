//! Runs tasks: the kernel together with them, and what they see of their host.

pub(crate) mod buffers;
pub(crate) mod context;
pub(crate) mod executor;
pub(crate) mod host;
pub(crate) mod label;
