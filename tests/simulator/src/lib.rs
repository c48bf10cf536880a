//! Years of bad luck in minutes: services on sinbin's core, in virtual time, from one seed.
mod as_tasks;
mod bad_luck;
mod luck;
#[path = "../../../core/tests/oracle/mod.rs"]
#[expect(dead_code, reason = "the core's tests use more of it")]
mod oracle;
mod owed;
mod panics;
mod peer;
mod plan;
mod promises;
mod report;
mod rooms;
mod run;
mod scripted;
mod shipped;
mod shrink;
mod story;
pub mod talk;
mod tasks;
mod work;
mod world;

pub use as_tasks::simulate_tasks;
pub use luck::{Luck, OFTEN};
pub use owed::{Owed, Read};
pub use plan::{Computes, Faults, Plan};
pub use report::{Failure, Report};
pub use rooms::Rooms;
pub use run::Simulation;
pub use scripted::{ClientId, Scripted};
pub use shipped::{Ended, shipped, shipped_by};
pub use shrink::shrink;
pub use tasks::SimTask;
pub use world::World;
