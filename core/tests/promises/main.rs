//! The ten promises of the core, as properties of random sequences of all kernel operations.
//!
//! [`world::World`] applies each operation to the kernel and to a model ([`model::Model`]), which consists of lists
//! that are searched from end to end. After every operation, both must agree on the next task, its wake reason, the
//! waits of each task and their times, and the time that the host may rest. The kernel must also pass its own audit.
//! Each promise is thus checked at every step of every test. In addition, each promise has its own test:
//!
//! | promise | file |
//! | --- | --- |
//! | 1 one state per task, 2 no wake-up lost or doubled, 3 first in first out, 4 determinism | `scheduling.rs` |
//! | 5 ids, 6 closing and cancelling, 7 capacity | `ending.rs` |
//! | 8 stalled, and the host's rest until then | `resting.rs` |
//! | 9 cost | `cost.rs` |
//! | 10 no deadline before a poll | `seeing.rs` |
//! | all, in every order of a few operations | `exhaustive.rs` |
//! | 2 again, from the side of a host on epoll | `watching.rs` |

mod cost;
mod ending;
mod exhaustive;
mod resting;
mod scheduling;
mod seeing;
mod watching;
