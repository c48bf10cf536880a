//! Random programs of scopes, timeouts, shields and cancellations, compared with the oracle.

use std::rc::Rc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::group::scope;
use sinbin_core::sync::{Event, PermitError, Semaphore};
use sinbin_core::task::{Handle, NoWakers, RunContext, join, race};
use sinbin_core::{Instant, Rest};
use sinbin_testkit::cases::cases;
use sinbin_testkit::memory_host::{World, yields};

use crate::oracle::{Counts, Fails, How, Lives, Oracle, Running, Scope, Task, Watched};

/// An operation of a task.
#[derive(Clone, Debug)]
enum Deed {
    Yield(usize),
    Sleep(u64),
    /// Acquires a permit that is always available, this many times.
    Flood(usize),
    /// Waits for the event.
    Wait,
    Set,
    /// Fails, unless the failure could not be reported.
    Fail,
    /// Cancels one of the tasks so far.
    Cancel(usize),
    CancelItself,
    Shield(Vec<Self>),
    Timeout(u64, Vec<Self>),
    Race(Vec<Self>, Vec<Self>),
    Join(Vec<Self>, Vec<Self>),
    Scope(Plan),
}

/// A scope.
#[derive(Clone, Debug)]
struct Plan {
    tasks: Vec<Program>,
    body: Vec<Deed>,
    end: End,
}

/// The way in which the body of a scope ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Returns,
    Joins,
    /// Receives the results one after another.
    Takes,
    /// Waits until all tasks have ended.
    Waits,
    /// Waits until all tasks have ended, for this many milliseconds at most.
    WaitsFor(u64),
    Cancels,
}

/// A task.
#[derive(Clone, Debug)]
struct Program {
    deeds: Vec<Deed>,
    /// True if the task ends when an operation is refused, as by `?`. Otherwise it continues.
    obeys: bool,
}

/// Programs, and cancellations: before which turn, and of which task.
#[derive(Clone, Debug)]
struct Whole {
    roots: Vec<Program>,
    cancels: Vec<(usize, usize)>,
    /// The turn before which all tasks are cancelled.
    ends: Option<usize>,
}

fn leaf() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => (1..4_usize).prop_map(Deed::Yield),
        3 => (0..5_u64).prop_map(Deed::Sleep),
        3 => (1..40_usize).prop_map(Deed::Flood),
        3 => Just(Deed::Wait),
        1 => Just(Deed::Set),
        2 => Just(Deed::Fail),
        2 => (0..12_usize).prop_map(Deed::Cancel),
        1 => Just(Deed::CancelItself),
    ]
}

/// Returns an operation that ends without the help of other tasks.
fn finite() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (1..4_usize).prop_map(Deed::Yield),
        (0..5_u64).prop_map(Deed::Sleep),
        (1..40_usize).prop_map(Deed::Flood),
        (0..12_usize).prop_map(Deed::Cancel),
        Just(Deed::CancelItself),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Returns),
        Just(End::Joins),
        Just(End::Takes),
        Just(End::Waits),
        (0..5_u64).prop_map(End::WaitsFor),
        Just(End::Cancels),
    ]
}

fn program(deed: impl Strategy<Value = Deed>) -> impl Strategy<Value = Program> {
    (vec(deed, 0..5), any::<bool>()).prop_map(|(deeds, obeys)| Program { deeds, obeys })
}

fn deed() -> impl Strategy<Value = Deed> {
    leaf().prop_recursive(3, 40, 6, |inner| {
        let some = || vec(inner.clone(), 0..4);
        let plan = (vec(program(inner.clone()), 0..4), some(), end());
        prop_oneof![
            2 => leaf(),
            2 => vec(finite(), 0..4).prop_map(Deed::Shield),
            2 => (0..6_u64, some()).prop_map(|(millis, deeds)| Deed::Timeout(millis, deeds)),
            1 => (some(), some()).prop_map(|(one, other)| Deed::Race(one, other)),
            1 => (some(), some()).prop_map(|(one, other)| Deed::Join(one, other)),
            4 => plan.prop_map(|(tasks, body, end)| Deed::Scope(Plan { tasks, body, end })),
        ]
    })
}

fn whole() -> impl Strategy<Value = Whole> {
    let cancels = vec((0..25_usize, 0..12_usize), 0..4);
    let ends = proptest::option::weighted(0.2, 0..25_usize);
    (vec(program(deed()), 1..4), cancels, ends).prop_map(|(roots, cancels, ends)| Whole {
        roots,
        cancels,
        ends,
    })
}

/// The objects that the tasks of a program share.
struct Things<'d> {
    handle: Handle<'d>,
    event: Event<'d>,
    permits: Semaphore<'d>,
    oracle: &'d Oracle,
}

impl<'d> Things<'d> {
    /// Returns the future of a task that runs the program.
    fn live(&'d self, task: Rc<Task>, program: &'d Program) -> Lives<'d> {
        let how = How { task: task.clone(), obeys: program.obeys, is_shielded: false, depth: 0 };
        Lives::new(self.oracle, task, self.run(how, &program.deeds))
    }

    fn run(&'d self, how: How, deeds: &'d [Deed]) -> Running<'d> {
        Box::pin(async move {
            for deed in deeds {
                self.oracle.tell(format!("{:?} {deed:?}", how.task.id.get()));
                match self.act(&how, deed).await {
                    Err(Fails::Cancelled) if !how.obeys => {}
                    result => result?,
                }
            }
            Ok(())
        })
    }

    async fn act(&'d self, how: &How, deed: &'d Deed) -> Result<(), Fails> {
        let (handle, oracle) = (self.handle, self.oracle);
        match deed {
            Deed::Yield(turns) => yields(handle, *turns).await,
            Deed::Sleep(millis) => self.sleep(*millis).await,
            Deed::Flood(times) => {
                for _ in 0..*times {
                    let acquire = async {
                        self.permits.acquire(1).await.map(drop).map_err(|error| match error {
                            PermitError::Wait(refused) => refused,
                            error => panic!("{error}"),
                        })
                    };
                    oracle.operate(how, acquire).await?;
                }
            }
            Deed::Wait => oracle.operate(how, self.event.wait()).await?,
            Deed::Set => self.event.set().expect("in a task"),
            Deed::Fail => return Err(oracle.fails()),
            Deed::Cancel(number) => {
                let task = oracle.tasks.borrow().get(*number).cloned();
                if let Some((task, id)) = task.and_then(|task| Some((task.clone(), task.id.get()?))) {
                    task.cancel();
                    handle.cancel(id);
                }
            }
            Deed::CancelItself => {
                how.task.cancel();
                handle.cancel(handle.current().expect("in a task"));
            }
            Deed::Shield(deeds) => {
                let _shielded = Counts::one(&how.task.shields);
                let inner = How { is_shielded: true, ..how.clone() };
                return handle.shield(self.run(inner, deeds)).await;
            }
            Deed::Timeout(millis, deeds) => {
                let end = handle.after(Some(Duration::from_millis(*millis)));
                match handle.until(end, self.run(how.clone(), deeds)).await {
                    Ok(result) => return result,
                    Err(_) => assert_eq!(handle.now(), end, "neither early nor late"),
                }
            }
            Deed::Race(one, other) => {
                let (one, other) = (self.run(how.clone(), one), self.run(how.clone(), other));
                return race(one, other).await;
            }
            Deed::Join(one, other) => {
                let (one, other) = join(self.run(how.clone(), one), self.run(how.clone(), other)).await;
                return one.and(other);
            }
            Deed::Scope(plan) => return self.scope(how, plan).await,
        }
        Ok(())
    }

    async fn sleep(&self, millis: u64) {
        let end = self.handle.after(Some(Duration::from_millis(millis)));
        self.handle.sleep_until(end).await;
        assert_eq!(self.handle.now(), end, "neither early nor late");
    }

    async fn scope(&'d self, how: &How, plan: &'d Plan) -> Result<(), Fails> {
        let watched = Scope::new(&how.task);
        let inside = watched.clone();
        let future = scope(self.handle, async |group| {
            for program in &plan.tasks {
                let task = self.oracle.task(Some(inside.clone()));
                // The kernel may be full.
                if let Ok(id) = group.spawn(self.live(task.clone(), program)) {
                    task.id.set(Some(id));
                }
            }
            let how = How { depth: how.depth + 1, ..how.clone() };
            let result = match self.run(how.clone(), &plan.body).await {
                Ok(()) => self.end(&how, &inside, group, plan.end).await,
                failed => failed,
            };
            result.inspect_err(|error| inside.fails(*error))
        });
        Watched::new(self.oracle, watched, future).await
    }

    async fn end(
        &'d self,
        how: &How,
        scope: &Scope,
        group: &sinbin_core::group::Group<'d, (), Fails>,
        end: End,
    ) -> Result<(), Fails> {
        let takes = |failed| scope.takes(self.oracle, &failed);
        let ended = || self.oracle.operate(how, group.ended());
        match end {
            End::Returns => Ok(()),
            End::Joins => group.join().await.map_err(takes),
            End::Takes => {
                while let Some(result) = group.next().await {
                    // The errors that follow are also reported, each of them once.
                    if result.map_err(takes) == Err(Fails::Cancelled) && how.task.was_told() {
                        return Err(Fails::Cancelled);
                    }
                }
                Ok(())
            }
            End::Waits => ended().await,
            End::WaitsFor(millis) => {
                let waited = self.handle.timeout(Duration::from_millis(millis), ended()).await;
                waited.unwrap_or_else(|_| Err(self.oracle.fails()))
            }
            End::Cancels => {
                scope.cancels();
                group.cancel();
                ended().await
            }
        }
    }
}

/// Runs the programs and returns the events.
fn try_whole(whole: &Whole) -> Vec<String> {
    let oracle = Oracle::default();
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let things =
        Things { handle, event: Event::new(handle), permits: Semaphore::new(handle, 1000), oracle: &oracle };
    let things = &things;
    let mut world = World::new(handle);
    for program in &whole.roots {
        let task = oracle.task(None);
        let id = world.spawn(things.live(task.clone(), program)).task();
        task.id.set(Some(id));
    }
    let mut turn = 0;
    while turns_left(&mut world, turn, whole) {
        for (_, number) in whole.cancels.iter().filter(|(when, _)| *when == turn) {
            let task = oracle.tasks.borrow().get(*number).cloned();
            if let Some((task, id)) = task.and_then(|task| Some((task.clone(), task.id.get()?))) {
                task.cancel();
                world.executor.kernel.cancel_once(id);
            }
        }
        if whole.ends == Some(turn) {
            oracle.ends.set(true);
            world.executor.kernel.cancel_all();
        }
        world.turn();
        turn += 1;
        assert!(turn < 5000, "the programs never end: {}", world.list());
    }
    oracle.all_rest();
    oracle.ends.set(true);
    world.executor.kernel.cancel_all();
    while world.executor.kernel.rest() != Rest::Empty {
        assert!(turns_left(&mut world, usize::MAX, whole), "all tasks can end: {}", world.list());
        world.turn();
    }
    drop(world);
    oracle.story.take()
}

/// Returns true if a task can still run. Advances the clock to the next deadline if necessary.
fn turns_left(world: &mut World<'_>, turn: usize, whole: &Whole) -> bool {
    match world.executor.kernel.rest() {
        Rest::Ready => true,
        Rest::Until(deadline) => {
            assert!(deadline < Instant::NEVER, "no task waits for the outside");
            world.now = world.now.max(deadline);
            true
        }
        Rest::Stalled | Rest::Empty => {
            let cancels = whole.cancels.iter().map(|(when, _)| *when).chain(whole.ends);
            cancels.max().is_some_and(|last| turn <= last)
        }
    }
}

proptest! {
    #![proptest_config(cases(if cfg!(miri) { 6 } else { 1000 }))]

    #[test]
    fn scopes_timeouts_shields_and_cancels_keep_their_promises(whole in whole()) {
        let story = try_whole(&whole);
        assert_eq!(try_whole(&whole), story, "a second run has the same events");
    }
}
