use crate::luck::Luck;
use crate::owed::{Owed, Read};
use crate::talk::Talk;

/// Says nothing, and takes anything for an answer: for [scripted](crate::Scripted) clients, where the script looks at what
/// comes.
#[derive(Clone, Copy, Default, Debug)]
pub struct AnyTalk;

impl Talk for AnyTalk {
    fn say(&mut self, _: &mut Luck, _: &mut Vec<u8>) {}

    fn connected(&mut self, owed: &mut Owed) {
        owed.anything();
    }

    fn heard(&mut self, _: Read<'_>, _: &mut Owed) {}
}
