//! The text that clients send to a service, and the answers that they expect.

mod any;
mod echo;
mod fib;
mod relay;

use crate::expected::{Expected, Read};
use crate::rng::Rng;

pub use any::AnyTalk;
pub use echo::{EchoTalk, UpperTalk};
pub use fib::FibTalk;
pub use relay::RelayTalk;

/// The client's side of a conversation, and its oracle: generates the text of a client, and derives from the service's
/// reads the answers that the service owes. Each visit has a new one.
pub trait ClientModel {
    /// Appends the client's next text.
    fn say(&mut self, rng: &mut Rng, text: &mut Vec<u8>);

    /// Adds to `expected` what the service sends first on a new connection.
    fn connected(&mut self, expected: &mut Expected) {
        let _ = expected;
    }

    /// Adds to `expected` the answers that are due after a read of the service.
    fn heard(&mut self, read: Read<'_>, expected: &mut Expected);

    /// Returns the number of bytes that the service may have read and not answered, besides a block.
    fn may_keep(&self) -> usize {
        0
    }
}
