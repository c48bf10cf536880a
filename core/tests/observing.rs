//! A kernel as another process reads it: each change is marked, and a copy of the tables tells all that the kernel does.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::kernel::{ExpectedWaker, Storage, TaskView};
use sinbin_core::observe::{
    Beacon, Image, JOB_WORDS, Rows, SOURCE_WORDS, TASK_WORDS, TIMER_WORDS, Tables, directory, view,
};
use sinbin_core::{
    Growing, Instant, Interest, JobId, Kernel, Limits, SourceId, Step, TaskId, Wait, WaitTarget,
};

/// Marks that must not be nested.
#[derive(Clone, Default)]
struct Marks(Rc<Cell<u64>>);

impl Beacon for Marks {
    fn begin(&self) {
        assert_eq!(self.0.get() % 2, 0, "a change begins when the last one has ended");
        self.0.set(self.0.get() + 1);
    }

    fn end(&self, _: u32) {
        assert_eq!(self.0.get() % 2, 1, "a change ends after it has begun");
        self.0.set(self.0.get() + 1);
    }

    fn rotated(&self, _: u32) {}
}

/// Storage whose kernel marks its changes.
#[derive(Clone)]
struct Marked(Limits, Marks);

impl Storage for Marked {
    type Tasks<T> = Growing<T>;
    type Sources<T> = Growing<T>;
    type Jobs<T> = Growing<T>;
    type Blocks<T> = Growing<T>;
    type Bytes = Box<[u8]>;
    type Beacon = Marks;

    fn tasks<T>(&self) -> Growing<T> {
        Storage::tasks(&self.0)
    }

    fn sources<T>(&self) -> Growing<T> {
        Storage::sources(&self.0)
    }

    fn jobs<T>(&self) -> Growing<T> {
        self.0.jobs()
    }

    fn blocks<T>(&self) -> Growing<T> {
        self.0.blocks()
    }

    fn bytes(&self) -> Box<[u8]> {
        self.0.bytes()
    }

    fn beacon(&self) -> Marks {
        self.1.clone()
    }
}

/// The rows of a copy.
struct Copied<'a>(Image<'a>);

fn row<const N: usize>(rows: &[u32], index: u32) -> Option<[u32; N]> {
    rows.chunks_exact(N).nth(index as usize)?.try_into().ok()
}

impl Rows for Copied<'_> {
    fn source(&self, index: u32) -> Option<[u32; SOURCE_WORDS]> {
        row(self.0.sources, index)
    }

    fn job(&self, index: u32) -> Option<[u32; JOB_WORDS]> {
        row(self.0.jobs, index)
    }

    fn generation(&self, task: u32) -> Option<u32> {
        row::<TASK_WORDS>(self.0.tasks, task).map(|row| row[0])
    }
}

impl Copied<'_> {
    /// Returns the tasks, each decoded alone.
    fn views(&self) -> Vec<TaskView> {
        let rows = 0..u32::try_from(self.0.tasks.len() / TASK_WORDS).unwrap();
        let view =
            |index| view(index, &row(self.0.tasks, index).unwrap(), self).expect("the row is consistent");
        rows.filter_map(view).collect()
    }
}

/// The words that a reader takes for the state of tasks: all but the flags of a cancellation and of an early wake.
fn visible(tables: &Tables) -> Vec<u32> {
    let image = tables.image();
    let state = |row: &[u32]| {
        let mut row = row.to_vec();
        row[TASK_WORDS - 1] = u32::from(row[TASK_WORDS - 1].to_ne_bytes()[0]);
        // The party that a wait is for; of a task that does not wait, `by` is for the kernel alone.
        if row[TASK_WORDS - 1] == 0 {
            row[11] = 0;
        }
        row
    };
    image.tasks.chunks_exact(TASK_WORDS).flat_map(state).collect()
}

#[derive(Clone, Debug)]
enum Op {
    Spawn,
    Open,
    Job,
    Turn(u8, Vec<Next>),
    Ready(u8, u8),
    Close(u8),
    Done(u8),
    EndJob(u8),
    Wake(u8),
    Cancel(u8),
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Done,
    Yield,
    Wake,
    WakeFromOutside,
    Recv(u8, Option<u8>),
    Send(u8, Option<u8>),
    Job(u8, u8),
    Time(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let next = prop_oneof![
        1 => Just(Next::Done),
        2 => Just(Next::Yield),
        2 => Just(Next::Wake),
        1 => Just(Next::WakeFromOutside),
        4 => (any::<u8>(), any::<Option<u8>>()).prop_map(|(source, after)| Next::Recv(source, after)),
        2 => (any::<u8>(), any::<Option<u8>>()).prop_map(|(source, after)| Next::Send(source, after)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(job, source)| Next::Job(job, source)),
        2 => any::<u8>().prop_map(Next::Time),
    ];
    prop_oneof![
        3 => Just(Op::Spawn),
        2 => Just(Op::Open),
        1 => Just(Op::Job),
        6 => (any::<u8>(), vec(next, 0..6)).prop_map(|(nanos, next)| Op::Turn(nanos, next)),
        3 => (any::<u8>(), 0..8_u8).prop_map(|(source, bits)| Op::Ready(source, bits)),
        1 => any::<u8>().prop_map(Op::Close),
        1 => any::<u8>().prop_map(Op::Done),
        1 => any::<u8>().prop_map(Op::EndJob),
        2 => any::<u8>().prop_map(Op::Wake),
        2 => any::<u8>().prop_map(Op::Cancel),
    ]
}

/// A kernel, with the ids that it has given.
struct World {
    kernel: Kernel<Marked>,
    tasks: Vec<TaskId>,
    sources: Vec<SourceId>,
    jobs: Vec<JobId>,
}

fn pick<T: Copy>(all: &[T], number: u8) -> Option<T> {
    (!all.is_empty()).then(|| all[number as usize % all.len()])
}

impl World {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Spawn => self.tasks.extend(self.kernel.spawn()),
            Op::Open => self.sources.extend(self.kernel.open()),
            Op::Job => self.jobs.extend(self.kernel.begin_job()),
            Op::Turn(nanos, next) => self.turn(*nanos, next),
            Op::Ready(source, bits) => {
                if let Some(source) = pick(&self.sources, *source) {
                    self.kernel.ready(source, Interest::from_bits(*bits));
                }
            }
            Op::Close(source) => {
                pick(&self.sources, *source).map(|source| self.kernel.close(source));
            }
            Op::Done(job) => {
                if let Some(job) = pick(&self.jobs, *job) {
                    self.kernel.job_done(job);
                }
            }
            Op::EndJob(job) => {
                pick(&self.jobs, *job).map(|job| self.kernel.end_job(job));
            }
            Op::Wake(task) => {
                pick(&self.tasks, *task).map(|task| self.kernel.wake(task));
            }
            Op::Cancel(task) => {
                pick(&self.tasks, *task).map(|task| self.kernel.cancel(task));
            }
        }
        while self.kernel.next_change().is_some() {}
    }

    fn turn(&mut self, nanos: u8, next: &[Next]) {
        let now = self.kernel.now() + Duration::from_nanos(nanos.into());
        self.kernel.advance(now);
        let mut next = next.iter().cycle();
        while let Some(task) = self.kernel.next() {
            let step = next.next().map_or(Step::Yield, |next| self.step(*next));
            self.kernel.park(task, step);
        }
    }

    fn step(&self, next: Next) -> Step {
        let now = self.kernel.now();
        let at = |after: u8| now + Duration::from_nanos(after.into());
        let until =
            |wait: Wait, after: Option<u8>| Step::Wait(after.map_or(wait, |after| wait.until(at(after))));
        match next {
            Next::Done => Step::Done,
            Next::Yield => Step::Yield,
            Next::Wake => Step::Wait(Wait::wake()),
            Next::WakeFromOutside => Step::Wait(Wait::wake().woken_by(ExpectedWaker::Outside)),
            Next::Time(after) => Step::Wait(Wait::time(at(after))),
            Next::Recv(source, after) => {
                pick(&self.sources, source).map_or(Step::Yield, |source| until(Wait::recv(source), after))
            }
            Next::Send(source, after) => pick(&self.sources, source)
                .map_or(Step::Yield, |source| until(Wait::send(source).or(WaitTarget::Recv(source)), after)),
            Next::Job(job, source) => match (pick(&self.jobs, job), pick(&self.sources, source)) {
                (Some(job), Some(source)) => Step::Wait(Wait::job(job).or(WaitTarget::Hangup(source))),
                _ => Step::Yield,
            },
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 256 })
    })]

    #[test]
    fn each_change_is_marked_and_a_copy_tells_all(ops in vec(op(), 1..60)) {
        let marks = Marks::default();
        let kernel = Kernel::new(&Marked(Limits::new(6, 0, 128), marks.clone()));
        let mut world = World { kernel, tasks: Vec::new(), sources: Vec::new(), jobs: Vec::new() };
        let mut before = (marks.0.get(), visible(&world.kernel.tables()));
        for op in &ops {
            world.apply(op);
            let tables = world.kernel.tables();
            let after = (marks.0.get(), visible(&tables));
            prop_assert_eq!(after.0 % 2, 0, "a change ends before the call returns");
            prop_assert!(before.0 != after.0 || before.1 == after.1, "{:?} is marked", op);
            before = after;
            prop_assert_eq!(world.kernel.audit(), Ok(()));
            let restored = Kernel::restore(&tables.image()).expect("the tables are those of a kernel");
            prop_assert_eq!(restored.audit(), Ok(()));
            let tasks: Vec<_> = world.kernel.tasks().collect();
            prop_assert_eq!(restored.tasks().collect::<Vec<_>>(), tasks.clone());
            prop_assert_eq!(restored.queue().collect::<Vec<_>>(), world.kernel.queue().collect::<Vec<_>>());
            prop_assert_eq!(Copied(tables.image()).views(), tasks);
        }
    }

    /// Nothing that is read from another process makes the reader panic.
    #[test]
    fn tables_of_nonsense_are_refused_or_read(
        tasks in vec(word(), 0..5 * TASK_WORDS),
        sources in vec(word(), 0..5 * SOURCE_WORDS),
        jobs in vec(word(), 0..3 * JOB_WORDS),
        timers in vec(word(), 0..3 * TIMER_WORDS),
        head in word(),
    ) {
        let image = Image { tasks: &tasks, sources: &sources, jobs: &jobs, timers: &timers, head, now: Instant::ZERO };
        if let Ok(kernel) = Kernel::restore(&image) {
            let _ = (kernel.audit(), kernel.tasks().count(), kernel.queue().count(), kernel.rest());
        }
        for (index, row) in (0..).zip(tasks.chunks_exact(TASK_WORDS)) {
            let _ = view(index, row.try_into().unwrap(), &Copied(image));
        }
    }
}

/// Returns a number that is likely to be taken for an index, a generation or a flag.
fn word() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..4_u32, 2 => Just(u32::MAX), 1 => any::<u32>(), 1 => (0..4_u32).prop_map(|table| table << 30)]
}

#[test]
fn a_torn_copy_is_found() {
    let mut kernel = Kernel::new(&Limits::new(2, 0, 128));
    let (task, source) = (kernel.spawn().unwrap(), kernel.open().unwrap());
    kernel.advance(Instant::ZERO);
    let before = kernel.tables();
    kernel.park(task, Step::Wait(Wait::recv(source)));
    let after = kernel.tables();
    assert!(Kernel::restore(&after.image()).is_ok_and(|kernel| kernel.audit().is_ok()));
    let torn = Image { sources: before.image().sources, ..after.image() };
    assert!(
        Kernel::restore(&torn).is_ok_and(|kernel| kernel.audit().is_err()),
        "the wait tables do not agree"
    );
    let row = after.image().tasks.try_into().unwrap();
    assert!(view(0, row, &Copied(torn)).is_err());
    assert!(view(0, row, &Copied(Image { sources: &[], ..torn })).is_err(), "the source does not exist");
    let mut odd = *row;
    odd[TASK_WORDS - 1] = u32::from_ne_bytes([7, 0, 0, 0]);
    assert!(view(0, &odd, &Copied(after.image())).is_err(), "a state that does not exist");
    odd[TASK_WORDS - 1] = u32::from_ne_bytes([0, 77, 0, 0]);
    assert!(view(0, &odd, &Copied(after.image())).is_err(), "a reason that does not exist");
}

#[test]
fn the_tables_of_a_guest_are_at_pages_of_their_own_behind_the_directory() {
    let page = u32::try_from(directory::PAGE).unwrap();
    let limits = [1000, 1000, 10, 0, 1, 1000, 7, 5000];
    let (offsets, size) = directory::offsets(limits).expect("a small size");
    let mut end = page;
    for ((offset, limit), words) in offsets.into_iter().zip(limits).zip(directory::TABLES) {
        assert_eq!((offset, offset % page), (end, 0));
        end = (offset + limit * 4 * u32::try_from(words).unwrap()).next_multiple_of(page);
    }
    assert_eq!(size, end);
    let spans: Vec<_> = (0..directory::TABLES.len()).map(directory::span).collect();
    assert!(spans[0] > directory::HEAD && spans.last().is_some_and(|last| last + 3 == directory::WORDS));
    for (first, second, handles) in [(u32::MAX, 0, 0), (1 << 26, 1 << 26, 0), (0, 0, (1 << 29) - 1)] {
        let limits = [first, second, 0, 0, handles, 0, 0, 0];
        assert_eq!(directory::offsets(limits), None, "{limits:?}");
    }
}

#[test]
fn a_wait_for_a_source_names_it() {
    let mut kernel = Kernel::new(&Limits::new(1, 0, 128));
    let (source, job) = (kernel.open().unwrap(), kernel.begin_job().unwrap());
    for target in [WaitTarget::Recv(source), WaitTarget::Send(source), WaitTarget::Hangup(source)] {
        assert_eq!(target.source(), Some(source));
    }
    assert_eq!(WaitTarget::Job(job).source(), None);
}
