use crate::client_model::ClientModel;
use crate::expected::{Expected, Read};
use crate::rng::Rng;

/// Sends nothing, and accepts any answer. For [scripted](crate::Scripted) clients whose script checks the answers.
#[derive(Clone, Copy, Default, Debug)]
pub struct AnyTalk;

impl ClientModel for AnyTalk {
    fn say(&mut self, _: &mut Rng, _: &mut Vec<u8>) {}

    fn connected(&mut self, expected: &mut Expected) {
        expected.anything();
    }

    fn heard(&mut self, _: Read<'_>, _: &mut Expected) {}
}
