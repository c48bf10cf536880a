//! Waiting for each other: what each primitive promises, one thing at a time, and then all at once.
//!
//! * One file for each primitive: stories of a few tasks.
//! * `printing.rs`: what one sees of each.
//! * `leaks.rs`: futures that stand in a queue and are never dropped.
//! * `programs.rs`: random programs of several tasks that use everything, are cancelled anywhere and lose their
//!   patience anywhere, beside an oracle ([`oracle::Oracle`]) that knows who may have what.

#[path = "../cases/mod.rs"]
mod cases;
#[path = "../support/mod.rs"]
mod support;

mod barrier;
mod broadcast;
mod channel;
mod condition;
mod event;
mod leaks;
mod lock;
mod oneshot;
mod oracle;
mod order;
mod printing;
mod programs;
mod rw_lock;
mod semaphore;
mod watch;
