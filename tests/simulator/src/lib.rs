//! Simulation of services on sinbin's core, with faults, in virtual time, from one seed.
//!
//! A simulation runs the *shipped* kernel, serving loop, tasks and protocols. Only the world is simulated: sockets,
//! network, clock, workers, and clients that check each answer. One seed decides all events there: the order in which
//! sources are ready, how reads and sends are cut, which clients are late, reset the connection or do not read, which
//! connections can't be accepted, which jobs fail and which workers die, when the clock jumps, and which waiting tasks
//! are cancelled. The kernel's promises are checked before every step of a task: by
//! [`Kernel::audit`](sinbin_core::Kernel::audit), against a record of the earlier steps, and against a record of all
//! reports to the kernel, so that no task is woken without a reason. Time is a number: when all tasks wait, it jumps to
//! the next event.
//!
//! `cargo run -p sinbin-tests --bin simulate` runs the services that sinbin ships. To simulate a service of your own,
//! describe what its clients send and which answers they expect ([`ClientModel`](client_model::ClientModel)), and run
//! as many seeds as you like:
//!
//! ```
//! use sinbin_core::task::{Conn, Handle};
//! use sinbin_simulator::client_model::ClientModel;
//! use sinbin_simulator::{Rng, Expected, Plan, Read, simulate_tasks};
//!
//! /// A client that asks for the length of words.
//! #[derive(Default)]
//! struct Lengths {
//!     word: u8,
//! }
//!
//! impl ClientModel for Lengths {
//!     fn say(&mut self, rng: &mut Rng, text: &mut Vec<u8>) {
//!         text.resize(text.len() + rng.below(20) as usize, b'x');
//!         text.push(b'\n');
//!     }
//!
//!     fn heard(&mut self, read: Read<'_>, expected: &mut Expected) {
//!         let Read::Bytes { bytes, .. } = read else { return };
//!         for byte in bytes {
//!             match byte {
//!                 b'\n' => expected.answer([std::mem::take(&mut self.word)]),
//!                 _ => self.word += 1,
//!             }
//!         }
//!     }
//!
//!     fn may_keep(&self) -> usize {
//!         20
//!     }
//! }
//!
//! async fn lengths(conn: Conn<'_>, _: Handle<'_>) -> Result<(), sinbin_core::task::Error> {
//!     let (mut byte, mut len) = ([0], 0);
//!     while conn.recv(&mut byte).await? > 0 {
//!         if byte == *b"\n" {
//!             conn.send_all(&[len]).await?;
//!             len = 0;
//!         } else {
//!             len += 1;
//!         }
//!     }
//!     Ok(())
//! }
//!
//! for seed in 0..100 {
//!     let mut rng = Rng::seeded(seed);
//!     let plan = Plan { idle_timeout: None, ..Plan::drawn(&mut rng) };
//!     let ended = simulate_tasks(lengths, &plan, rng, |_| Lengths::default(), false);
//!     assert!(ended.outcome.is_ok(), "seed {seed}: {:?}", ended.outcome);
//! }
//! ```
//!
//! A service that is a state machine runs in a [`Simulation`]: [`World`] is a host, and implements
//! [`Serves`](sinbin_core::Serves) and [`Jobs`](sinbin_core::exec::Jobs). To find out why a seed fails, run it with a story
//! ([`Ended::story`]), or shorten its run first ([`shrink()`]).
//!
//! A test can also control clients step by step: [`Scripted`]. The dialogues of `tests/dialogues` run in virtual time
//! this way.
//!
//! The idea comes from FoundationDB, and TigerBeetle's simulator is the model.

mod as_tasks;
mod capacity;
pub mod client_model;
mod evidence;
mod expected;
mod network;
mod panics;
mod peer;
mod plan;
mod promises;
mod rates;
mod report;
mod rng;
mod run;
mod scripted;
mod shipped;
mod shrink;
mod story;
mod tally;
mod upstream;
mod work;
mod world;

pub use as_tasks::{simulate_callers, simulate_tasks};
pub use capacity::Capacity;
pub use expected::{Expected, Read};
pub use network::{Calls, Flaw, Names, Network, Troubles};
pub use plan::{Computes, Faults, Plan};
pub use report::{Ended, Failure, Report};
pub use rng::{OFTEN, Rng};
pub use run::Simulation;
pub use scripted::{ClientId, Scripted};
pub use shipped::{shipped, shipped_by, shipped_watched};
pub use shrink::shrink;
pub use world::World;
