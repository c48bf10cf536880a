//! The tables of a guest in a sandbox, as a reader in another process finds them.
//!
//! The guest writes them, and it may be hostile: every number is checked, and the work of a look is limited by the size
//! of the memory, which the host has chosen.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::{Duration, Instant as Moment};

use sinbin_core::kernel::{Broken, TaskView};
use sinbin_core::observe::directory::{self, HANDLE_WORDS, HEAD, MARKS, NOTE_WORDS, TABLES, span};
use sinbin_core::observe::{Image, JOB_WORDS, Rows, SOURCE_WORDS, TASK_WORDS, view};
use sinbin_core::{Instant, Kernel, Limits, SourceId, TaskId};

use crate::observe::event::whole;
use crate::observe::guest_memory::{GUEST_NAME, MAX_STACK, STACK_HEAD, TABLES_AT};
use crate::observe::header::{FIRST, MAGIC, VERSION};
use crate::observe::region::{Region, copy, steady_row};
use crate::observe::snapshot::SpawnLabel;

/// The time that a reader tries to copy all tables between two changes.
const PATIENCE: Duration = Duration::from_millis(20);

/// The number of copies in a row that may be torn although no change was counted.
const TORN: usize = 3;

/// The number of attempts at one row. A change takes nanoseconds, unless the process is stopped in one.
const ATTEMPTS: usize = 10_000;

/// The tables, by their indexes in the directory.
const TASKS: usize = 0;
const SOURCES: usize = 1;
const JOBS: usize = 2;
const TIMERS: usize = 3;
const HANDLES: usize = 4;

/// The memory of a guest.
pub(crate) struct Tables {
    region: Arc<Region>,
}

/// The tasks of a guest.
pub(crate) struct Tasks {
    /// The tasks in the order of their ids.
    pub(crate) views: Vec<TaskView>,
    /// The ready tasks in the order in which they run, or in the order of their ids if the tasks are not of one moment.
    pub(crate) queue: Vec<TaskId>,
    /// The oldest ready task, if it is known. During a turn it is the one that runs.
    pub(crate) first: Option<TaskId>,
    /// True if all tasks are as they were at one moment.
    pub(crate) are_of_one_moment: bool,
}

impl Tables {
    /// Opens the memory of a guest by its descriptor in a process. Returns `None` if it is none, or is gone.
    pub(crate) fn open(pid: u32, descriptor: u32) -> Option<Self> {
        let path = format!("/proc/{pid}/fd/{descriptor}");
        let path = Path::new(&path);
        let target = fs::read_link(path).ok()?;
        if target.to_str() != Some(&format!("/memfd:{GUEST_NAME} (deleted)")) {
            return None;
        }
        let region = open(File::open(path).ok()?)?;
        let header = region.header();
        let is_known = header.magic.load(Ordering::Acquire) == MAGIC
            && header.version.load(Ordering::Relaxed) == VERSION;
        is_known.then_some(Self { region })
    }

    /// Returns the stack that the host has noted last, and its moment by the system's monotonic clock.
    pub(crate) fn stack(&self) -> Option<(u64, String)> {
        let words = self.region.words(FIRST, FIRST / 4)?;
        let copied = steady_row::<{ FIRST / 4 }>(words)?;
        let [_, at, at2, len, ..] = copied;
        let text = copied[STACK_HEAD..].iter().flat_map(|word| word.to_ne_bytes());
        let text: Vec<u8> = text.take((len as usize).min(MAX_STACK)).collect();
        Some((whole(at, at2), String::from_utf8_lossy(&text).into_owned()))
    }

    /// Returns the guest's tasks, or `None` if it publishes none.
    ///
    /// # Errors
    ///
    /// Returns [`Broken`] if the tables are not those of a kernel.
    pub(crate) fn tasks(&self, now: Instant) -> Result<Option<Tasks>, Broken> {
        let Some(guest) = GuestWords::new(self.tables()) else { return Ok(None) };
        if guest.word(0) == 0 {
            return Ok(None);
        }
        if guest.word(0) != directory::MAGIC || guest.word(1) != directory::VERSION {
            return Err(Broken("its tables have a layout that this program reads"));
        }
        guest.tasks(now).map(Some)
    }

    /// Returns the index of the host's slot for a source of the guest.
    pub(crate) fn handle(&self, source: SourceId) -> Option<usize> {
        let guest = GuestWords::new(self.tables())?;
        let rows = guest.rows(HANDLES);
        let begin = source.index().checked_mul(HANDLE_WORDS)?;
        let [generation, handle] = copy::<HANDLE_WORDS>(rows.get(begin..)?)?;
        (u64::from(generation) == source.to_bits() >> 32).then_some(handle as usize)
    }

    /// Returns what the guest has noted about a task, which may have gone on since it was seen. The words are those that
    /// [`directory`] describes, without the generation.
    pub(crate) fn note(&self, task: TaskId) -> Option<[u32; NOTE_WORDS - 1]> {
        GuestWords::new(self.tables())?.note(task)
    }

    /// Returns true if a task is in the same wait as when it was seen.
    pub(crate) fn is_same(&self, seen: &TaskView) -> bool {
        let Some(guest) = GuestWords::new(self.tables()) else { return false };
        let index = u32::try_from(seen.id.index()).unwrap_or(u32::MAX);
        matches!(guest.row(index), Some(Ok(now)) if now.as_ref() == Some(seen))
    }

    /// Returns the label with this number; 0 is none. A guest can write anything there, so a label has no control
    /// characters, and its parts have at most 1000 bytes.
    pub(crate) fn label(&self, number: u32) -> Option<SpawnLabel> {
        GuestWords::new(self.tables())?.label(number)
    }

    fn tables(&self) -> &[AtomicU32] {
        let len = self.region.len().saturating_sub(TABLES_AT);
        self.region.words(TABLES_AT, len / 4).unwrap_or(&[])
    }
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn open(file: File) -> Option<Arc<Region>> {
    Region::of(file).ok()
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn open(_: File) -> Option<Arc<Region>> {
    None
}

/// The words that a guest writes. They may change at any time, to any value.
#[derive(Clone, Copy)]
pub(super) struct GuestWords<'m>(&'m [AtomicU32]);

impl<'m> GuestWords<'m> {
    /// Returns `None` if the memory has no space for a directory.
    fn new(words: &'m [AtomicU32]) -> Option<Self> {
        (words.len() >= directory::WORDS).then_some(Self(words))
    }

    fn word(self, index: usize) -> u32 {
        self.0.get(index).map_or(0, |word| u32::from_le(word.load(Ordering::Acquire)))
    }

    /// Returns the words of the rows of a table that were ever in use, as far as they are within the memory.
    pub(super) fn rows(self, table: usize) -> &'m [AtomicU32] {
        let at = span(table);
        let (offset, limit, len) = (self.word(at), self.word(at + 1), self.word(at + 2));
        let count = (len.min(limit) as usize).saturating_mul(TABLES.get(table).copied().unwrap_or(0));
        let rest = self.0.get(offset as usize / 4..).unwrap_or(&[]);
        &rest[..rest.len().min(count)]
    }

    fn tasks(self, now: Instant) -> Result<Tasks, Broken> {
        let since = Moment::now();
        let mut broken_before = 0;
        loop {
            if let Some(copied) = self.copy() {
                match copied.tasks(now) {
                    // A processor may let a reader see the stores of a guest in another order, since a guest without
                    // threads has no fences: a copy may be torn although the counts are equal.
                    Err(_) if broken_before < TORN => broken_before += 1,
                    result => return result,
                }
            }
            if since.elapsed() > PATIENCE {
                return self.row_by_row();
            }
            // The guest may have been interrupted in the middle of a change, and may need this core.
            std::thread::yield_now();
        }
    }

    /// Copies all tables, if no change comes in between.
    fn copy(self) -> Option<Copied> {
        let marks = self.word(MARKS);
        if marks % 2 == 1 {
            return None;
        }
        let head = self.word(HEAD);
        let load = |table| -> Vec<u32> {
            self.rows(table).iter().map(|word| u32::from_le(word.load(Ordering::Relaxed))).collect()
        };
        let parts = [TASKS, SOURCES, JOBS, TIMERS].map(load);
        fence(Ordering::Acquire);
        (self.word(MARKS) == marks).then_some(Copied { parts, head })
    }

    /// Copies task by task: the guest changes its tables faster than they can be copied.
    fn row_by_row(self) -> Result<Tasks, Broken> {
        let mut views = Vec::new();
        for (index, _) in self.rows(TASKS).chunks_exact(TASK_WORDS).enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            views.extend((0..ATTEMPTS).find_map(|_| self.row(index)).ok_or(BUSY)??);
        }
        let is_ready = |view: &&TaskView| view.state == sinbin_core::kernel::TaskState::Ready;
        let queue = views.iter().filter(is_ready).map(|view| view.id).collect();
        Ok(Tasks { views, queue, first: None, are_of_one_moment: false })
    }

    /// Returns the task at `index`, or `None` if its row was changed meanwhile.
    fn row(self, index: u32) -> Option<Result<Option<TaskView>, Broken>> {
        let marks = self.word(MARKS);
        let found = row_of::<TASK_WORDS>(self.rows(TASKS), index);
        let found = found.map_or(Ok(None), |row| view(index, &row, &self));
        fence(Ordering::Acquire);
        (marks.is_multiple_of(2) && self.word(MARKS) == marks).then_some(found)
    }
}

const BUSY: Broken = Broken("a guest ends each change of its tables");

impl Rows for GuestWords<'_> {
    fn source(&self, index: u32) -> Option<[u32; SOURCE_WORDS]> {
        row_of(self.rows(SOURCES), index)
    }

    fn job(&self, index: u32) -> Option<[u32; JOB_WORDS]> {
        row_of(self.rows(JOBS), index)
    }

    fn generation(&self, task: u32) -> Option<u32> {
        row_of::<TASK_WORDS>(self.rows(TASKS), task).map(|row| row[0])
    }
}

fn row_of<const WORDS: usize>(rows: &[AtomicU32], index: u32) -> Option<[u32; WORDS]> {
    copy::<WORDS>(rows.get((index as usize).checked_mul(WORDS)?..)?).map(|row| row.map(u32::from_le))
}

/// A copy of the tables of a guest's kernel.
struct Copied {
    parts: [Vec<u32>; 4],
    head: u32,
}

impl Copied {
    fn tasks(&self, now: Instant) -> Result<Tasks, Broken> {
        let [tasks, sources, jobs, timers] = &self.parts;
        let image = Image { tasks, sources, jobs, timers, head: self.head, now };
        let kernel: Kernel<Limits> = Kernel::restore(&image)?;
        kernel.audit()?;
        Ok(Tasks {
            views: kernel.tasks().collect(),
            queue: kernel.queue().collect(),
            first: kernel.queue().next(),
            are_of_one_moment: true,
        })
    }
}

#[cfg(test)]
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod tests {
    use std::io;
    use std::os::unix::fs::FileExt;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use sinbin_core::kernel::{ExpectedWaker, Step, Wait};
    use sinbin_core::{Interest, WaitTarget};

    use super::*;
    use crate::observe::board::Board;
    use crate::observe::guest_memory::GuestTables;
    use crate::observe::guest_notes::MAX_LEN;
    use crate::observe::{SourceKind, loops_of};

    /// Returns the memory of a kernel with waits of all kinds, as words.
    fn published() -> Vec<u32> {
        let mut kernel = Kernel::new(&Limits::new(8, 0, 128));
        let sources = [(); 2].map(|()| kernel.open().expect("there is room"));
        let job = kernel.begin_job().expect("there is room");
        let tasks = [(); 5].map(|()| kernel.spawn().expect("there is room"));
        kernel.advance(Instant::from_nanos(7));
        let both = Wait::recv(sources[0]).or(WaitTarget::Hangup(sources[1])).until(Instant::from_nanos(99));
        kernel.park(tasks[0], Step::Wait(both));
        kernel.park(tasks[1], Step::Wait(Wait::job(job)));
        kernel.park(tasks[2], Step::Wait(Wait::wake().woken_by(ExpectedWaker::Task(tasks[1]))));
        kernel.park(tasks[3], Step::Yield);
        let tables = kernel.tables();
        let image = tables.image();
        let handles = [1, 0, 1, 1];
        // The fourth task has a name and a place, and was spawned by the first one.
        let mut notes = [0; 4 * NOTE_WORDS];
        notes[3 * NOTE_WORDS..].copy_from_slice(&[1, 1, 0, 1, 0]);
        let texts = [u32::from_le_bytes(*b"s\x1b[m"), u32::from_le_bytes(*b"a:1\0")];
        let labels = [0, 4 | 3 << 16, 0, 2000, 1, 4 | 1 << 16];
        let rows = [image.tasks, image.sources, image.jobs, image.timers, &handles, &notes, &labels, &texts];
        let limits = [8_u32; TABLES.len()];
        let (offsets, size) = directory::offsets(limits).expect("a small size");
        let mut words = vec![0; size as usize / 4];
        words[0] = directory::MAGIC;
        words[1] = directory::VERSION;
        words[HEAD] = image.head;
        for (table, (offset, rows)) in offsets.into_iter().zip(rows).enumerate() {
            let len = u32::try_from(rows.len() / TABLES[table]).expect("a small number");
            words[span(table)..][..3].copy_from_slice(&[offset, 8, len]);
            words[offset as usize / 4..][..rows.len()].copy_from_slice(rows);
        }
        words
    }

    fn look(words: &[u32]) -> Result<Tasks, Broken> {
        let words: Vec<_> = words.iter().map(|word| AtomicU32::new(word.to_le())).collect();
        GuestWords::new(&words).ok_or(Broken("a directory"))?.tasks(Instant::from_nanos(7))
    }

    #[test]
    fn tasks_are_read_from_the_memory_of_a_guest() {
        let tasks = look(&published()).expect("the tables are those of a kernel");
        assert_eq!((tasks.views.len(), tasks.queue.len(), tasks.are_of_one_moment), (5, 2, true));
        assert_eq!(tasks.first.map(TaskId::index), Some(4));
        assert_eq!(tasks.views[0].waits[1].and_then(WaitTarget::source).map(SourceId::index), Some(1));
    }

    #[test]
    fn a_guest_in_the_middle_of_a_change_is_read_row_by_row_or_not_at_all() {
        let mut words = published();
        words[MARKS] = 1;
        assert_eq!(look(&words).err(), Some(BUSY));
        assert!(look(&words[..3]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Tables with junk in some words, or in all, are broken or read, and never more than that.
        #[test]
        fn junk_is_found_or_harmless(
            changes in vec((0_usize..8000, prop_oneof![any::<u32>(), 0_u32..70, Just(u32::MAX)]), 0..40),
            all in proptest::option::weighted(0.1, vec(0_u32..40, 8000)),
        ) {
            let mut words = published();
            let count = words.len();
            for (index, word) in all.into_iter().flatten().enumerate().skip(directory::WORDS) {
                words[index % count] = word;
            }
            for (index, word) in changes {
                // Most of the words are unused: the changes are in the directory, or in the first rows.
                let page = index % 9 * (directory::PAGE / 4);
                words[(page + index / 9 % 60) % count] = word;
            }
            words[MARKS] &= !1;
            let shared: Vec<_> = words.iter().map(|word| AtomicU32::new(word.to_le())).collect();
            let guest = GuestWords::new(&shared).expect("a directory");
            for number in 0..10 {
                guest.note(TaskId::from_bits(1 << 32 | u64::from(number)));
                let texts = guest.label(number).map(|label| label.name + &label.spawned.unwrap_or_default());
                let texts = texts.unwrap_or_default();
                prop_assert!(texts.chars().count() <= 2 * MAX_LEN && !texts.contains(char::is_control));
            }
            if let Ok(tasks) = look(&words) {
                prop_assert!(tasks.views.len() <= count && tasks.queue.len() <= tasks.views.len());
            }
        }
    }

    #[test]
    fn a_guest_is_found_beside_its_loop_until_it_is_dropped() {
        let board = Board::on(8, 8).expect("memory");
        let mut observer = crate::observe::Observer::new(&board);
        observer.drives(crate::observe::Drives::Guest);
        let address = "127.0.0.1:7".parse().ok();
        observer.guest_source(SourceId::from_bits(1 << 32 | 1), SourceKind::Accepted, address);
        observer.guest_waits(SourceId::from_bits(1 << 32 | 1), Interest::RECV);
        observer.turn(Instant::from_nanos(1));
        let own = std::process::id();
        let pages: Vec<u8> = published().iter().flat_map(|word| word.to_le_bytes()).collect();
        let write = |file: &File, offset: usize| file.write_all_at(&pages, offset as u64);
        let number = board.header();
        let memory = GuestTables::new(&board).memory(pages.len(), write).expect("memory");
        memory.note_stack("0: spin\n1: \u{1b}[31mturn");
        let loops = loops_of(own).expect("this process");
        let observed = loops.into_iter().find(|found| {
            found.header().guest.load(Ordering::Relaxed) == number.guest.load(Ordering::Relaxed)
        });
        let observed = observed.expect("the loop of this test");
        let snapshot = observed.snapshot().expect("a snapshot");
        let running: Vec<_> = snapshot.tasks.iter().map(|task| task.is_running).collect();
        assert_eq!(running, [false, false, false, false, true]);
        let label = snapshot.tasks[3].label.as_deref().expect("a label");
        assert_eq!((label.name.as_str(), label.spawned.as_deref()), ("s\u{fffd}[m", Some("a:1")));
        assert_eq!(snapshot.tasks[3].parent, Some(snapshot.tasks[0].view.id));
        assert_eq!((&snapshot.tasks[1].label, snapshot.tasks[1].parent), (&None, None));
        let tables = observed.guest().expect("a guest");
        assert_eq!([0, 2, 3, 4, u32::MAX].map(|number| tables.label(number)), [const { None }; 5]);
        let (_, source) = snapshot.tasks[0].waits_on[0];
        assert_eq!((source.kind, source.address), (SourceKind::Accepted, address));
        let (_, stack) = observed.guest_stack().expect("a state").expect("a stack");
        assert_eq!(stack, "0: spin\n1: \u{fffd}[31mturn");
        memory.note_stack(&"é".repeat(5000));
        let (_, stack) = observed.guest_stack().expect("a state").expect("a stack");
        assert_eq!(stack, "é".repeat(MAX_STACK / 2));
        drop(memory);
        assert!(observed.guest().is_none() && observed.snapshot().expect("a snapshot").tasks.is_empty());
        let failed = GuestTables::new(&board).memory(1 << 40, |_, _| Ok(()));
        assert_eq!(failed.err().map(|error| error.kind()), Some(io::ErrorKind::InvalidInput));
    }
}
