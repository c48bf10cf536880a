//! Bytes on their way. An idle connection holds no buffer: input is read into one shared buffer of the
//! loop, and only what has to outlive the step is kept, in the task itself or in a block from a pool.

use core::ops::Range;

use crate::kernel::slab::NONE;
use crate::kernel::storage::{Slots, Storage};

/// How many bytes a task can keep in its own place.
const INLINE: usize = 8;

/// The shared buffers of a loop, and the pool of blocks.
pub struct Buffers<S: Storage> {
    /// The bytes that were just received. They last until the step ends.
    pub input: S::Bytes,
    /// The bytes that are to be sent. They last until the step ends.
    pub output: S::Bytes,
    blocks: Blocks<S>,
}

impl<S: Storage> Buffers<S> {
    pub(crate) fn new(storage: &S) -> Self {
        Self { input: storage.bytes(), output: storage.bytes(), blocks: Blocks::new(storage) }
    }

    /// How much may be received now so that all of it could be kept: a block's worth, or, when no block
    /// is left, a small bite that fits the task.
    #[must_use]
    #[inline]
    pub fn read_limit(&self) -> usize {
        if self.blocks.lent < self.blocks.blocks.limit() { self.input.as_ref().len() } else { INLINE }
    }

    /// Blocks that are lent out now.
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

    /// Takes a block back, whose index is from [`BufferedBytes::advance`].
    pub(crate) fn give_back(&mut self, block: u32) {
        self.blocks.give_back(block);
    }

    /// What `held` holds, beside the output buffer to answer it in.
    pub(crate) fn held_and_output<'b>(&'b mut self, held: &'b BufferedBytes) -> (&'b [u8], &'b mut [u8]) {
        (self.blocks.look(&held.0), self.output.as_mut())
    }

    /// The first `count` bytes of the shared input, beside the output buffer to answer them in.
    pub(crate) fn input_and_output(&mut self, count: usize) -> (&[u8], &mut [u8]) {
        (&self.input.as_ref()[..count], self.output.as_mut())
    }
}

/// A block of the pool.
pub struct Block<B> {
    /// None, where its memory was given back.
    bytes: Option<B>,
    next: u32,
}

struct Blocks<S: Storage> {
    blocks: S::Blocks<Block<S::Bytes>>,
    /// The first of those that are free and have memory; the last one used is the next.
    free: u32,
    /// The first of those whose memory was given back.
    decommitted: u32,
    lent: usize,
    /// Blocks that have memory.
    committed: usize,
    /// The most that were lent at a time, since it was last reset.
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
        // Whoever read more than a bite had seen that a block was free, in this very step.
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

    /// Takes a block without memory, which the caller gives some.
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

    /// Gives back the memory of a block that is free.
    fn decommit(&mut self) {
        let block = self.take_free();
        debug_assert!(block.is_some(), "what nobody has is free");
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

/// Bytes that a task keeps: a few in its own place, more in a block that goes back to the pool as soon as it
/// is empty. Call [`clear`](Self::clear) before it is dropped.
#[derive(Debug)]
pub struct BufferedBytes(BufferRepr);

#[derive(Debug)]
enum BufferRepr {
    Inline { len: u8, bytes: [u8; INLINE] },
    Block { block: u32, start: u16, end: u16 },
}

impl BufferedBytes {
    /// Nothing.
    pub const EMPTY: Self = Self(BufferRepr::Inline { len: 0, bytes: [0; INLINE] });

    /// Returns true if it holds nothing.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, BufferRepr::Inline { len: 0, .. })
    }

    /// Keeps the part `range` of the shared input, which was received within [`Buffers::read_limit`] in this
    /// step. It must hold nothing yet.
    pub fn keep_input<S: Storage>(&mut self, buffers: &mut Buffers<S>, range: Range<usize>) {
        debug_assert!(self.is_empty(), "one thing is kept at a time");
        self.0 = buffers.blocks.keep(&buffers.input.as_ref()[range]);
    }

    /// Keeps the part `range` of the shared output, as [`keep_input`](Self::keep_input) does of the input.
    pub fn keep_output<S: Storage>(&mut self, buffers: &mut Buffers<S>, range: Range<usize>) {
        debug_assert!(self.is_empty(), "one thing is kept at a time");
        self.0 = buffers.blocks.keep(&buffers.output.as_ref()[range]);
    }

    /// Returns the bytes that it holds.
    #[must_use]
    pub fn bytes<'b, S: Storage>(&'b self, buffers: &'b Buffers<S>) -> &'b [u8] {
        buffers.blocks.look(&self.0)
    }

    /// Lets go of the first `count` bytes.
    pub fn consume<S: Storage>(&mut self, buffers: &mut Buffers<S>, count: usize) {
        if let Some(block) = self.advance(count) {
            buffers.blocks.give_back(block);
        }
    }

    /// Returns the bytes that are held, if they are in the task's own place.
    #[inline]
    pub(crate) fn inline(&self) -> Option<&[u8]> {
        match &self.0 {
            BufferRepr::Inline { len, bytes } => Some(&bytes[..usize::from(*len)]),
            BufferRepr::Block { .. } => None,
        }
    }

    /// Lets go of the first `count` bytes, and of the block where that is empty now: the pool is to have it back.
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

    /// Lets go of everything.
    pub fn clear<S: Storage>(&mut self, buffers: &mut Buffers<S>) {
        self.consume(buffers, usize::MAX);
    }
}
