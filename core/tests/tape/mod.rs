//! Bytes that decide what is done.

use arbitrary::{Arbitrary, Unstructured};

/// Choices, read off bytes. Where they are over, every choice is the first one, and every number 0.
pub struct Tape<'a>(Unstructured<'a>);

impl<'a> Tape<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// One of so many choices, which are at least one: a byte for up to 256 of them.
    pub fn below(&mut self, choices: usize) -> usize {
        self.0.int_in_range(0..=choices - 1).unwrap_or(0)
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Whether, once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) + 1 == times && times > 1
    }

    /// Any value of a number's type, little-endian.
    pub fn any<T: Arbitrary<'a> + Default>(&mut self) -> T {
        self.0.arbitrary().unwrap_or_default()
    }

    /// The next so many bytes, as far as there are so many.
    pub fn piece(&mut self, len: usize) -> &'a [u8] {
        let len = len.min(self.0.len());
        self.0.bytes(len).unwrap_or_default()
    }
}
