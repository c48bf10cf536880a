//! Panics at each place where a guarded loop calls the user's code. Each panic ends a single task or job and is
//! reported.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};

use sinbin_core::driven::{Command, Compute, Driven, DrivenHost, Event, PanicGuard, SourceHandle};
use sinbin_core::job::WireJob;
use sinbin_core::task::{AsyncService, Conn, Handle, Label, NoWakers, Pool, RunContext};
use sinbin_core::{
    Cx, Instant, Job, JobId, Limits, Progress, Rest, Service, SourceId, Step, Task, TaskId, Wait,
};

use crate::{CLIENT, LISTENER, WINDOW, arrived};

const DRIVER: Compute = Compute::Driver { slice: 1 };
const HERE: Compute = Compute::Here { slice: 1 };

/// The place where the user's code panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PanicSite {
    Connect,
    Spawned,
    /// The label that is requested for the report of another panic.
    Label,
    Step,
    /// The notification of another panic.
    Panicked,
    End,
    /// The destructor of the task.
    Dropped,
    JobEncoded,
    JobRuns,
    JobDropped,
    JobCancelled,
    ResultDecoded,
    ResultDropped,
    /// The destructor of a result that is cancelled.
    ResultUnwanted,
    /// All destructors of the tasks, jobs and results that are left when the loop is dropped.
    Left,
}

/// A place, the side that computes, the last bytes to the client before its connection is closed, and the reports.
type Case = (PanicSite, Compute, &'static str, &'static [&'static str]);

const CASES: [Case; 23] = [
    (PanicSite::Connect, HERE, "", &["driven::guarding::Planted: panicked when a connection came: planted"]),
    (PanicSite::Spawned, HERE, "", &[STEP]),
    (PanicSite::Label, HERE, "", &[BEFORE]),
    (PanicSite::Step, HERE, "", &[STEP]),
    (PanicSite::Panicked, HERE, "", &[BEFORE, AGAIN]),
    (PanicSite::End, HERE, "done", &[END]),
    (PanicSite::Dropped, HERE, "done", &[DROPPED]),
    (PanicSite::JobRuns, HERE, "lost", &[JOB]),
    // The job has completed its last slice by then.
    (PanicSite::JobDropped, HERE, "done", &[JOB]),
    (PanicSite::JobCancelled, HERE, "", &[JOB]),
    (PanicSite::ResultDropped, HERE, "done", &[STEP]),
    (PanicSite::ResultUnwanted, HERE, "", &[JOB]),
    (PanicSite::Spawned, DRIVER, "", &[STEP]),
    (PanicSite::Step, DRIVER, "", &[STEP]),
    (PanicSite::End, DRIVER, "done", &[END]),
    (PanicSite::Dropped, DRIVER, "done", &[DROPPED]),
    (PanicSite::JobEncoded, DRIVER, "lost", &[JOB]),
    // The driver already holds the job's bytes.
    (PanicSite::JobDropped, DRIVER, "done", &[JOB_DROPPED]),
    (PanicSite::JobCancelled, DRIVER, "", &[JOB_DROPPED]),
    (PanicSite::ResultDecoded, DRIVER, "lost", &[JOB]),
    (PanicSite::ResultDropped, DRIVER, "done", &[STEP]),
    (
        PanicSite::ResultUnwanted,
        DRIVER,
        "",
        &["core::option::Option<driven::guarding::Fruit>: panicked when it was dropped: planted"],
    ),
    (PanicSite::Panicked, DRIVER, "", &[BEFORE, AGAIN]),
];

const BEFORE: &str = "a connection's task (driven::guarding::Planter): panicked: before";
const STEP: &str = "a connection's task (driven::guarding::Planter): panicked: planted";
const AGAIN: &str =
    "a connection's task (driven::guarding::Planter): panicked again when it was told: planted";
const END: &str = "a connection's task (driven::guarding::Planter): panicked at its end: planted";
const DROPPED: &str = "driven::guarding::Planter: panicked when it was dropped: planted";
const JOB: &str = "driven::guarding::Work: a job panicked: planted";
const JOB_DROPPED: &str = "driven::guarding::Work: panicked when it was dropped: planted";

thread_local! {
    static ARMED: Cell<Option<PanicSite>> = const { Cell::new(None) };
    static REPORTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

const GUARD: PanicGuard = PanicGuard {
    call: |act| {
        let panic = catch_unwind(AssertUnwindSafe(act)).err()?;
        Some(panic.downcast_ref::<&str>().expect("the panic is a planted one").to_string())
    },
    report: |line| REPORTS.with_borrow_mut(|reports| reports.push(line.to_string())),
};

/// Panics without running the panic hook.
fn panic_with(said: &'static str) {
    resume_unwind(Box::new(said));
}

impl PanicSite {
    /// Panics if this place is armed. Disarms the place, except for `Left`.
    fn strike(self) {
        if ARMED.get() == Some(self) {
            ARMED.set(ARMED.get().filter(|place| *place == Self::Left));
            panic_with("planted");
        }
    }
}

struct Planted(PanicSite);

/// Echoes bytes. At a `b`, executes the code with the panic.
struct Planter {
    source: SourceId,
    place: PanicSite,
    job: Option<JobId>,
    is_bad: bool,
}

impl Service for Planted {
    type Conn = Planter;
    type Job = Work;

    fn connect(&self, source: SourceId) -> Planter {
        PanicSite::Connect.strike();
        Planter { source, place: self.0, job: None, is_bad: false }
    }
}

impl Planter {
    fn misbehave(&mut self, cx: &mut Cx<'_, DrivenHost<Planted>>) -> Step {
        self.is_bad = true;
        PanicSite::Step.strike();
        if matches!(self.place, PanicSite::Label | PanicSite::Panicked) {
            panic_with("before");
        }
        let job = cx.submit(Work { slices: 2 }).expect("the limit is not reached");
        match self.place {
            PanicSite::JobCancelled => cx.cancel_job::<Work>(job),
            PanicSite::Left => return Step::Wait(Wait::recv(self.source)),
            _ => {
                self.job = Some(job);
                return Step::Wait(Wait::job(job));
            }
        }
        Step::Done
    }

    fn take_job(&mut self, job: JobId, cx: &mut Cx<'_, DrivenHost<Planted>>) -> Step {
        if self.place == PanicSite::ResultUnwanted {
            cx.cancel_job::<Work>(job);
            return Step::Done;
        }
        let result = cx.take_job::<Work>(job);
        let word = if result.is_some() { "done" } else { "lost" };
        cx.send(self.source, word.as_bytes()).expect("the limit is not reached");
        drop(result);
        Step::Done
    }
}

impl Task<DrivenHost<Planted>> for Planter {
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, DrivenHost<Planted>>) -> Step {
        if let Some(job) = self.job.take() {
            return self.take_job(job, cx);
        }
        let mut word = [0];
        match cx.recv(self.source, &mut word) {
            Err(_) => Step::Wait(Wait::recv(self.source)),
            Ok(_) if word == *b"b" => self.misbehave(cx),
            Ok(count) => {
                cx.send(self.source, &word[..count]).expect("the limit is not reached");
                Step::Yield
            }
        }
    }

    fn spawned(self: Pin<&mut Self>, _: TaskId) {
        PanicSite::Spawned.strike();
    }

    fn label(&self) -> Option<Label> {
        PanicSite::Label.strike();
        None
    }

    fn panicked(self: Pin<&mut Self>, _: &mut Cx<'_, DrivenHost<Planted>>) {
        PanicSite::Panicked.strike();
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, DrivenHost<Planted>>) {
        cx.close(self.source);
        PanicSite::End.strike();
    }
}

impl Drop for Planter {
    fn drop(&mut self) {
        PanicSite::Dropped.strike();
        PanicSite::Left.strike();
    }
}

struct Work {
    slices: u32,
}

struct Fruit;

impl Job for Work {
    type Output = Fruit;

    fn run(&mut self, _: u32) -> Progress<Fruit> {
        PanicSite::JobRuns.strike();
        self.slices -= 1;
        if self.slices == 0 { Progress::Done(Fruit) } else { Progress::More }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        PanicSite::JobDropped.strike();
        PanicSite::JobCancelled.strike();
        PanicSite::Left.strike();
    }
}

impl Drop for Fruit {
    fn drop(&mut self) {
        PanicSite::ResultDropped.strike();
        PanicSite::ResultUnwanted.strike();
        PanicSite::Left.strike();
    }
}

impl WireJob for Work {
    fn encode(&self, put: &mut dyn FnMut(&[u8])) -> bool {
        put(b"wo");
        PanicSite::JobEncoded.strike();
        put(b"rk");
        true
    }

    fn decode(_: &[u8]) -> Option<Self> {
        unreachable!("the driver knows the result")
    }

    fn encode_output(_: &Fruit, _: &mut dyn FnMut(&[u8])) {
        unreachable!("the driver knows the result")
    }

    fn decode_output(bytes: &[u8]) -> Option<Fruit> {
        PanicSite::ResultDecoded.strike();
        (bytes == b"fruit").then_some(Fruit)
    }
}

/// A guarded loop and its driver.
struct Scene {
    driven: Driven<Planted>,
    said: BTreeMap<u64, String>,
    closed: Vec<SourceHandle>,
    submitted: Vec<JobId>,
}

impl Scene {
    fn new(place: PanicSite, computes: Compute) -> Self {
        let driven = Driven::new(Planted(place), &Limits::new(4, 1, 256), computes).guard(GUARD);
        let mut scene = Self { driven, said: BTreeMap::new(), closed: vec![], submitted: vec![] };
        scene.turn([Event::Listener(LISTENER)], b"");
        scene
    }

    /// Runs one turn and executes its commands.
    fn turn(&mut self, events: impl IntoIterator<Item = Event>, input: &[u8]) -> Rest {
        let answer = self.driven.turn(Instant::ZERO, WINDOW, events, input.to_vec());
        assert_eq!(self.driven.kernel().audit(), Ok(()));
        let mut output = answer.output.into_iter();
        for command in answer.commands {
            match command {
                Command::Send { source, len } => {
                    let said = output.by_ref().take(len as usize).map(char::from);
                    self.said.entry(source.0).or_default().extend(said);
                }
                Command::Submit { job, len } => {
                    assert!(output.by_ref().take(len as usize).eq(*b"work"));
                    self.submitted.push(job);
                }
                Command::Cancel(job) => self.submitted.retain(|submitted| *submitted != job),
                Command::Close(source) => self.closed.push(source),
                _ => {}
            }
        }
        assert_eq!(output.len(), 0, "all bytes belong to a command");
        answer.rest
    }

    /// Runs turns until no work is left. The driver completes each job before the next turn.
    fn tell(&mut self, event: Event, input: &[u8]) {
        let mut rest = self.turn([event], input);
        while rest == Rest::Ready || !self.submitted.is_empty() {
            let submitted = std::mem::take(&mut self.submitted);
            let input = b"fruit".repeat(submitted.len());
            rest = self.turn(submitted.into_iter().map(|job| Event::Computed { job, len: 5 }), &input);
        }
    }

    fn come(&mut self, connection: u64) {
        let connection = SourceHandle(connection);
        self.tell(Event::Accepted { listener: LISTENER, connection, len: 0 }, b"");
    }

    /// Sends a byte and returns the reply.
    fn ask(&mut self, connection: u64, byte: u8) -> String {
        self.tell(Event::Received { source: SourceHandle(connection), len: 1 }, &[byte]);
        self.said.remove(&connection).unwrap_or_default()
    }
}

fn reports() -> Vec<String> {
    REPORTS.take()
}

#[test]
fn a_panic_takes_down_one_task_and_is_reported() {
    for (place, computes, told, reported) in CASES {
        let case = (place, computes);
        let mut scene = Scene::new(place, computes);
        scene.come(1);
        assert_eq!(scene.ask(1, b'g'), "g", "{case:?}: before");
        ARMED.set(Some(place));
        scene.come(2);
        if scene.closed.is_empty() {
            assert_eq!(scene.ask(2, b'b'), told, "{case:?}");
        }
        assert_eq!(ARMED.get(), None, "{case:?}: the loop reaches the place");
        assert_eq!(scene.closed, [SourceHandle(2)], "{case:?}: the connection ends");
        assert_eq!(reports(), reported, "{case:?}");
        scene.come(3);
        assert_eq!(scene.ask(3, b'g'), "g", "{case:?}: a connection that comes later");
        assert_eq!(scene.ask(1, b'g'), "g", "{case:?}: a connection that was there before");
        assert_eq!(scene.driven.kernel().tasks().count(), 3, "{case:?}: a listener and two connections");
        assert_eq!(scene.driven.counts().ignored, 0, "{case:?}");
        drop(scene);
        assert_eq!(reports(), [""; 0], "{case:?}: at the end");
    }
}

/// Drops tasks, running jobs, and a result that no task has received.
#[test]
fn what_is_left_in_a_loop_is_dropped_one_by_one() {
    for (computes, jobs, results) in [(HERE, 3, 0), (DRIVER, 0, 1)] {
        let mut scene = Scene::new(PanicSite::Left, computes);
        for connection in 1..4 {
            scene.come(connection);
        }
        let asks = (1..4).map(|source| Event::Received { source: SourceHandle(source), len: 1 });
        scene.turn(asks, b"bbb");
        // The loop computes slices of its jobs in turn, so the first job completes with its second slice.
        for _ in 0..3 {
            let first = scene.submitted.drain(..).next();
            scene.turn(first.map(|job| Event::Computed { job, len: 5 }), b"fruit");
        }
        assert_eq!(reports(), [""; 0]);
        ARMED.set(Some(PanicSite::Left));
        drop(scene);
        ARMED.set(None);
        let reports = reports();
        let count = |text| reports.iter().filter(|line| line.contains(text)).count();
        assert_eq!(count("ServeTask<driven::guarding::Planted>"), 3, "{computes:?}: {reports:?}");
        assert_eq!(count("guarding::Work: a job panicked"), jobs, "{computes:?}: {reports:?}");
        assert_eq!(count("guarding::Fruit"), results, "{computes:?}: {reports:?}");
        assert_eq!(count("planted"), reports.len(), "{computes:?}: {reports:?}");
        assert_eq!(reports.len(), 3 + jobs + results, "{computes:?}: {reports:?}");
    }
}

#[test]
fn without_a_guard_a_panic_leaves_the_turn() {
    let driven = Driven::new(Planted(PanicSite::Step), &Limits::new(4, 1, 256), HERE);
    let mut driven = AssertUnwindSafe(driven);
    driven.turn(Instant::ZERO, WINDOW, arrived(0), Vec::new());
    ARMED.set(Some(PanicSite::Step));
    let events = [Event::Received { source: CLIENT, len: 1 }];
    let left = catch_unwind(move || driven.turn(Instant::ZERO, WINDOW, events, b"b".to_vec()));
    assert_eq!(left.unwrap_err().downcast_ref(), Some(&"planted"));
    assert_eq!(reports(), [""; 0]);
}

async fn stumble(conn: Conn<'_>) {
    conn.recv(&mut [0]).await.expect("it comes");
    panic_with("planted");
}

#[test]
fn a_guest_that_panics_is_reported_by_its_label() {
    let run_context = RunContext::new(&NoWakers);
    let pool = pin!(Pool::growing(1));
    let service = AsyncService::new(Handle::new(&run_context), Pin::as_ref(&pool), stumble);
    let mut driven = Driven::new(service, &Limits::new(2, 1, 256), HERE).guard(GUARD);
    driven.turn(Instant::ZERO, WINDOW, arrived(0), Vec::new());
    let events = [Event::Received { source: CLIENT, len: 1 }];
    let answer = driven.turn(Instant::ZERO, WINDOW, events, b"b".to_vec());
    assert!(answer.commands.contains(&Command::Close(CLIENT)), "{:?}", answer.commands);
    assert_eq!(answer.room, 1);
    let reports = reports();
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert!(report.contains("guarding::stumble") && report.ends_with(": panicked: planted"), "{report}");
}
