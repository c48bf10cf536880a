//! The loop's side of the published memory: where the tables are made, and the marks around their changes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use sinbin_core::SourceId;
use sinbin_core::observe::Beacon;
use sinbin_core::observe::directory::HANDLE_WORDS;

use crate::observe::event::halves;
use crate::observe::find::NAME;
use crate::observe::header::{FIRST, MAGIC, MAX_EVENTS, MAX_LABELS, MAX_TEXT, PARTS, Part, VERSION};
use crate::observe::region::{HeaderRef, Region};
use crate::observe::table::Table;

/// The parts of a board that tables are made of.
pub(crate) type Taken = Arc<[AtomicBool; PARTS.len()]>;

/// The memory of a loop that other processes may read.
#[derive(Clone)]
pub(crate) struct Board {
    region: Arc<Region>,
    /// The parts that tables were made of.
    taken: Taken,
    is_on: bool,
}

impl Board {
    /// Creates a board that no other process can read.
    pub(crate) fn off() -> Self {
        Self { region: Region::private(), taken: Arc::default(), is_on: false }
    }

    /// Creates a board that other processes of the user can read, for so many tasks, sources and jobs.
    ///
    /// # Errors
    ///
    /// Fails with the error of the system, and with [`io::ErrorKind::Unsupported`] on systems other than Linux.
    pub(crate) fn on(tasks: usize, jobs: usize) -> io::Result<Self> {
        Self::with_limits(tasks, jobs, 0)
    }

    /// Creates a board for a WASI command, whose host lists so many rows of pollables.
    ///
    /// # Errors
    ///
    /// Fails as [`on`](Self::on) does.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "only a host of WASI commands uses it, which needs Unix")
    )]
    pub(crate) fn of_command(pollables: usize) -> io::Result<Self> {
        Self::with_limits(0, 0, pollables)
    }

    fn with_limits(tasks: usize, jobs: usize, pollables: usize) -> io::Result<Self> {
        let mut offset = FIRST;
        let mut spans = Vec::new();
        for part in PARTS {
            let limit = match part {
                Part::Tasks
                | Part::Sources
                | Part::Timers
                | Part::Names
                | Part::Addresses
                | Part::Handles => tasks,
                Part::Jobs => jobs,
                Part::Labels => MAX_LABELS,
                Part::Texts => MAX_TEXT / 4,
                Part::Events => MAX_EVENTS,
                Part::Pollables => pollables,
            };
            let limit = u32::try_from(limit).map_err(|_| io::ErrorKind::OutOfMemory)?;
            spans.push((offset, limit));
            // Each table begins at a page of its own: what is never used then needs no memory.
            offset = (offset + limit as usize * part.words() * 4).next_multiple_of(FIRST);
        }
        let (region, _) = Region::shared(NAME, offset, |_| Ok(()))?;
        let header = region.header();
        for (part, (offset, limit)) in PARTS.into_iter().zip(spans) {
            let span = &header.parts[part as usize];
            span.offset.store(offset as u64, Ordering::Relaxed);
            span.limit.store(limit, Ordering::Relaxed);
            span.words.store(u32::try_from(part.words()).unwrap_or(0), Ordering::Relaxed);
        }
        header.pid.store(std::process::id(), Ordering::Relaxed);
        header.version.store(VERSION, Ordering::Relaxed);
        header.steady.head.store(u32::MAX, Ordering::Relaxed);
        header.magic.store(MAGIC, Ordering::Release);
        Ok(Self { region, taken: Arc::default(), is_on: true })
    }

    /// Returns true if other processes can read the board.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Returns a reference to the header.
    pub(crate) fn header(&self) -> HeaderRef {
        HeaderRef::new(&self.region)
    }

    /// Creates the table `part`, where others can read it the first time that this is called on a board that is on, and
    /// on the heap otherwise.
    pub(crate) fn table<T>(&self, part: Part, limit: usize) -> Table<T> {
        let is_free = self.is_on && !self.taken[part as usize].swap(true, Ordering::Relaxed);
        let shared = is_free.then(|| Table::shared(&self.region, part, limit, &self.taken)).flatten();
        shared.unwrap_or_else(|| Table::heap(limit))
    }

    /// Notes the driver's handle of a source of a guest in this process.
    pub(crate) fn note_handle(&self, source: SourceId, handle: u64) {
        if !self.is_on {
            return;
        }
        let span = &self.region.header().parts[Part::Handles as usize];
        let is_within = source.index() < span.limit.load(Ordering::Relaxed) as usize;
        let offset = usize::try_from(span.offset.load(Ordering::Relaxed)).ok().filter(|_| is_within);
        let row = offset
            .and_then(|offset| self.region.words(offset + 4 * HANDLE_WORDS * source.index(), HANDLE_WORDS));
        if let Some([generation, number]) = row {
            generation.store(0, Ordering::Relaxed);
            fence(Ordering::Release);
            number.store(halves(handle)[0], Ordering::Relaxed);
            generation.store(halves(source.to_bits())[1], Ordering::Release);
        }
    }

    /// Creates the marks of the kernel.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.header())
    }
}

/// Returns the memory of a loop that `observe`d processes share, for so many tasks and jobs. If the system cannot provide
/// it, a warning is logged, and no other process can read the memory.
pub(crate) fn board(observe: bool, tasks: usize, jobs: usize) -> Board {
    if !observe {
        return Board::off();
    }
    Board::on(tasks, jobs).unwrap_or_else(|error| {
        tracing::warn!(%error, "other processes can't look at this one");
        Board::off()
    })
}

/// The marks around the changes of a kernel's tables: a counter that is odd during a change (a seqlock).
pub struct Mark(HeaderRef);

impl Beacon for Mark {
    #[inline]
    fn begin(&self) {
        let marks = &self.0.steady.marks;
        marks.store(marks.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        // The store above comes before the changes of the tables, which are not atomic.
        fence(Ordering::Release);
    }

    #[inline]
    fn end(&self, head: u32) {
        let steady = &self.0.steady;
        steady.head.store(head, Ordering::Relaxed);
        steady.marks.store(steady.marks.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    #[inline]
    fn rotated(&self, head: u32) {
        self.0.steady.head.store(head, Ordering::Relaxed);
    }
}
