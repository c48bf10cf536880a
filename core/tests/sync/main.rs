//! Synchronization: the guarantees of each primitive, first separately and then together.
//!
//! * One file for each primitive: scenarios with a few tasks.
//! * `named.rs`: names in reports.
//! * `printing.rs`: the debug output of each primitive.
//! * `leaks.rs`: futures in a queue that are never dropped.
//! * `programs.rs`: random programs of several tasks that use all primitives, with cancellations and timeouts at any
//!   point, compared with an oracle ([`oracle::Oracle`]) that knows the owners and waiters.

mod barrier;
mod broadcast;
mod channel;
mod condition;
mod event;
mod leaks;
mod lock;
mod named;
mod oneshot;
mod oracle;
mod order;
mod printing;
mod programs;
mod reentrant_lock;
mod rw_lock;
mod semaphore;
mod watch;
