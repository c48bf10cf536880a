//! Buffers for received and unsent bytes. An idle connection holds no buffer: input is read into one shared buffer of
//! the loop. Only bytes that must outlive the step are kept, in the task itself or in a block of a pool.

use core::ops::Range;

use crate::kernel::slab::NONE;
use crate::kernel::storage::{Slots, Storage};

/// The number of bytes that a task can keep inline.
const INLINE: usize = 8;

/// The shared buffers of a loop, and the pool of blocks.
pub struct Buffers<S: Storage> {
    /// The received bytes. They last until the step ends.
    pub input: S::Bytes,
    /// The bytes to send. They last until the step ends.
    pub output: S::Bytes,
    blocks: Blocks<S>,
}

impl<S: Storage> Buffers<S> {
    pub(crate) fn new(storage: &S) -> Self {
        Self { input: storage.bytes(), output: storage.bytes(), blocks: Blocks::new(storage) }
    }

    /// Returns how many bytes can be received now such that all of them can be kept: a block's worth if a block is
    /// free, otherwise as many as fit into the task.
    #[must_use]
    #[inline]
    pub fn read_limit(&self) -> usize {
        if self.blocks.lent < self.blocks.blocks.limit() { self.input.as_ref().len() } else { INLINE }
    }

    /// Returns the number of blocks that are lent now.
    #[must_use]
    pub fn blocks_lent(&self) -> usize {
        self.blocks.lent
    }

    /// See [`Executor::blocks_committed`](crate::Executor::blocks_committed).
    pub(crate) fn blocks_committed(&self) -> usize {
        self.blocks.committed
    }

    /// See [`Executor::blocks_peak`](crate::Executor::blocks_peak).
    pub(crate) fn blocks_peak(&self) -> usize {
        self.blocks.peak
    }

    /// See [`Executor::reset_peak`](crate::Executor::reset_peak).
    pub(crate) fn reset_peak(&mut self) {
        self.blocks.peak = self.blocks.lent;
    }

    /// See [`Executor::decommit`](crate::Executor::decommit).
    pub(crate) fn decommit(&mut self, count: usize) -> usize {
        let spare = self.blocks.committed.saturating_sub(self.blocks.peak);
        let count = count.min(spare);
        for _ in 0..count {
            self.blocks.decommit();
        }
        count
    }

    /// Keeps the first `count` bytes of the shared input.
    pub(crate) fn keep_input(&mut self, count: usize) -> BufferedBytes {
        BufferedBytes(self.blocks.keep(&self.input.as_ref()[..count]))
    }

    /// Returns a block to the pool. Its index is from [`BufferedBytes::advance`].
    pub(crate) fn give_back(&mut self, block: u32) {
        self.blocks.give_back(block);
    }

    /// Returns the bytes of `held`, and the output buffer for the answer.
    pub(crate) fn held_and_output<'b>(&'b mut self, held: &'b BufferedBytes) -> (&'b [u8], &'b mut [u8]) {
        (self.blocks.look(&held.0), self.output.as_mut())
    }

    /// Returns the first `count` bytes of the shared input, and the output buffer for the answer.
    pub(crate) fn input_and_output(&mut self, count: usize) -> (&[u8], &mut [u8]) {
        (&self.input.as_ref()[..count], self.output.as_mut())
    }
}

/// A block of the pool.
pub struct Block<B> {
    /// `None` if the memory was released.
    bytes: Option<B>,
    next: u32,
}

struct Blocks<S: Storage> {
    blocks: S::Blocks<Block<S::Bytes>>,
    /// The head of the list of free blocks with memory. The block that was used last comes first.
    free: u32,
    /// The head of the list of blocks whose memory was released.
    decommitted: u32,
    lent: usize,
    /// The number of blocks that have memory.
    committed: usize,
    /// The most blocks that were lent at a time since the peak was reset.
    peak: usize,
    storage: S,
}

impl<S: Storage> Blocks<S> {
    fn new(storage: &S) -> Self {
        let (blocks, storage) = (storage.blocks(), storage.clone());
        Self { blocks, free: NONE, decommitted: NONE, lent: 0, committed: 0, peak: 0, storage }
    }

    fn look<'b>(&'b self, place: &'b BufferRepr) -> &'b [u8] {
        match place {
            BufferRepr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            BufferRepr::Block { block, start, end } => {
                let block = self.blocks.items().get(*block as usize);
                let bytes = block.and_then(|block| block.bytes.as_ref());
                bytes.map_or(&[], |bytes| &bytes.as_ref()[usize::from(*start)..usize::from(*end)])
            }
        }
    }

    fn keep(&mut self, rest: &[u8]) -> BufferRepr {
        let mut bytes = [0; INLINE];
        if let Some(place) = bytes.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
            let len = u8::try_from(rest.len()).unwrap_or(0);
            return BufferRepr::Inline { len, bytes };
        }
        // A caller that read more than fits inline saw in this same step that a block was free.
        let Some(block) = self.borrow() else {
            debug_assert!(false, "more was read than could be kept");
            return BufferedBytes::EMPTY.0;
        };
        let bytes = self.blocks.items_mut()[block as usize].bytes.get_or_insert_with(|| self.storage.bytes());
        bytes.as_mut()[..rest.len()].copy_from_slice(rest);
        BufferRepr::Block { block, start: 0, end: u16::try_from(rest.len()).unwrap_or(u16::MAX) }
    }

    fn borrow(&mut self) -> Option<u32> {
        let block = match self.take_free() {
            Some(block) => block,
            None => self.commit()?,
        };
        self.lent += 1;
        self.peak = self.peak.max(self.lent);
        Some(block)
    }

    fn take_free(&mut self) -> Option<u32> {
        let first = self.free;
        self.free = self.blocks.items().get(first as usize)?.next;
        Some(first)
    }

    /// Removes and returns a block without memory. The caller allocates its memory.
    fn commit(&mut self) -> Option<u32> {
        let block = self.decommitted;
        let block = if let Some(Block { next, .. }) = self.blocks.items().get(block as usize) {
            self.decommitted = *next;
            block
        } else {
            let index = u32::try_from(self.blocks.items().len()).ok()?;
            self.blocks.push(Block { bytes: None, next: NONE }).ok()?;
            index
        };
        self.committed += 1;
        Some(block)
    }

    /// Releases the memory of a free block.
    fn decommit(&mut self) {
        let block = self.take_free();
        debug_assert!(block.is_some(), "blocks above the peak are free");
        let Some(block) = block else { return };
        let Block { bytes, next } = &mut self.blocks.items_mut()[block as usize];
        *bytes = None;
        *next = self.decommitted;
        self.decommitted = block;
        self.committed -= 1;
    }

    fn give_back(&mut self, block: u32) {
        let Some(Block { next, .. }) = self.blocks.items_mut().get_mut(block as usize) else {
            debug_assert!(false, "what is given back was lent");
            return;
        };
        *next = self.free;
        self.free = block;
        self.lent -= 1;
    }
}

/// Bytes that a task keeps between steps: a few inline, more in a block, which returns to the pool as soon as it is
/// empty. Call [`clear`](Self::clear) before this value is dropped.
#[derive(Debug)]
pub struct BufferedBytes(BufferRepr);

#[derive(Debug)]
enum BufferRepr {
    Inline { len: u8, bytes: [u8; INLINE] },
    Block { block: u32, start: u16, end: u16 },
}

impl BufferedBytes {
    /// No bytes.
    pub const EMPTY: Self = Self(BufferRepr::Inline { len: 0, bytes: [0; INLINE] });

    /// Returns true if no bytes are kept.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, BufferRepr::Inline { len: 0, .. })
    }

    /// Keeps the bytes `range` of the shared input, which were received within [`Buffers::read_limit`] in this step.
    /// Call this only while no bytes are kept.
    pub fn keep_input<S: Storage>(&mut self, buffers: &mut Buffers<S>, range: Range<usize>) {
        debug_assert!(self.is_empty(), "no bytes are kept yet");
        self.0 = buffers.blocks.keep(&buffers.input.as_ref()[range]);
    }

    /// Keeps the bytes `range` of the shared output, as [`keep_input`](Self::keep_input) does for the input.
    pub fn keep_output<S: Storage>(&mut self, buffers: &mut Buffers<S>, range: Range<usize>) {
        debug_assert!(self.is_empty(), "no bytes are kept yet");
        self.0 = buffers.blocks.keep(&buffers.output.as_ref()[range]);
    }

    /// Returns the bytes that are kept.
    #[must_use]
    pub fn bytes<'b, S: Storage>(&'b self, buffers: &'b Buffers<S>) -> &'b [u8] {
        buffers.blocks.look(&self.0)
    }

    /// Releases the first `count` bytes.
    pub fn consume<S: Storage>(&mut self, buffers: &mut Buffers<S>, count: usize) {
        if let Some(block) = self.advance(count) {
            buffers.blocks.give_back(block);
        }
    }

    /// Returns the bytes that are kept, if they are inline.
    #[inline]
    pub(crate) fn inline(&self) -> Option<&[u8]> {
        match &self.0 {
            BufferRepr::Inline { len, bytes } => Some(&bytes[..usize::from(*len)]),
            BufferRepr::Block { .. } => None,
        }
    }

    /// Releases the first `count` bytes. If that empties a block, returns the index of the block, which the caller
    /// returns to the pool.
    #[must_use]
    pub(crate) fn advance(&mut self, count: usize) -> Option<u32> {
        match &mut self.0 {
            BufferRepr::Inline { len, bytes } => {
                let all = usize::from(*len);
                let kept = all.saturating_sub(count);
                bytes.copy_within(all - kept..all, 0);
                *len = u8::try_from(kept).unwrap_or(0);
                None
            }
            BufferRepr::Block { block, start, end } => {
                let (block, count) = (*block, u16::try_from(count).unwrap_or(u16::MAX));
                *start = start.saturating_add(count).min(*end);
                (start == end).then(|| {
                    *self = Self::EMPTY;
                    block
                })
            }
        }
    }

    /// Releases all bytes.
    pub fn clear<S: Storage>(&mut self, buffers: &mut Buffers<S>) {
        self.consume(buffers, usize::MAX);
    }
}
