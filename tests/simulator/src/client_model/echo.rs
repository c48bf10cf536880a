//! Services that answer each read.

use crate::client_model::ClientModel;
use crate::expected::{Expected, Read};
use crate::rng::Rng;

/// Sends anything, and expects the same bytes.
#[derive(Clone, Copy, Default, Debug)]
pub struct EchoTalk;

impl ClientModel for EchoTalk {
    fn say(&mut self, rng: &mut Rng, text: &mut Vec<u8>) {
        noise(rng, text);
    }

    fn heard(&mut self, read: Read<'_>, expected: &mut Expected) {
        if let Read::Bytes { bytes, .. } = read {
            expected.answer(bytes);
        }
    }
}

/// Sends anything, and expects the bytes in upper case, with `_SB` behind each read.
#[derive(Clone, Copy, Default, Debug)]
pub struct UpperTalk;

impl ClientModel for UpperTalk {
    fn say(&mut self, rng: &mut Rng, text: &mut Vec<u8>) {
        noise(rng, text);
    }

    fn heard(&mut self, read: Read<'_>, expected: &mut Expected) {
        if let Read::Bytes { bytes, .. } = read {
            expected.answer([&bytes.to_ascii_uppercase()[..], b"_SB"].concat());
        }
    }
}

/// Appends bytes in which neighbours rarely are equal, so that a lost, doubled or swapped byte is noticed.
pub(super) fn noise(rng: &mut Rng, text: &mut Vec<u8>) {
    let len = *rng.pick(&[1, 10, 100, 1000, 5000]);
    let first = rng.below(256);
    text.extend((0..len).map(|at| (first.wrapping_add(at).wrapping_mul(0x9e37_79b1) >> 24) as u8));
}
