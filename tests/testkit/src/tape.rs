//! A sequence of bytes that decides the choices of a test.

use arbitrary::{Arbitrary, Unstructured};

/// Choices read from bytes. After the end of the bytes, every choice is the first one and every number is 0.
pub struct Tape<'a>(Unstructured<'a>);

impl<'a> Tape<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a number below `choices`, which must be at least 1. Consumes one byte if there are at most 256 choices.
    pub fn below(&mut self, choices: usize) -> usize {
        self.0.int_in_range(0..=choices - 1).unwrap_or(0)
    }

    /// Returns one of these values.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns true once in `times` calls on average, and never after the end of the bytes.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) + 1 == times && times > 1
    }

    /// Returns any value of a number's type, read as little-endian.
    pub fn any<T: Arbitrary<'a> + Default>(&mut self) -> T {
        self.0.arbitrary().unwrap_or_default()
    }

    /// Returns the next `len` bytes, or the remaining ones if there are fewer.
    pub fn piece(&mut self, len: usize) -> &'a [u8] {
        let len = len.min(self.0.len());
        self.0.bytes(len).unwrap_or_default()
    }
}
