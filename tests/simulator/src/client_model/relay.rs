//! Relays, whose answers come from upstreams.

use crate::client_model::ClientModel;
use crate::client_model::echo::noise;
use crate::expected::{Expected, Read};
use crate::rng::Rng;

/// Sends anything, and expects what the relay reads from the client's upstream, which the simulation knows.
#[derive(Clone, Copy, Default, Debug)]
pub struct RelayTalk;

impl ClientModel for RelayTalk {
    fn say(&mut self, rng: &mut Rng, text: &mut Vec<u8>) {
        noise(rng, text);
    }

    fn heard(&mut self, _: Read<'_>, _: &mut Expected) {}

    /// The upstream may have received any number of bytes without an answer. Those that the relay keeps are counted
    /// elsewhere.
    fn may_keep(&self) -> usize {
        usize::MAX / 2
    }
}
