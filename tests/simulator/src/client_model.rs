//! What clients say to a service, and what they are owed for it.

mod any;
mod echo;
mod fib;

use crate::expected::{Expected, Read};
use crate::rng::Rng;

pub use any::AnyTalk;
pub use echo::{EchoTalk, UpperTalk};
pub use fib::FibTalk;

/// One side of a conversation, and its oracle: it knows what a client may say, and, from what the service has read,
/// what the service has to answer. It is made anew for each visit.
pub trait ClientModel {
    /// Appends what the client says next.
    fn say(&mut self, rng: &mut Rng, text: &mut Vec<u8>);

    /// The client connects; what the service says first goes to `expected`.
    fn connected(&mut self, expected: &mut Expected) {
        let _ = expected;
    }

    /// The service has read something; what it owes for that goes to `expected`.
    fn heard(&mut self, read: Read<'_>, expected: &mut Expected);

    /// Of what was read, how many bytes the service may keep beside a block, without an answer.
    fn may_keep(&self) -> usize {
        0
    }
}
