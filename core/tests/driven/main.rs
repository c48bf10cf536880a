//! Driven loops: the protocol between driver and loop.
//!
//! | file | subject |
//! | --- | --- |
//! | `dialogues.rs` | an unpredictable driver that keeps the contract: every client gets its answers |
//! | `room.rs` | the reported capacity for connections |
//! | `sources.rs` | connections that fail, idle or hang up, and handles that are in use |
//! | `connecting.rs` | connections that tasks request |
//! | `listening.rs` | listeners that tasks request |
//! | `slow.rs` | clients that are slow to send a request or to receive a reply |
//! | `guests.rs` | services as `async fn`s: tasks, jobs and addresses |
//! | `jobs.rs` | jobs that are cancelled, lost, or answered with an invalid result |
//! | `guarding.rs` | panics of the user's code, in a loop that catches them |

mod connecting;
mod dialogues;
mod guarding;
mod guests;
mod jobs;
mod listening;
mod notes;
mod room;
mod slow;
mod sources;

use sinbin_core::driven::{Event, SourceHandle};

const LISTENER: SourceHandle = SourceHandle(0);
const CLIENT: SourceHandle = SourceHandle(1);
const WINDOW: usize = 1024;

/// Returns the events of an arriving client whose address has `len` bytes.
fn arrived(len: u32) -> [Event; 2] {
    [Event::Listener(LISTENER), Event::Accepted { listener: LISTENER, connection: CLIENT, len }]
}
