//! A queue of URLs in compact form.

use std::collections::VecDeque;

use super::entry::{Decoder, Encoder, Entry};

/// The capacity of the first block, in bytes. Each further one has twice that of the last, up to [`MAX_BLOCK`].
const MIN_BLOCK: usize = 256;
const MAX_BLOCK: usize = 64 << 10;

/// A queue of entries, first in, first out. An entry occupies the bytes by which it differs from the one before it: some
/// 10 to 30 for links of one page.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// The entries. Each is within one block, and no block is empty.
    blocks: VecDeque<Vec<u8>>,
    /// The position of the first entry in the first block.
    start: usize,
    len: usize,
    encoder: Encoder,
    decoder: Decoder,
    /// The bytes of an entry, until its length is known.
    buffer: Vec<u8>,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the memory of the entries, in bytes. O(blocks).
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }

    /// Appends `entry`. Returns the memory that was allocated for it, in bytes.
    pub fn push(&mut self, entry: &Entry) -> usize {
        self.buffer.clear();
        self.encoder.encode(entry, &mut self.buffer);
        self.len += 1;
        let has_space = |block: &Vec<u8>| block.capacity() - block.len() >= self.buffer.len();
        let mut allocated = 0;
        if !self.blocks.back().is_some_and(has_space) {
            let doubled =
                self.blocks.back().map_or(MIN_BLOCK, |last| last.capacity().saturating_mul(2).min(MAX_BLOCK));
            let block = Vec::with_capacity(doubled.max(self.buffer.len()));
            allocated = block.capacity();
            self.blocks.push_back(block);
        }
        if let Some(block) = self.blocks.back_mut() {
            block.extend_from_slice(&self.buffer);
        }
        allocated
    }

    /// Removes the first entry. Returns it, and the memory that was released, in bytes.
    pub fn pop(&mut self) -> Option<(Entry, usize)> {
        let block = self.blocks.front()?;
        let mut rest = &block[self.start..];
        let entry = self.decoder.decode(&mut rest)?;
        self.start = block.len() - rest.len();
        self.len -= 1;
        let mut released = 0;
        if self.start == block.len() {
            self.start = 0;
            released = self.blocks.pop_front().map_or(0, |block| block.capacity());
            if self.is_empty() {
                *self = Self::default();
            }
        }
        Some((entry, released))
    }

    /// Returns the entries in their order.
    pub fn iter(&self) -> impl Iterator<Item = Entry> {
        let mut decoder = self.decoder.clone();
        let starts = std::iter::once(self.start).chain(std::iter::repeat(0));
        self.blocks.iter().zip(starts).flat_map(move |(block, start)| {
            let mut rest = &block[start..];
            let mut entries = Vec::new();
            while let Some(entry) = decoder.decode(&mut rest) {
                entries.push(entry);
            }
            entries
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::super::entry::tests::entries;
    use super::{Entry, Queue};
    use crate::fetch::Kind;

    proptest! {
        #[test]
        fn a_queue_is_first_in_first_out(steps in prop::collection::vec(prop::option::weighted(0.6, entries()), 0..40)) {
            let (mut queue, mut model, mut bytes) = (Queue::default(), VecDeque::new(), 0);
            for step in steps {
                match step {
                    Some(entry) => {
                        bytes += queue.push(&entry);
                        model.push_back(entry);
                    }
                    None => {
                        let popped = queue.pop();
                        bytes -= popped.as_ref().map_or(0, |(_, released)| *released);
                        prop_assert_eq!(popped.map(|(entry, _)| entry), model.pop_front());
                    }
                }
                prop_assert_eq!((queue.len(), queue.bytes()), (model.len(), bytes));
                prop_assert!(queue.iter().eq(model.iter().cloned()));
            }
        }
    }

    #[test]
    fn links_of_a_page_are_small() {
        let mut queue = Queue::default();
        let page = "http://docs.example/library/index.html";
        for number in 0..10_000 {
            let url = format!("http://docs.example/library/section-{}/page-{number}.html", number / 100);
            queue.push(&Entry::new(url, Kind::Page, 1, Some(page.to_owned())));
        }
        assert!(queue.bytes() / queue.len() < 32, "{} bytes an entry", queue.bytes() / queue.len());
        while queue.pop().is_some() {}
        assert_eq!(queue.bytes(), 0);
    }
}
