//! Driven loops: what a driver and a loop say to each other.
//!
//! | file | what |
//! | --- | --- |
//! | `dialogues.rs` | a driver that keeps the rules and is unkind within them: every client gets its answers |
//! | `room.rs` | how many connections there is room for |
//! | `sources.rs` | what becomes of a connection that fails, idles or hangs up, and of names that are in use |
//! | `slow.rs` | clients that are slow to send a request, or to take a reply |
//! | `guests.rs` | services that are `async fn`s: tasks, jobs and addresses |
//! | `jobs.rs` | jobs that are given up, lost, or answered with nonsense |
//! | `guarding.rs` | panics of the user's code, in a loop that catches them |

#[path = "../cases/mod.rs"]
mod cases;
#[path = "../count/mod.rs"]
mod count;
#[path = "../driver/mod.rs"]
mod driver;
#[path = "../oracle/mod.rs"]
mod oracle;
#[path = "../tape/mod.rs"]
#[allow(dead_code)]
mod tape;

mod dialogues;
mod guarding;
mod guests;
mod jobs;
mod room;
mod slow;
mod sources;

use sinbin_core::driven::{Event, SourceHandle};

const LISTENER: SourceHandle = SourceHandle(0);
const CLIENT: SourceHandle = SourceHandle(1);
const WINDOW: usize = 1024;

/// The client is there, with so many bytes of address.
fn arrived(len: u32) -> [Event; 2] {
    [Event::Listener(LISTENER), Event::Accepted { listener: LISTENER, connection: CLIENT, len }]
}
