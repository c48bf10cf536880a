//! The memory of a native loop: tables on the heap, and blocks of bytes that are returned to the system when they have
//! not been needed for some time.
//!
//! An allocator would keep most of the freed memory: in the heap of the C library, blocks lie between objects that live
//! longer. Each block is therefore a separate mapping.

use std::time::Duration;

use memmap2::MmapMut;
use sinbin_core::kernel::{Slots, Storage};
use sinbin_core::{Executor, Host, Instant, Limits, SourceId, Task};

use crate::observe::{Board, Mark, Part, Table};

/// The length of a period. A block whose memory was not needed for a whole period is released.
const PERIOD: Duration = Duration::from_secs(1);

/// The number of blocks whose memory is released at a time. Releasing a block takes one or two microseconds, so a
/// portion does not delay the loop noticeably.
const PORTION: usize = 32;

/// Storage on the heap, with blocks that are mappings, and with the kernel's tables on the board that others may read.
#[derive(Clone)]
pub struct Memory {
    limits: Limits,
    board: Board,
}

impl Memory {
    pub(crate) fn new(limits: Limits, board: Board) -> Self {
        Self { limits, board }
    }
}

impl Storage for Memory {
    type Tasks<T> = Table<T>;
    type Sources<T> = Table<T>;
    type Jobs<T> = Table<T>;
    type Blocks<T> = Table<T>;
    type Bytes = Bytes;
    type Beacon = Mark;

    fn tasks<T>(&self) -> Table<T> {
        Table::heap(self.limits.tasks())
    }

    fn sources<T>(&self) -> Table<T> {
        self.board.table(Part::Sources, self.limits.sources())
    }

    fn jobs<T>(&self) -> Table<T> {
        self.board.table(Part::Jobs, self.limits.jobs::<T>().limit())
    }

    fn blocks<T>(&self) -> Table<T> {
        Table::heap(self.limits.blocks::<T>().limit())
    }

    fn task_slots<T>(&self) -> Table<T> {
        self.board.table(Part::Tasks, self.limits.tasks())
    }

    fn timers<T>(&self) -> Table<T> {
        self.board.table(Part::Timers, self.limits.tasks())
    }

    fn beacon(&self) -> Mark {
        self.board.mark()
    }

    fn note_handle(&self, source: SourceId, handle: u64) {
        self.board.note_handle(source, handle);
    }

    /// Allocates on the heap if a page is larger than a block, because a mapping would waste the rest of the page.
    fn bytes(&self) -> Bytes {
        let size = self.limits.block_size();
        let mapping = (page_size() <= size).then(|| MmapMut::map_anon(size));
        match mapping {
            Some(Ok(mapping)) => Bytes::Mapped(mapping),
            Some(Err(_)) | None => Bytes::Allocated(self.limits.bytes()),
        }
    }
}

#[cfg(unix)]
fn page_size() -> usize {
    rustix::param::page_size()
}

/// Returns the page size of the supported systems that provide no way to query it.
#[cfg(not(unix))]
fn page_size() -> usize {
    4096
}

/// The bytes of a block.
pub enum Bytes {
    /// Memory mapped from the system.
    Mapped(MmapMut),
    /// Memory from the heap, used if a page is larger than a block or if the system refuses the mapping (the number of
    /// mappings of a process is limited).
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

/// Releases memory of unused blocks. Once in a period, the number of blocks that were never lent in the period before
/// becomes due; their memory is released in portions. Blocks in use keep their memory. Two periods after the last use,
/// all memory is released.
pub(crate) struct Decay {
    /// The end of the current period.
    ends: Instant,
    /// The number of blocks whose memory is still to be released.
    due: usize,
}

impl Decay {
    pub(crate) const fn new() -> Self {
        Self { ends: Instant::ZERO, due: 0 }
    }

    /// Releases a portion of the memory that is due at `now`.
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
            self.due = executor.blocks_committed().saturating_sub(executor.blocks_peak());
            executor.reset_peak();
        }
        let portion = self.due.min(PORTION);
        let given = executor.decommit(portion);
        // If fewer blocks than requested were released, the others are in use again and no longer due.
        self.due = if given == portion { self.due - portion } else { 0 };
    }

    /// Returns the time at which [`go_on`](Self::go_on) must be called if no other event occurs before.
    #[inline]
    pub(crate) fn next<H: Host<Task: Task<H> + Unpin>>(&self, executor: &Executor<H>) -> Instant {
        match () {
            () if self.due > 0 => Instant::ZERO,
            () if executor.blocks_committed() > executor.blocks_lent() => self.ends,
            () => Instant::NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use sinbin_core::exec::BufferedBytes;
    use sinbin_core::{Cx, Fixed, IoError, SourceId, Step, TaskId, Wait};

    use super::*;

    const BLOCKS: usize = 2 * PORTION + 6;

    /// A host without I/O.
    struct Nothing;

    impl Host for Nothing {
        type Storage = Fixed<BLOCKS, 0, 0, BLOCKS, 16>;
        type Task = Keeps;

        fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
            Err(IoError::Unsupported)
        }

        fn recv(&mut self, _: SourceId, _: &mut [u8]) -> Result<usize, IoError> {
            Err(IoError::Unsupported)
        }

        fn send(&mut self, _: SourceId, _: &[u8]) -> Result<usize, IoError> {
            Err(IoError::Unsupported)
        }

        fn close(&mut self, _: SourceId) {}

        fn serve(&mut self, _: SourceId, _: SourceId) -> Keeps {
            unreachable!("nothing is accepted")
        }
    }

    /// A task that keeps a block until it is cancelled.
    struct Keeps(BufferedBytes);

    impl Task<Nothing> for Keeps {
        fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, Nothing>) -> Step {
            let held = &mut self.get_mut().0;
            if !held.is_empty() {
                return Step::Done;
            }
            held.keep_input(cx.buffers, 0..16);
            Step::Wait(Wait::wake())
        }

        fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, Nothing>) {
            self.get_mut().0.clear(cx.buffers);
        }
    }

    /// An executor with its tasks and its time.
    struct Loop {
        executor: Box<Executor<Nothing>>,
        tasks: Vec<TaskId>,
        decay: Decay,
        now: Instant,
    }

    impl Loop {
        fn new() -> Self {
            let executor = Box::new(Executor::new(&Fixed));
            Self { executor, tasks: Vec::new(), decay: Decay::new(), now: Instant::ZERO }
        }

        fn lend(&mut self, count: usize) {
            for _ in 0..count {
                self.tasks
                    .push(self.executor.spawn(Keeps(BufferedBytes::EMPTY)).ok().expect("there is room"));
            }
            self.executor.turn(self.now, &mut Nothing);
        }

        fn give_back(&mut self, count: usize) {
            for task in self.tasks.drain(..count) {
                assert!(self.executor.kernel.cancel(task));
            }
            self.executor.turn(self.now, &mut Nothing);
        }

        /// Runs one turn. Returns the number of blocks with memory, and the time of the next turn.
        fn go_on(&mut self) -> (usize, Instant) {
            self.decay.go_on(&mut self.executor, self.now);
            (self.executor.blocks_committed(), self.decay.next(&self.executor))
        }
    }

    #[test]
    fn memory_that_is_not_needed_for_a_period_goes_in_portions() {
        let mut host = Loop::new();
        assert_eq!(host.go_on(), (0, Instant::NEVER), "no wake is scheduled without blocks");
        host.lend(BLOCKS);
        assert_eq!(host.go_on(), (BLOCKS, Instant::NEVER), "all blocks are in use");
        host.give_back(BLOCKS);
        let first = Instant::ZERO + PERIOD;
        assert_eq!(host.go_on(), (BLOCKS, first));
        host.now = first;
        assert_eq!(host.go_on(), (BLOCKS, first + PERIOD), "the blocks were needed in this period");
        host.now = first + PERIOD;
        assert_eq!(host.go_on(), (BLOCKS - PORTION, Instant::ZERO));
        assert_eq!(host.go_on(), (BLOCKS - 2 * PORTION, Instant::ZERO));
        assert_eq!(host.go_on(), (0, Instant::NEVER));
        host.lend(2);
        assert_eq!(host.go_on(), (2, Instant::NEVER), "the blocks have memory again");
    }

    #[test]
    fn what_is_needed_again_stays() {
        let mut host = Loop::new();
        host.lend(BLOCKS);
        host.give_back(BLOCKS - 1);
        for _ in 0..2 {
            host.now = host.now + PERIOD;
            host.decay.go_on(&mut host.executor, host.now);
        }
        assert_eq!(host.executor.blocks_committed(), BLOCKS - PORTION);
        host.lend(BLOCKS - PORTION - 3);
        let (committed, next) = host.go_on();
        assert_eq!(
            (committed, next),
            (BLOCKS - PORTION - 2, Instant::NEVER),
            "two of a portion are not in use"
        );
    }
}
