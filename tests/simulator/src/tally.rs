//! The number of bytes that have passed a place, and a checksum of them, which tells whether those at another place were
//! the same.

/// The count and checksum of bytes in their order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    sum: u64,
}

impl Tally {
    /// Adds bytes.
    pub(crate) fn add<'a>(&mut self, bytes: impl IntoIterator<Item = &'a u8>) {
        for byte in bytes {
            self.count += 1;
            self.sum = (self.sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
