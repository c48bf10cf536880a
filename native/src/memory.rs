//! The memory of a native loop: tables on the heap, and blocks of bytes that go back to the system when they have not been
//! needed for a while.
//!
//! An allocator would keep most of what is given back to it: in the heap of the C library, blocks lie between things that
//! live longer. So each is a mapping of its own.

use std::time::Duration;

use memmap2::MmapMut;
use sinbin_core::{Executor, Growing, Host, Instant, Limits, Storage, Task};

/// How long a block must not have been needed.
const PERIOD: Duration = Duration::from_secs(1);

/// Blocks whose memory is given back at a time, so that nobody waits for it: it takes a microsecond or two for each.
const PORTION: usize = 32;

/// Storage on the heap, with blocks that are mappings.
#[derive(Clone)]
pub struct Memory {
    limits: Limits,
}

impl Memory {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits }
    }
}

impl Storage for Memory {
    type Tasks<T> = Growing<T>;
    type Sources<T> = Growing<T>;
    type Jobs<T> = Growing<T>;
    type Blocks<T> = Growing<T>;
    type Bytes = Bytes;

    fn tasks<T>(&self) -> Growing<T> {
        Storage::tasks(&self.limits)
    }

    fn sources<T>(&self) -> Growing<T> {
        Storage::sources(&self.limits)
    }

    fn jobs<T>(&self) -> Growing<T> {
        self.limits.jobs()
    }

    fn blocks<T>(&self) -> Growing<T> {
        self.limits.blocks()
    }

    fn bytes(&self) -> Bytes {
        match MmapMut::map_anon(self.limits.block_size()) {
            Ok(mapping) => Bytes::Mapped(mapping),
            Err(_) => Bytes::Allocated(self.limits.bytes()),
        }
    }

    /// Puts a mapping in its place that nobody has touched, which costs address space alone.
    fn decommit(&self, block: &mut Bytes) {
        *block = self.bytes();
    }
}

/// The bytes of a block.
pub enum Bytes {
    /// From the system.
    Mapped(MmapMut),
    /// From the heap, where the system gives no mapping: it limits how many a process has.
    Allocated(Box<[u8]>),
}

impl AsRef<[u8]> for Bytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping) => mapping,
            Self::Allocated(bytes) => bytes,
        }
    }
}

impl AsMut<[u8]> for Bytes {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Mapped(mapping) => mapping,
            Self::Allocated(bytes) => bytes,
        }
    }
}

/// When memory is given back: of the blocks that nobody needed for a whole period, in portions.
pub(crate) struct Decay {
    /// The end of this period.
    ends: Instant,
    /// Blocks whose memory is to be given back.
    due: usize,
}

impl Decay {
    pub(crate) const fn new() -> Self {
        Self { ends: Instant::ZERO, due: 0 }
    }

    /// Gives back a portion of what is due now.
    #[inline]
    pub(crate) fn go_on<H: Host<Task: Task<H> + Unpin>>(&mut self, executor: &mut Executor<H>, now: Instant) {
        if now >= self.ends || self.due > 0 {
            self.give_back(executor, now);
        }
    }

    #[cold]
    fn give_back<H: Host<Task: Task<H> + Unpin>>(&mut self, executor: &mut Executor<H>, now: Instant) {
        if now >= self.ends {
            self.ends = now + PERIOD;
            self.due = executor.spare_blocks();
        }
        let portion = self.due.min(PORTION);
        executor.decommit(portion);
        self.due -= portion;
    }

    /// When to go on at the latest, if nothing happens before.
    #[inline]
    pub(crate) fn next<H: Host<Task: Task<H> + Unpin>>(&self, executor: &Executor<H>) -> Instant {
        match () {
            () if self.due > 0 => Instant::ZERO,
            () if executor.blocks_committed() > executor.blocks_lent() => self.ends,
            () => Instant::NEVER,
        }
    }
}
