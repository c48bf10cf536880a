//! Numbers in recordings, which are LEB128.

use alloc::vec::Vec;

/// Appends a number: seven bits per byte, the lowest first.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are meant")]
pub(super) fn put(mut number: u64, bytes: &mut Vec<u8>) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends a name as its two halves.
#[inline]
pub(super) fn put_name(name: u64, bytes: &mut Vec<u8>) {
    put(name & u64::from(u32::MAX), bytes);
    put(name >> 32, bytes);
}

/// Removes a number from the front. Returns `None` if the bytes contain no number, or one of more than 64 bits.
#[inline]
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
