//! What clients say to a service, and what they are owed for it.

mod any;
mod echo;
mod fib;

use crate::luck::Luck;
use crate::owed::{Owed, Read};

pub use any::AnyTalk;
pub use echo::{EchoTalk, UpperTalk};
pub use fib::FibTalk;

/// One side of a conversation, and its oracle: it knows what a client may say, and, from what the service has read,
/// what the service has to answer. It is made anew for each visit.
pub trait Talk {
    /// Appends what the client says next.
    fn say(&mut self, luck: &mut Luck, text: &mut Vec<u8>);

    /// The client connects; what the service says first goes to `owed`.
    fn connected(&mut self, owed: &mut Owed) {
        let _ = owed;
    }

    /// The service has read something; what it owes for that goes to `owed`.
    fn heard(&mut self, read: Read<'_>, owed: &mut Owed);

    /// Of what was read, how many bytes the service may keep beside a block, without an answer.
    fn may_keep(&self) -> usize {
        0
    }
}
