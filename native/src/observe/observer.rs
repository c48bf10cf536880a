//! The notes of a host for readers in other processes: names of tasks, addresses of sources, events and counters.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use sinbin_core::task::{Label, NamedWait};
use sinbin_core::{Instant, Interest, SourceId, TaskId};

use crate::host::Tally;
use crate::observe::board::Board;
use crate::observe::control::Control;
use crate::observe::event::{self, Event, EventKind, halves};
use crate::observe::header::{ADDRESS_WORDS, Drives, EVENT_WORDS, Header, NAME_WORDS, Part, Phase};
use crate::observe::labels::Labels;
use crate::observe::region::{HeaderRef, copy};
use crate::observe::source::{self, Source, SourceKind};

/// The notes of a loop. Those of each step are a counter; those of each wait are a few numbers. All others are written
/// only if another process can read them.
pub(crate) struct Observer {
    header: HeaderRef,
    labels: Labels,
    events: u64,
    /// The number of notes about sources of a guest, which distinguishes a note from the one before it.
    notes: u32,
    is_on: bool,
}

/// The limits of a loop, for reports.
pub(crate) struct LimitsOfLoop {
    pub(crate) connections: usize,
    pub(crate) buffered: usize,
    pub(crate) jobs: usize,
    pub(crate) workers: usize,
}

/// The numbers that a loop notes before each wait, beside those of its [`Tally`].
#[derive(Clone, Copy)]
pub(crate) struct Gauges {
    pub(crate) open: usize,
    pub(crate) blocks_lent: usize,
    pub(crate) blocks_committed: usize,
}

impl Observer {
    pub(crate) fn new(board: &Board) -> Self {
        Self { header: board.header(), labels: Labels::default(), events: 0, notes: 0, is_on: board.is_on() }
    }

    /// Returns true if other processes can read the notes.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Notes the loop's limits, and the name of its service.
    pub(crate) fn begin(&mut self, clock_zero: u64, limits: &LimitsOfLoop, service: &str) {
        if !self.is_on {
            return;
        }
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let service = self.service(service);
        let header = &self.header;
        header.started.store(u64::try_from(since).unwrap_or(0), Ordering::Relaxed);
        header.zero.store(clock_zero, Ordering::Relaxed);
        header.service.store(service, Ordering::Relaxed);
        header.max_connections.store(limits.connections as u64, Ordering::Relaxed);
        header.max_buffered.store(limits.buffered as u64, Ordering::Relaxed);
        header.max_jobs.store(limits.jobs as u64, Ordering::Relaxed);
        header.workers.store(limits.workers as u64, Ordering::Relaxed);
    }

    /// Notes that a step begins.
    #[inline]
    pub(crate) fn step(&self) {
        let steps = &self.header.steady.steps;
        steps.store(steps.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Notes the time at the beginning of a turn, in which the loop runs tasks.
    #[inline]
    pub(crate) fn turn(&self, now: Instant) {
        let Header { steady, turning, .. } = &*self.header;
        turning.now.store(now.as_nanos(), Ordering::Relaxed);
        turning.before.store(steady.steps.load(Ordering::Relaxed), Ordering::Relaxed);
        // In this order, so that a loop that has just waited does not look as if it had been busy for so long.
        self.phase(Phase::Running);
    }

    /// Notes the state of the loop before a wait.
    #[inline]
    pub(crate) fn begin_wait(&self, counts: &Tally, gauges: Gauges) {
        let turning = &self.header.turning;
        let waits = turning.waits.load(Ordering::Relaxed).wrapping_add(1);
        turning.waits.store(waits, Ordering::Relaxed);
        let numbers = [
            counts.connections,
            counts.turned_away,
            counts.failed,
            counts.jobs,
            counts.cancelled,
            counts.received,
            counts.sent,
            gauges.open as u64,
            gauges.blocks_lent as u64,
            gauges.blocks_committed as u64,
        ];
        for (counter, number) in turning.counters.iter().zip(numbers) {
            counter.store(number, Ordering::Relaxed);
        }
        if waits == 1 {
            self.note_thread();
        }
        self.phase(Phase::Waiting);
    }

    /// Notes what the loop does from now on.
    #[inline]
    pub(crate) fn phase(&self, phase: Phase) {
        self.header.turning.phase.store(phase as u32, Ordering::Release);
    }

    /// Notes that this thread runs the loop.
    #[cold]
    pub(crate) fn note_thread(&self) {
        #[cfg(target_os = "linux")]
        self.header
            .thread
            .store(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned(), Ordering::Relaxed);
    }

    /// Notes that the loop drains.
    pub(crate) fn draining(&mut self) {
        self.header.turning.draining.store(1, Ordering::Relaxed);
        self.event(EventKind::Draining, None, 0);
    }

    /// Notes that connections were cut off, because the time to drain is over.
    pub(crate) fn cut(&self, connections: usize) {
        self.header.turning.cut.fetch_add(connections as u64, Ordering::Relaxed);
    }

    /// Notes where other processes can send commands to.
    pub(crate) fn accepts_commands(&self, control: &Control) -> io::Result<()> {
        let (descriptor, inode) = control.place()?;
        self.header.control_inode.store(inode, Ordering::Relaxed);
        self.header.control.store(descriptor.saturating_add(1), Ordering::Release);
        Ok(())
    }

    /// Returns true if the task accepts connections for the loop.
    pub(crate) fn is_acceptor(&self, task: TaskId) -> bool {
        let notes = self.row::<NAME_WORDS>(Part::Names, task.index());
        let notes = notes.filter(|notes| notes[0].load(Ordering::Relaxed) == generation(task.to_bits()));
        let source = notes.and_then(|notes| notes[7].load(Ordering::Relaxed).checked_sub(1));
        let row = source.and_then(|index| self.row::<ADDRESS_WORDS>(Part::Addresses, index as usize));
        let source = row.and_then(copy).map(|row| source::decode(&row));
        source.is_some_and(|source| source.kind == SourceKind::Listener)
    }

    /// Notes what a source is.
    #[inline]
    pub(crate) fn source(&self, id: SourceId, kind: SourceKind, address: Option<SocketAddr>) {
        if self.is_on
            && let Some(row) = self.row::<ADDRESS_WORDS>(Part::Addresses, id.index())
        {
            source::write(row, generation(id.to_bits()), Source { kind, address });
        }
    }

    /// Notes that the loop drives a guest.
    pub(crate) fn drives(&self, what: Drives) {
        self.header.drives.store(what as u32, Ordering::Relaxed);
    }

    /// Notes what a source is that a guest gets.
    pub(crate) fn guest_source(&mut self, id: SourceId, kind: SourceKind, address: Option<SocketAddr>) {
        if !self.is_on {
            return;
        }
        self.notes = self.notes.checked_add(1).unwrap_or(1);
        let len = u32::try_from(id.index()).map_or(u32::MAX, |index| index.saturating_add(1));
        if let Some(row) = self.row::<ADDRESS_WORDS>(Part::Addresses, id.index()) {
            source::write(row, self.notes, Source { kind, address });
            self.header.parts[Part::Addresses as usize].len.fetch_max(len, Ordering::Release);
        }
    }

    /// Notes what a guest waits for on a source.
    #[inline]
    pub(crate) fn guest_waits(&self, id: SourceId, interest: Interest) {
        if self.is_on
            && let Some(row) = self.row::<ADDRESS_WORDS>(Part::Addresses, id.index())
        {
            source::set_interest(row, interest);
        }
    }

    /// Notes that a source of a guest is gone.
    pub(crate) fn guest_source_gone(&self, id: SourceId) {
        if self.is_on
            && let Some(row) = self.row::<ADDRESS_WORDS>(Part::Addresses, id.index())
        {
            row[0].store(0, Ordering::Release);
        }
    }

    /// Notes that the running task `parent` has spawned a task.
    #[inline]
    pub(crate) fn spawned_by(&mut self, parent: TaskId, task: TaskId) {
        if self.is_on {
            self.insert(task, Some(parent));
        }
    }

    /// Notes the source that a new task serves.
    #[inline]
    pub(crate) fn serves(&mut self, task: TaskId, source: SourceId) {
        if self.is_on
            && let Some(row) = self.insert(task, None)
        {
            // 0 stands for no source.
            row[7].store(u32::try_from(source.index()).map_or(0, |index| index + 1), Ordering::Relaxed);
        }
    }

    /// Notes the name of a new task.
    pub(crate) fn named(&mut self, task: TaskId, label: Option<Label>) {
        if !self.is_on {
            return;
        }
        let number = label.map_or(0, |label| self.label(label));
        if let Some(row) = self.insert(task, None) {
            row[1].store(number, Ordering::Relaxed);
        }
    }

    /// Notes what a task waits for.
    pub(crate) fn waits_for(&mut self, task: TaskId, wait: Option<NamedWait>) {
        if !self.is_on {
            return;
        }
        // Numbers of labels fit into 16 bits, and 0 stands for no name.
        let word = wait.map_or(0, |wait| match self.name(wait.name) {
            0 => 0,
            number => u32::from(wait.kind.number()) << 16 | number,
        });
        if let Some(row) = self.insert(task, None) {
            row[6].store(word, Ordering::Relaxed);
        }
    }

    /// Notes an event.
    #[inline]
    pub(crate) fn event(&mut self, kind: EventKind, task: Option<TaskId>, argument: u32) {
        if self.is_on {
            self.push(kind, task, argument);
        }
    }

    fn push(&mut self, kind: EventKind, task: Option<TaskId>, argument: u32) {
        let at = Instant::from_nanos(self.header.turning.now.load(Ordering::Relaxed));
        self.events += 1;
        let index = event::index(self.events);
        let event = Event { number: self.events, at, kind, task, argument };
        if let Some(row) = self.row::<EVENT_WORDS>(Part::Events, index) {
            event::write(row, &event);
        }
        self.header.turning.events.store(self.events, Ordering::Release);
    }

    /// Returns the row of a new task's name, which it makes if this is the first note of the task.
    fn insert(&mut self, task: TaskId, parent: Option<TaskId>) -> Option<&[AtomicU32]> {
        let generation = generation(task.to_bits());
        let is_new =
            self.row::<NAME_WORDS>(Part::Names, task.index())?[0].load(Ordering::Relaxed) != generation;
        if is_new {
            let at = self.header.turning.now.load(Ordering::Relaxed);
            let row = self.row::<NAME_WORDS>(Part::Names, task.index())?;
            row[0].store(0, Ordering::Relaxed);
            fence(Ordering::Release);
            let [parent, parent2] = halves(parent.map_or(0, TaskId::to_bits));
            let [at, at2] = halves(at);
            for (word, value) in row[1..].iter().zip([0, parent, parent2, at, at2, 0, 0]) {
                word.store(value, Ordering::Relaxed);
            }
            row[0].store(generation, Ordering::Release);
            self.event(
                EventKind::Spawned,
                Some(task),
                if parent == 0 && parent2 == 0 { u32::MAX } else { parent },
            );
        }
        self.row::<NAME_WORDS>(Part::Names, task.index())
    }

    fn label(&mut self, label: Label) -> u32 {
        let place = label.spawned;
        let key = (label.name.as_ptr().addr(), std::ptr::from_ref(place).addr());
        let text = || {
            // The tasks of connections are spawned by the core itself, which says nothing.
            let is_own = place.file().ends_with("core/src/task/service.rs");
            let place = if is_own { String::new() } else { format!("{}:{}", place.file(), place.line()) };
            (unwrapped(label.name).to_owned(), place)
        };
        self.labels.number(self.header.region(), key, text)
    }

    /// Returns the number of the service's name, which has no place.
    fn service(&mut self, name: &str) -> u32 {
        // A guest has the name of its file, which may contain anything.
        let name = name.replace(char::is_control, "\u{fffd}");
        self.labels.number(self.header.region(), (0, 0), || (name, String::new()))
    }

    /// Returns the number of the name of a lock or channel, which has no place.
    fn name(&mut self, name: &'static str) -> u32 {
        let key = (name.as_ptr().addr(), name.len());
        self.labels.number(self.header.region(), key, || (name.to_owned(), String::new()))
    }

    fn row<const WORDS: usize>(&self, part: Part, index: usize) -> Option<&[AtomicU32]> {
        let span = &self.header.parts[part as usize];
        let is_within = index < span.limit.load(Ordering::Relaxed) as usize;
        let offset = usize::try_from(span.offset.load(Ordering::Relaxed)).ok()?;
        is_within.then(|| self.header.region().words(offset + 4 * WORDS * index, WORDS)).flatten()
    }
}

/// Returns the name of a service's function, which `Settings::serve` wraps.
pub(crate) fn unwrapped(name: &str) -> &str {
    let inner = name.strip_prefix("sinbin::run::Reported<").and_then(|name| name.strip_suffix('>'));
    // Some compilers print lifetimes.
    let inner = inner.map_or(name, |inner| inner.strip_prefix("'_, ").unwrap_or(inner));
    inner.strip_suffix("::{{closure}}").unwrap_or(inner)
}

/// Returns the generation of an id.
fn generation(bits: u64) -> u32 {
    (bits >> 32) as u32
}
