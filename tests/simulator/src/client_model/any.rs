use crate::client_model::ClientModel;
use crate::expected::{Expected, Read};
use crate::rng::Rng;

/// Says nothing, and takes anything for an answer: for [scripted](crate::Scripted) clients, where the script looks at what
/// comes.
#[derive(Clone, Copy, Default, Debug)]
pub struct AnyTalk;

impl ClientModel for AnyTalk {
    fn say(&mut self, _: &mut Rng, _: &mut Vec<u8>) {}

    fn connected(&mut self, expected: &mut Expected) {
        expected.anything();
    }

    fn heard(&mut self, _: Read<'_>, _: &mut Expected) {}
}
