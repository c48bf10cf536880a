//! The executor: tasks that spawn, wake, cancel and fail, on a host without I/O.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;

use proptest::prelude::*;
use sinbin_core::exec::MAX_SPAWNS;
use sinbin_core::kernel::{Failure, Op};
use sinbin_core::{
    Cx, Executor, Fixed, Host, Instant, IoError, JobId, Rest, SourceId, Step, Task, TaskId, Wait, WaitTarget,
    WakeReason,
};
use sinbin_testkit::cases::cases;
use sinbin_testkit::no_io;

const PLACES: usize = 128;

/// The events of the tasks, in order.
#[derive(Clone, PartialEq, Debug)]
enum Event {
    /// A step of the named task, with the reason it was woken.
    Step(String, WakeReason),
    /// The call of `Task::end` of the named task.
    End(String),
    /// The host's notification that a task has ended.
    Ended(TaskId, Option<Failure>),
}

#[derive(Default)]
struct Diary(Vec<Event>);

/// A task that executes one move in each step and then completes.
struct Player {
    name: String,
    steps: Vec<Move>,
}

enum Move {
    Spawn(Vec<Player>),
    Yield,
    Wait,
    Wake(TaskId),
    Cancel(TaskId),
    Fail,
    /// Spawns these tasks and panics in the same step.
    Panic(Vec<Player>),
}

const FAILURE: Failure = Failure { op: Op::Wait, source: SourceId::from_bits(7), error: IoError::Os(5) };

impl Host for Diary {
    type Storage = Fixed<PLACES, 0, 0>;
    type Task = Player;

    no_io!();

    fn ended(&mut self, task: TaskId, failure: Option<Failure>) {
        self.0.push(Event::Ended(task, failure));
    }
}

impl Task<Diary> for Player {
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, Diary>) -> Step {
        let running = cx.id();
        assert_eq!(cx.kernel().queue().next(), Some(running), "the running task is the first of the queue");
        let wake_reason = cx.wake_reason();
        cx.host.0.push(Event::Step(self.name.clone(), wake_reason));
        if self.steps.is_empty() || wake_reason == WakeReason::Cancelled {
            return Step::Done;
        }
        match self.steps.remove(0) {
            Move::Spawn(players) => {
                let left: Vec<_> = players.into_iter().filter_map(|player| cx.spawn(player).err()).collect();
                if !left.is_empty() {
                    self.steps.insert(0, Move::Spawn(left));
                }
            }
            Move::Wait => return Step::Wait(Wait::wake()),
            Move::Wake(task) => assert!(cx.wake(task)),
            Move::Cancel(task) => assert!(cx.cancel(task)),
            Move::Fail => return Step::Fail(FAILURE),
            Move::Panic(players) => {
                assert!(players.into_iter().all(|player| cx.spawn(player).is_ok()));
                resume_unwind(Box::new("planted"));
            }
            Move::Yield => {}
        }
        Step::Yield
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, Diary>) {
        let name = self.name.clone();
        cx.host.0.push(Event::End(name));
    }
}

fn player(name: &str, steps: Vec<Move>) -> Player {
    Player { name: name.into(), steps }
}

struct Stage {
    executor: Executor<Diary>,
    diary: Diary,
}

impl Stage {
    fn new() -> Self {
        Self { executor: Executor::new(&Fixed), diary: Diary::default() }
    }

    fn spawn(&mut self, player: Player) -> TaskId {
        self.executor.spawn(player).unwrap_or_else(|player| panic!("no slot for {}", player.name))
    }

    /// Runs one turn. Returns the names of the tasks that had a step, in order.
    fn turn(&mut self) -> Vec<String> {
        let before = self.diary.0.len();
        let steps = self.executor.turn(Instant::ZERO, &mut self.diary);
        assert_eq!(self.executor.kernel.audit(), Ok(()));
        let name = |event: &Event| match event {
            Event::Step(name, _) => Some(name.clone()),
            Event::End(_) | Event::Ended(..) => None,
        };
        let names: Vec<_> = self.diary.0[before..].iter().filter_map(name).collect();
        assert_eq!(names.len(), steps, "steps are counted");
        names
    }
}

#[test]
fn who_is_spawned_in_a_turn_runs_in_the_next_behind_all_others() {
    let mut stage = Stage::new();
    let children = vec![player("c", vec![]), player("d", vec![])];
    stage.spawn(player("a", vec![Move::Spawn(children)]));
    stage.spawn(player("b", vec![Move::Yield]));
    assert_eq!(stage.turn(), ["a", "b"]);
    assert_eq!(stage.turn(), ["c", "d", "a", "b"]);
    assert_eq!(stage.executor.kernel.rest(), Rest::Empty);
}

#[test]
fn past_the_limit_of_a_step_a_task_is_given_back_and_spawned_later() {
    let mut stage = Stage::new();
    let children = (0..2 * MAX_SPAWNS + 1).map(|number| player(&number.to_string(), vec![])).collect();
    stage.spawn(player("a", vec![Move::Spawn(children)]));
    let turns: Vec<_> = std::iter::from_fn(|| Some(stage.turn()).filter(|turn| !turn.is_empty())).collect();
    let sizes: Vec<_> = turns.iter().map(Vec::len).collect();
    // With a heap, the number of tasks is limited by the kernel alone.
    let with_heap = [1, 2 * MAX_SPAWNS + 2].as_slice();
    let without = [1, MAX_SPAWNS + 1, MAX_SPAWNS + 1, 2].as_slice();
    assert_eq!(sizes, if cfg!(feature = "alloc") { with_heap } else { without });
}

#[test]
fn without_a_place_a_task_is_given_back() {
    let mut stage = Stage::new();
    for _ in 0..PLACES {
        stage.spawn(player("a", vec![]));
    }
    let spare = stage.executor.spawn(player("spare", vec![]));
    assert!(spare.is_err_and(|player| player.name == "spare"));
    assert_eq!(stage.turn().len(), PLACES);
    stage.spawn(player("b", vec![]));
}

#[test]
fn a_task_wakes_and_cancels_others_and_each_is_told_why_it_runs() {
    let mut stage = Stage::new();
    let (first, second) =
        (stage.spawn(player("a", vec![Move::Wait])), stage.spawn(player("b", vec![Move::Wait])));
    stage.spawn(player("c", vec![Move::Wake(first), Move::Cancel(second)]));
    while stage.executor.kernel.rest() == Rest::Ready {
        stage.turn();
    }
    let told = |of: &str| -> Vec<_> {
        let told = |event: &Event| match event {
            Event::Step(name, wake_reason) if name == of => Some(*wake_reason),
            _ => None,
        };
        stage.diary.0.iter().filter_map(told).collect()
    };
    assert_eq!(told("a"), [WakeReason::Spawned, WakeReason::Named]);
    assert_eq!(told("b"), [WakeReason::Spawned, WakeReason::Cancelled]);
    assert_eq!(told("c"), [WakeReason::Spawned, WakeReason::Yielded, WakeReason::Yielded]);
}

#[test]
fn a_task_that_fails_is_reported_and_takes_nobody_with_it() {
    let mut stage = Stage::new();
    let (first, second) = (stage.spawn(player("a", vec![Move::Fail])), stage.spawn(player("b", vec![])));
    stage.turn();
    let step = |name: &str| Event::Step(name.into(), WakeReason::Spawned);
    let end = |name: &str| Event::End(name.into());
    let failed = [step("a"), end("a"), Event::Ended(first, Some(FAILURE))];
    let done = [step("b"), end("b"), Event::Ended(second, None)];
    assert_eq!(stage.diary.0, [failed, done].concat());
}

/// A panic unwinds out of a step, so that the tasks spawned in this step have no slots yet.
#[test]
fn all_tasks_are_drained_one_by_one_without_a_further_step() {
    let mut stage = Stage::new();
    let children = vec![player("d", vec![]), player("e", vec![])];
    stage.spawn(player("a", vec![Move::Yield]));
    stage.spawn(player("b", vec![Move::Panic(children)]));
    stage.spawn(player("c", vec![]));
    assert!(catch_unwind(AssertUnwindSafe(|| stage.turn())).is_err());
    let steps = ["a", "b"].map(|name| Event::Step(name.into(), WakeReason::Spawned));
    let mut names = Vec::new();
    stage.executor.drain(|player| names.push(player.name));
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    assert_eq!(stage.diary.0, steps);
    stage.executor.drain(|player| panic!("{} is there twice", player.name));
}

/// A family of tasks: the number of yields before this task spawns its children, and the children.
#[derive(Clone, Debug)]
struct Family(usize, Vec<Family>);

fn family() -> impl Strategy<Value = Family> {
    let leaf = (0..3_usize).prop_map(|yields| Family(yields, vec![]));
    leaf.prop_recursive(4, 60, 12, |child| {
        (0..3_usize, proptest::collection::vec(child, 0..12))
            .prop_map(|(yields, children)| Family(yields, children))
    })
}

fn play(Family(yields, children): &Family) -> Player {
    let mut steps: Vec<_> = (0..*yields).map(|_| Move::Yield).collect();
    steps.push(Move::Spawn(children.iter().map(play).collect()));
    player("", steps)
}

fn size(family: &Family) -> usize {
    1 + family.1.iter().map(size).sum::<usize>()
}

proptest! {
    #![proptest_config(cases(100))]

    /// Each task runs and ends exactly once, although a step can spawn only a few tasks.
    #[test]
    fn each_task_of_a_family_runs_and_ends_once(family in family()) {
        prop_assume!(size(&family) <= PLACES);
        let mut stage = Stage::new();
        stage.spawn(play(&family));
        for turn in 0.. {
            prop_assert!(turn < 1000, "they starve each other");
            if stage.turn().is_empty() {
                break;
            }
        }
        let count = |is: fn(&Event) -> bool| stage.diary.0.iter().filter(|event| is(event)).count();
        prop_assert_eq!(count(|event| matches!(event, Event::Step(_, WakeReason::Spawned))), size(&family));
        prop_assert_eq!(count(|event| matches!(event, Event::End(_))), size(&family));
        prop_assert_eq!(count(|event| matches!(event, Event::Ended(..))), size(&family));
        prop_assert_eq!(stage.executor.kernel.rest(), Rest::Empty);
    }
}

#[test]
fn a_wait_tells_what_it_is_for() {
    let (source, job) = (SourceId::from_bits(3 << 32 | 7), JobId::from_bits(5 << 32 | 9));
    let targets = [
        WaitTarget::Recv(source),
        WaitTarget::Send(source),
        WaitTarget::Hangup(source),
        WaitTarget::Job(job),
    ];
    let at = Instant::from_nanos(12);
    let wait = targets[1..].iter().fold(Wait::on(targets[0]), |wait, what| wait.or(*what)).until(at);
    assert!(wait.targets().eq(targets));
    assert_eq!(wait.deadline(), at);
    assert_eq!((Wait::wake().targets().count(), Wait::wake().deadline()), (0, Instant::NEVER));
}

/// The executor has no slot for a task that was spawned directly in the kernel. A debug build reports this mistake at
/// once.
#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "who is queued has a place")]
fn a_task_that_was_spawned_past_the_executor_stops_a_debug_build() {
    let mut stage = Stage::new();
    stage.executor.kernel.spawn().unwrap();
    stage.turn();
}
