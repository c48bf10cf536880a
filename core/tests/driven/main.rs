//! Driven loops: what a driver and a loop say to each other.
//!
//! | file | what |
//! | --- | --- |
//! | `dialogues.rs` | a driver that keeps the rules and is unkind within them: every client gets its answers |
//! | `room.rs` | how many connections there is room for |
//! | `sources.rs` | what becomes of a connection that fails, idles or hangs up, and of names that are in use |
//! | `guests.rs` | services that are `async fn`s: tasks, jobs and addresses |
//! | `jobs.rs` | jobs that are given up, lost, or answered with nonsense |

#[path = "../cases/mod.rs"]
mod cases;
#[path = "../oracle/mod.rs"]
mod oracle;

mod dialogues;
mod guests;
mod jobs;
mod room;
mod sources;
