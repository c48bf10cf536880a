//! Copies of what a loop has published, each consistent in itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::{Duration, Instant as Moment, SystemTime};

use sinbin_core::kernel::{Broken, TaskState, TaskView};
use sinbin_core::observe::directory::HANDLE_WORDS;
use sinbin_core::observe::{Image, JOB_WORDS, Rows, SOURCE_WORDS, TASK_WORDS, view};
use sinbin_core::{Instant, Kernel, Limits, TaskId};

use crate::observe::error::ObserveError;
use crate::observe::event::whole;
use crate::observe::header::{ADDRESS_WORDS, Drives, Header, NAME_WORDS, Part, Phase};
use crate::observe::observed::Observed;
use crate::observe::region::{copy, steady_row};
use crate::observe::snapshot::{GuestSource, LoopState, RunningStep, Snapshot, SpawnLabel, TaskInfo};
use crate::observe::source::{self, Source};

/// The number of attempts to copy all tables between two changes. A loop that waits needs one.
const ATTEMPTS: usize = 50;

/// The number of words of tables that are worth more than one attempt, because they are copied in microseconds.
const SMALL: usize = 16 * 1024;

/// The time after which a reader gives up on a row while the loop is in one and the same change. A change takes
/// nanoseconds, unless the process is stopped in one, or gets no processor.
const PATIENCE: Duration = Duration::from_secs(5);

/// The number of attempts that a reader makes in any case before it gives up: it may have got no processor itself.
const MIN_ATTEMPTS: u32 = 1000;
impl Observed {
    /// Returns the state of the loop. O(1).
    ///
    /// # Errors
    ///
    /// Returns [`ObserveError::Broken`] if the memory is not one that a loop writes.
    pub fn state(&self) -> Result<LoopState, ObserveError> {
        let header = self.header();
        let turning = &header.turning;
        let phase = turning.phase.load(Ordering::Acquire);
        let phase =
            Phase::decode(phase).ok_or_else(|| self.broken(Broken("a loop is in one of its phases")))?;
        let turn = Instant::from_nanos(turning.now.load(Ordering::Relaxed));
        let load = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        let mut counters = [0; 10];
        for (to, counter) in counters.iter_mut().zip(&turning.counters) {
            *to = load(counter);
        }
        Ok(LoopState {
            pid: self.pid(),
            number: self.number(),
            thread: header.thread.load(Ordering::Relaxed),
            service: self.label(header.service.load(Ordering::Relaxed)).map(|label| label.name),
            started: SystemTime::UNIX_EPOCH + Duration::from_nanos(load(&header.started)),
            phase,
            is_guest: header.drives.load(Ordering::Relaxed) != 0,
            is_command: header.drives.load(Ordering::Relaxed) == Drives::Command as u32,
            draining: turning.draining.load(Ordering::Relaxed) != 0,
            turn,
            now: Instant::from_nanos(monotonic().saturating_sub(load(&header.zero))).max(turn),
            waits: load(&turning.waits),
            steps: load(&header.steady.steps),
            events: load(&turning.events),
            cut: load(&turning.cut),
            max_connections: load(&header.max_connections),
            max_buffered: load(&header.max_buffered),
            max_jobs: load(&header.max_jobs),
            workers: load(&header.workers),
            counters,
        })
    }

    /// Returns all tasks of the loop, without disturbing it. O(tasks). The result passes the kernel's audit: as a whole
    /// if it [is of one moment](Snapshot::is_of_one_moment), or else task by task.
    ///
    /// # Errors
    ///
    /// Returns [`ObserveError::Broken`] if the memory is not one that a loop writes, and [`ObserveError::Busy`] if the
    /// process was stopped in the middle of a change.
    pub fn snapshot(&self) -> Result<Snapshot, ObserveError> {
        if let Some(snapshot) = self.of_command()? {
            return Ok(snapshot);
        }
        if let Some(snapshot) = self.of_guest()? {
            return Ok(snapshot);
        }
        match self.copy_all() {
            Some(image) => self.of_one_moment(&image),
            None => self.row_by_row(),
        }
    }

    fn broken(&self, Broken(what): Broken) -> ObserveError {
        ObserveError::Broken { pid: self.pid(), what }
    }

    /// Copies all tables, if no change comes in between.
    fn copy_all(&self) -> Option<Copied> {
        let header = self.header();
        let mut copied = Copied { parts: Default::default(), head: 0, turn: Instant::ZERO, step: None };
        for attempt in 0..ATTEMPTS {
            let marks = header.steady.marks.load(Ordering::Acquire);
            if marks % 2 == 1 {
                std::hint::spin_loop();
                continue;
            }
            copied.head = header.steady.head.load(Ordering::Relaxed);
            copied.turn = Instant::from_nanos(header.turning.now.load(Ordering::Relaxed));
            copied.step = self.step();
            let parts = [Part::Tasks, Part::Sources, Part::Jobs, Part::Timers];
            for (to, part) in copied.parts.iter_mut().zip(parts) {
                to.clear();
                to.extend(self.used(part).iter().map(|word| word.load(Ordering::Relaxed)));
            }
            fence(Ordering::Acquire);
            if header.steady.marks.load(Ordering::Relaxed) == marks {
                return Some(copied);
            }
            if attempt > 0 && copied.parts.iter().map(Vec::len).sum::<usize>() > SMALL {
                break;
            }
        }
        None
    }

    fn of_one_moment(&self, copied: &Copied) -> Result<Snapshot, ObserveError> {
        let [tasks, sources, jobs, timers] = &copied.parts;
        let image = Image { tasks, sources, jobs, timers, head: copied.head, now: copied.turn };
        let kernel: Kernel<Limits> = Kernel::restore(&image).map_err(|broken| self.broken(broken))?;
        kernel.audit().map_err(|broken| self.broken(broken))?;
        let running = kernel.queue().next();
        let step = |view: &TaskView| copied.step.filter(|_| running == Some(view.id));
        let mut names = Names::new();
        Ok(Snapshot {
            state: self.state()?,
            tasks: kernel.tasks().map(|view| self.info(view, step(&view), &mut names)).collect(),
            guest_sources: self.guest_sources(),
            guest_failure: None,
            poll: None,
            queue: kernel.queue().collect(),
            is_of_one_moment: true,
        })
    }

    fn row_by_row(&self) -> Result<Snapshot, ObserveError> {
        let len = self.used(Part::Tasks).len() / TASK_WORDS;
        let (mut tasks, mut names) = (Vec::new(), Names::new());
        for index in 0..u32::try_from(len).unwrap_or(u32::MAX) {
            if let Some((view, step)) = self.task(index)? {
                tasks.push(self.info(view, step, &mut names));
            }
        }
        let is_ready = |task: &&TaskInfo| task.view.state == TaskState::Ready;
        Ok(Snapshot {
            state: self.state()?,
            guest_sources: self.guest_sources(),
            guest_failure: None,
            poll: None,
            queue: tasks.iter().filter(is_ready).map(|task| task.view.id).collect(),
            tasks,
            is_of_one_moment: false,
        })
    }

    /// Returns the step that the first task of the run queue runs now, if the loop runs tasks.
    fn step(&self) -> Option<RunningStep> {
        let Header { steady, turning, .. } = self.header();
        let is_running = turning.phase.load(Ordering::Acquire) == Phase::Running as u32;
        let turn = Instant::from_nanos(turning.now.load(Ordering::Relaxed));
        let before = turning.before.load(Ordering::Relaxed);
        // The step of a guest's loop is a turn of the guest, which may run several steps of its tasks.
        let is_first = steady.steps.load(Ordering::Relaxed) <= before + 1 && !self.is_guest();
        is_running.then_some(RunningStep { turn, is_first })
    }

    /// Returns the task at `index`, as it is at one moment, and the step that it runs then.
    pub(crate) fn task(&self, index: u32) -> Result<Option<(TaskView, Option<RunningStep>)>, ObserveError> {
        let header = self.header();
        let mut same: Option<(u64, Moment)> = None;
        let mut attempts = 0;
        loop {
            let marks = header.steady.marks.load(Ordering::Acquire);
            let row = self.row(Part::Tasks, index as usize).and_then(copy::<TASK_WORDS>);
            let view = row.map_or(Ok(None), |row| view(index, &row, self));
            let is_head = header.steady.head.load(Ordering::Relaxed) == index;
            let step = self.step().filter(|_| is_head);
            fence(Ordering::Acquire);
            if marks.is_multiple_of(2) && header.steady.marks.load(Ordering::Relaxed) == marks {
                let view = view.map_err(|broken| self.broken(broken))?;
                return Ok(view.map(|view| (view, step.filter(|_| view.state == TaskState::Ready))));
            }
            match same {
                Some((seen, since)) if seen == marks => {
                    attempts += 1;
                    if attempts > MIN_ATTEMPTS && since.elapsed() > PATIENCE {
                        return Err(ObserveError::Busy(self.pid()));
                    }
                }
                _ => (same, attempts) = (Some((marks, Moment::now())), 0),
            }
            // The loop may have been interrupted in the middle of a change, and may need this core.
            std::thread::yield_now();
        }
    }

    /// Returns the tasks of a guest in a sandbox. Returns `None` if the loop drives no such guest.
    fn of_guest(&self) -> Result<Option<Snapshot>, ObserveError> {
        let Some(tables) = self.guest() else { return Ok(None) };
        let state = self.state()?;
        let mut snapshot = Snapshot {
            tasks: Vec::new(),
            guest_sources: self.guest_sources(),
            guest_failure: None,
            poll: None,
            queue: Vec::new(),
            is_of_one_moment: true,
            state,
        };
        match tables.tasks(snapshot.state.turn) {
            Ok(Some(found)) => {
                let step = RunningStep { turn: snapshot.state.turn, is_first: false };
                let running = found.first.filter(|_| snapshot.state.phase == Phase::Running);
                let mut names = Names::new();
                let info = |view: &TaskView| {
                    let step = (running == Some(view.id)).then_some(step);
                    self.guest_info(*view, step, &tables, &mut names)
                };
                snapshot.tasks = found.views.iter().map(info).collect();
                (snapshot.queue, snapshot.is_of_one_moment) = (found.queue, found.are_of_one_moment);
            }
            Ok(None) => {}
            Err(Broken(what)) => snapshot.guest_failure = Some(what),
        }
        Ok(Some(snapshot))
    }

    /// Adds what the loop has noted about a task.
    fn info(&self, view: TaskView, step: Option<RunningStep>, names: &mut Names) -> TaskInfo {
        let notes = self.row(Part::Names, view.id.index()).and_then(steady_row::<NAME_WORDS>);
        let notes = notes.filter(|notes| u64::from(notes[0]) == view.id.to_bits() >> 32);
        let [_, label, parent, parent2, at, at2, wait, source] = notes.unwrap_or_default();
        let parent = whole(parent, parent2);
        let sources = view.waits.iter().flatten().filter_map(|target| target.source());
        let waits_on: Vec<_> =
            sources.filter_map(|id| Some((id, self.source(id.index(), Some(id.to_bits() >> 32))?))).collect();
        let source = match self.is_guest() {
            true => waits_on.first().map(|(_, source)| *source),
            false => source.checked_sub(1).and_then(|index| self.source(index as usize, None)),
        };
        TaskInfo {
            view,
            label: self.name(label, names),
            waits_for: self.wait_name(&view, wait, names),
            parent: (parent != 0).then(|| TaskId::from_bits(parent)),
            spawned: notes.map(|_| Instant::from_nanos(whole(at, at2))),
            source,
            waits_on,
            is_running: step.is_some(),
            step,
        }
    }

    pub(crate) fn name(&self, number: u32, names: &mut Names) -> Option<Arc<SpawnLabel>> {
        names.entry(number).or_insert_with(|| self.label(number).map(Arc::new)).clone()
    }

    /// Returns the sources of a guest.
    fn guest_sources(&self) -> Vec<GuestSource> {
        let rows = self.used(Part::Addresses).chunks_exact(ADDRESS_WORDS).enumerate();
        let sources = rows.filter_map(|(index, row)| {
            let row = steady_row::<ADDRESS_WORDS>(row)?;
            Some(GuestSource { index, source: source::decode(&row), interest: source::interest(&row) })
        });
        sources.collect()
    }

    /// Returns what the loop has noted about a source, if the note is of this generation.
    fn source(&self, index: usize, generation: Option<u64>) -> Option<Source> {
        if self.is_guest() {
            let [of, handle] = steady_row::<HANDLE_WORDS>(self.row(Part::Handles, index)?)?;
            let is_current = generation.is_none_or(|generation| generation == u64::from(of));
            return self.noted(handle as usize).filter(|_| is_current);
        }
        let row = steady_row::<ADDRESS_WORDS>(self.row(Part::Addresses, index)?)?;
        let is_current = generation.is_none_or(|generation| generation == u64::from(row[0]));
        is_current.then(|| source::decode(&row))
    }

    /// Returns what the loop has noted about the source of a guest in this slot.
    pub(crate) fn noted(&self, slot: usize) -> Option<Source> {
        steady_row::<ADDRESS_WORDS>(self.row(Part::Addresses, slot)?).map(|row| source::decode(&row))
    }

    fn is_guest(&self) -> bool {
        self.header().drives.load(Ordering::Relaxed) != 0
    }
}

/// The labels that tasks of a snapshot have, by their numbers.
pub(crate) type Names = HashMap<u32, Option<Arc<SpawnLabel>>>;

/// A copy of the kernel's tables.
struct Copied {
    parts: [Vec<u32>; 4],
    head: u32,
    turn: Instant,
    step: Option<RunningStep>,
}

impl Rows for Observed {
    fn source(&self, index: u32) -> Option<[u32; SOURCE_WORDS]> {
        row_of(self.used(Part::Sources), index)
    }

    fn job(&self, index: u32) -> Option<[u32; JOB_WORDS]> {
        row_of(self.used(Part::Jobs), index)
    }

    fn generation(&self, task: u32) -> Option<u32> {
        row_of::<TASK_WORDS>(self.used(Part::Tasks), task).map(|row| row[0])
    }
}

fn row_of<const WORDS: usize>(rows: &[AtomicU32], index: u32) -> Option<[u32; WORDS]> {
    copy(rows.get((index as usize).checked_mul(WORDS)?..)?)
}

/// Returns the system's monotonic clock, in nanoseconds.
#[cfg(unix)]
pub(crate) fn monotonic() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos)
}

#[cfg(not(unix))]
pub(crate) fn monotonic() -> u64 {
    0
}
