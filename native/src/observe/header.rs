//! The first page of the published memory: where the tables are, the state of the loop, and its counters.

use std::mem::size_of;
use std::sync::atomic::{AtomicU32, AtomicU64};

use sinbin_core::observe::directory::HANDLE_WORDS;
use sinbin_core::observe::{JOB_WORDS, LAYOUT, SOURCE_WORDS, TASK_WORDS, TIMER_WORDS};

/// The number at the beginning of the memory. It also tells the order of bytes.
pub(crate) const MAGIC: u64 = u64::from_be_bytes(*b"sinbin\x01\n");

/// The version of the header and of the rows in this directory. The version of the kernel's rows is added to it.
pub(crate) const VERSION: u32 = LAYOUT << 16 | 6;

/// A table of the published memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// The kernel's tasks.
    Tasks,
    /// The kernel's sources.
    Sources,
    /// The kernel's jobs.
    Jobs,
    /// The kernel's timers.
    Timers,
    /// The names and parents of tasks.
    Names,
    /// The kinds and addresses of sources.
    Addresses,
    /// The positions of labels.
    Labels,
    /// The texts of labels.
    Texts,
    /// The last events, as a ring.
    Events,
    /// The handles of a guest's sources, by the sources of the guest's kernel.
    Handles,
    /// The present wait of a WASI command as the first row, and what it waits for.
    Pollables,
}

pub(crate) const PARTS: [Part; 11] = [
    Part::Tasks,
    Part::Sources,
    Part::Jobs,
    Part::Timers,
    Part::Names,
    Part::Addresses,
    Part::Labels,
    Part::Texts,
    Part::Events,
    Part::Handles,
    Part::Pollables,
];

/// The number of words of a name's row: generation, label, parent (index and generation), moment of the spawn (two
/// words), label and kind of the named synchronizer that the task waits for, and source that the task serves.
pub(crate) const NAME_WORDS: usize = 8;
/// The number of words of an address's row: generation, kind and port, and the address (four words).
pub(crate) const ADDRESS_WORDS: usize = 6;
/// The number of words of a label's row: offset and lengths of its name and its place.
pub(crate) const LABEL_WORDS: usize = 2;
/// The number of words of an event: number (two words), moment (two words), kind, task (two words), argument.
pub(crate) const EVENT_WORDS: usize = 8;
/// The number of words of a pollable: kind and port, the address (four words), the moment since which it is not ready (two
/// words), and its deadline (two words). The first row of the table is another one: number of the wait, its moment (two
/// words), and the number of its pollables.
pub(crate) const POLLABLE_WORDS: usize = 9;

/// The maximum number of labels, at most 65,535. Tasks with further labels are shown without a name.
pub(crate) const MAX_LABELS: usize = 4096;
/// The maximum number of bytes of all labels.
pub(crate) const MAX_TEXT: usize = 256 * 1024;
/// The number of events that are kept.
pub(crate) const MAX_EVENTS: usize = 1024;

impl Part {
    /// Returns the number of words of a row.
    pub(crate) const fn words(self) -> usize {
        match self {
            Self::Tasks => TASK_WORDS,
            Self::Sources => SOURCE_WORDS,
            Self::Jobs => JOB_WORDS,
            Self::Timers => TIMER_WORDS,
            Self::Names => NAME_WORDS,
            Self::Addresses => ADDRESS_WORDS,
            Self::Labels => LABEL_WORDS,
            Self::Texts => 1,
            Self::Events => EVENT_WORDS,
            Self::Handles => HANDLE_WORDS,
            Self::Pollables => POLLABLE_WORDS,
        }
    }
}

/// The position of a table.
#[repr(C)]
pub(crate) struct Span {
    /// The offset from the beginning of the memory, in bytes.
    pub(crate) offset: AtomicU64,
    /// The maximum number of rows.
    pub(crate) limit: AtomicU32,
    /// The number of words of a row.
    pub(crate) words: AtomicU32,
    /// The number of rows that were ever in use.
    pub(crate) len: AtomicU32,
    unused: AtomicU32,
}

/// The activity of a loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// The loop has not begun.
    Starting,
    /// The loop waits for events.
    Waiting,
    /// The loop runs tasks.
    Running,
    /// The loop computes a slice of a job.
    Computing,
    /// The loop has ended.
    Ended,
}

impl Phase {
    /// Returns the name of the phase, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Computing => "computing",
            Self::Ended => "ended",
        }
    }

    pub(crate) const fn decode(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Starting),
            1 => Some(Self::Waiting),
            2 => Some(Self::Running),
            3 => Some(Self::Computing),
            4 => Some(Self::Ended),
            _ => None,
        }
    }
}

/// The guest that a loop drives instead of tasks of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Drives {
    /// A guest that is called for each turn.
    Guest = 1,
    /// A WASI command, which polls.
    Command = 2,
}

/// The counters that a loop publishes before each wait.
pub(crate) const COUNTERS: usize = 16;

/// The first page. All numbers are atomics: one process writes them while others read them. Cache lines separate what
/// changes with each step from the rest.
#[repr(C, align(64))]
pub(crate) struct Header {
    pub(crate) magic: AtomicU64,
    pub(crate) version: AtomicU32,
    pub(crate) pid: AtomicU32,
    /// The thread of the loop, as of its first wait.
    pub(crate) thread: AtomicU32,
    /// The label of the service.
    pub(crate) service: AtomicU32,
    /// 0 if the loop runs its own tasks, and otherwise a [`Drives`].
    pub(crate) drives: AtomicU32,
    /// The descriptor of the pipe for commands, plus 1; 0 if the loop accepts none.
    pub(crate) control: AtomicU32,
    /// The descriptor of the memory of a guest in a sandbox, plus 1; 0 if there is none.
    pub(crate) guest: AtomicU32,
    unused: AtomicU32,
    /// The number of that pipe in the system.
    pub(crate) control_inode: AtomicU64,
    /// The beginning of the loop, in nanoseconds since 1970.
    pub(crate) started: AtomicU64,
    /// The system's monotonic clock at the loop's `Instant::ZERO`, in nanoseconds.
    pub(crate) zero: AtomicU64,
    pub(crate) max_connections: AtomicU64,
    pub(crate) max_buffered: AtomicU64,
    pub(crate) max_jobs: AtomicU64,
    pub(crate) workers: AtomicU64,
    pub(crate) parts: [Span; PARTS.len()],
    pub(crate) steady: Steady,
    pub(crate) turning: Turning,
}

/// The numbers that change with each step.
#[repr(C, align(64))]
pub(crate) struct Steady {
    /// The number of marks: odd during a change of the kernel's tables.
    pub(crate) marks: AtomicU64,
    /// The number of steps.
    pub(crate) steps: AtomicU64,
    /// The oldest task in the run queue, which is the running task during a step.
    pub(crate) head: AtomicU32,
}

/// The numbers that change with each turn.
#[repr(C, align(64))]
pub(crate) struct Turning {
    /// The number of waits.
    pub(crate) waits: AtomicU64,
    /// The loop's time at the beginning of the turn.
    pub(crate) now: AtomicU64,
    /// The number of steps before the turn.
    pub(crate) before: AtomicU64,
    /// The [`Phase`].
    pub(crate) phase: AtomicU32,
    /// 1 if the loop drains.
    pub(crate) draining: AtomicU32,
    /// The number of events so far.
    pub(crate) events: AtomicU64,
    /// The number of connections that were cut off when the time to drain was over.
    pub(crate) cut: AtomicU64,
    /// The wait of a WASI command that its pollables were listed in.
    pub(crate) listed: AtomicU32,
    unused: AtomicU32,
    pub(crate) counters: [AtomicU64; COUNTERS],
}

/// The number of bytes before the first table.
pub(crate) const FIRST: usize = 4096;

const _: () = assert!(size_of::<Header>() <= FIRST, "the header fits into a page");
