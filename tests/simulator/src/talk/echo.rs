//! Services that answer each read.

use crate::luck::Luck;
use crate::owed::{Owed, Read};
use crate::talk::Talk;

/// Says anything, and is owed the same.
#[derive(Clone, Copy, Default, Debug)]
pub struct EchoTalk;

impl Talk for EchoTalk {
    fn say(&mut self, luck: &mut Luck, text: &mut Vec<u8>) {
        noise(luck, text);
    }

    fn heard(&mut self, read: Read<'_>, owed: &mut Owed) {
        if let Read::Bytes { bytes, .. } = read {
            owed.answer(bytes);
        }
    }
}

/// Says anything, and is owed that in upper case, with `_SB` behind each read.
#[derive(Clone, Copy, Default, Debug)]
pub struct UpperTalk;

impl Talk for UpperTalk {
    fn say(&mut self, luck: &mut Luck, text: &mut Vec<u8>) {
        noise(luck, text);
    }

    fn heard(&mut self, read: Read<'_>, owed: &mut Owed) {
        if let Read::Bytes { bytes, .. } = read {
            owed.answer([&bytes.to_ascii_uppercase()[..], b"_SB"].concat());
        }
    }
}

/// Bytes of which no two neighbours are alike for long, so that a lost, doubled or swapped one shows.
fn noise(luck: &mut Luck, text: &mut Vec<u8>) {
    let len = *luck.pick(&[1, 10, 100, 1000, 5000]);
    let first = luck.below(256);
    text.extend((0..len).map(|at| (first.wrapping_add(at).wrapping_mul(0x9e37_79b1) >> 24) as u8));
}
