//! The ten promises of the core, as properties over random sequences of everything that one can ask of a
//! kernel.
//!
//! [`world::World`] does each operation twice: to the kernel, and to a model of it ([`model::Model`]) that is
//! nothing but lists, searched from end to end. After every operation the two must agree on who is next, why,
//! who waits for what and since when, and how long the host may rest; and the kernel must pass its own audit.
//! So each promise is checked at every step of every test here. Beside that, each has a test of its own:
//!
//! | promise | file |
//! | --- | --- |
//! | 1 one place, 2 no wake-up lost or doubled, 3 first in first out, 4 determinism | `scheduling.rs` |
//! | 5 ids, 6 closing and cancelling, 7 capacity | `ending.rs` |
//! | 8 stalled, and what a host does until then | `resting.rs` |
//! | 9 cost | `cost.rs` |
//! | 10 no deadline before a look | `seeing.rs` |
//! | all, in every order of a few operations | `exhaustive.rs` |
//! | 2 again, from the side of a host on epoll | `watching.rs` |

#[path = "../cases/mod.rs"]
mod cases;
mod cost;
mod ending;
mod exhaustive;
mod heap;
mod model;
mod ops;
mod resting;
mod scheduling;
mod seeing;
mod watching;
mod world;
