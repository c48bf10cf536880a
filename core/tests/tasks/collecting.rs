//! Sets of tasks whose results are collected one by one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sinbin_core::group::JoinSet;
use sinbin_core::task::{
    Handle, JoinError, JoinErrorKind, NoWakers, Pool, RunContext, WaitError, join, select,
};
use sinbin_core::{Rest, TaskId};
use sinbin_testkit::cases::cases;
use sinbin_testkit::memory_host::{Falls, Log, World, yields};

async fn child(
    handle: Handle<'_>,
    turns: usize,
    output: Result<u32, &'static str>,
) -> Result<u32, &'static str> {
    yields(handle, turns).await;
    output
}

#[test]
fn results_come_in_the_order_of_the_ends_with_their_tasks() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let set = JoinSet::new(handle);
        assert_eq!((set.is_empty(), set.join_next().await), (true, Ok(None)));
        assert!(set.try_join_next().is_none());
        let ids = [(5, Ok(1)), (2, Err("bad")), (0, Ok(3)), (4, Err("worse"))]
            .map(|(turns, end)| set.spawn(child(handle, turns, end)).unwrap());
        assert_eq!(set.len(), 4);
        while let Some((task, result)) = set.join_next().await.unwrap() {
            log.add((ids.iter().position(|id| *id == task).unwrap(), result.unwrap()));
        }
        // The set accepts tasks again after that.
        set.spawn(child(set.handle(), 1, Ok(7))).unwrap();
        log.add((4, set.join_next().await.unwrap().unwrap().1.unwrap()));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [(2, Ok(3)), (1, Err("bad")), (3, Err("worse")), (0, Ok(1)), (4, Ok(7))]);
}

#[test]
fn a_task_that_is_cancelled_has_a_result_too() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let set = JoinSet::new(handle);
        let gone = set.spawn(std::future::pending::<u32>()).unwrap();
        let told = set.spawn(async move { u32::from(handle.wait_named().await.is_err()) }).unwrap();
        handle.yield_now().await;
        set.cancel_all();
        let (task, result) = set.join_next().await.unwrap().unwrap();
        let JoinError { task: same, label, why } = result.unwrap_err();
        assert_eq!((task, same, why), (gone, gone, JoinErrorKind::Cancelled));
        assert!(label.to_string().contains("pending"), "{label}");
        assert_eq!(set.next_end().await, Ok((told, Ok(1))));
        log.add("end");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["end"]);
}

#[test]
fn at_the_limit_a_future_comes_back_and_who_reserves_waits_in_turn() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let set = Rc::new(JoinSet::with_limit(handle, 2));
    let same = Rc::clone(&set);
    world.spawn(async move {
        for n in 0..2 {
            same.spawn(child(handle, 3, Ok(n))).unwrap();
        }
        let back = same.try_spawn(child(handle, 0, Ok(9))).unwrap_err();
        assert_eq!(back.0.await, Ok(9), "it can be awaited here");
        assert!(same.try_reserve().is_none());
        yields(handle, 9).await;
        assert_eq!((same.len(), same.limit()), (2, 2));
        assert!(same.spawn(child(handle, 0, Ok(9))).is_err(), "results that nobody took count");
        while let Some((_, result)) = same.join_next().await.unwrap() {
            log.add(result.unwrap().unwrap());
            yields(handle, 1).await;
            assert!(same.len() <= 2);
        }
    });
    for n in 10..14 {
        let set = Rc::clone(&set);
        world.spawn(async move {
            yields(handle, 1).await;
            let place = set.reserve().await.unwrap();
            assert_eq!(format!("{place:?}"), "Place { .. }");
            place.spawn(child(handle, 0, Ok(n))).unwrap();
        });
    }
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [0, 1, 10, 11, 12, 13]);
    assert_eq!(format!("{set:?}"), "JoinSet { len: 0, limit: 2, .. }");
    assert!(set.try_reserve().is_some());
}

/// A task that collects results waits for tasks that do not exist yet.
#[test]
fn the_next_end_is_waited_for_beside_an_empty_set() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let set = JoinSet::with_limit(handle, 1);
        let spawns = async {
            for n in 0..3 {
                let place = set.reserve().await.unwrap();
                yields(handle, 2).await;
                place.spawn(child(handle, 1, Ok(n))).unwrap();
            }
        };
        let collects = async {
            for _ in 0..3 {
                log.add(set.next_end().await.unwrap().1.unwrap().unwrap());
            }
        };
        join(collects, spawns).await;
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [0, 1, 2]);
}

#[test]
fn one_task_waits_for_a_set_at_a_time() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let set = Rc::new(JoinSet::new(handle));
    let first = Rc::clone(&set);
    world.spawn(async move {
        first.spawn(child(handle, 5, Ok(1))).unwrap();
        log.add(first.join_next().await.map(|next| next.unwrap().1.unwrap().unwrap()));
    });
    world.spawn(async move {
        handle.yield_now().await;
        log.add(set.next_end().await.map(|_| 0));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(WaitError::Busy), Ok(1)]);
}

#[test]
fn dropping_a_set_ends_its_tasks_at_once() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let set = JoinSet::new(handle);
        for name in ["one", "two"] {
            let task = async move {
                let _falls = Falls(log, name);
                handle.wait_named().await.ok();
            };
            set.spawn(task).unwrap();
        }
        handle.yield_now().await;
        drop(set);
        log.add("after");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["one", "two", "after"]);
}

/// A shutdown waits for tasks that clean up, even if its caller is cancelled itself.
#[test]
fn a_shutdown_waits_for_those_who_clean_up() {
    for is_cancelled in [false, true] {
        let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        let owner = world.spawn(async move {
            let set = JoinSet::new(handle);
            for _ in 0..2 {
                let task = async move {
                    handle.wait_named().await.ok();
                    handle.shield(handle.sleep(Duration::from_secs(1))).await;
                    log.add("cleaned up");
                };
                set.spawn(task).unwrap();
            }
            if is_cancelled {
                assert_eq!(set.join_next().await.err(), Some(WaitError::Cancelled));
            } else {
                handle.yield_now().await;
            }
            assert_eq!(set.shutdown().await, Ok(()));
            assert!(set.is_empty());
            log.add("end");
        });
        world.turn();
        world.turn();
        if is_cancelled {
            world.cancel(owner.task());
        }
        assert_eq!(world.run(), Rest::Empty);
        assert_eq!(log.take(), ["cleaned up", "cleaned up", "end"]);
    }
}

#[test]
fn outside_of_all_tasks_a_set_is_not_waited_for() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let set = JoinSet::<()>::new(handle);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut next = pin!(set.next_end());
    assert_eq!(next.as_mut().poll(&mut context), std::task::Poll::Ready(Err(WaitError::Elsewhere)));
    assert!(set.spawn(async {}).is_err());
    let (task, join_handle) = sinbin_core::task::Async::new(handle, async {});
    let (_task, join_handle) = set.start((task, join_handle)).err().unwrap();
    assert!(!join_handle.is_over() && set.is_empty());
}

#[test]
fn tasks_from_a_pool_are_members_too() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::<_, _>::fixed::<3>());
    let pool = Pin::as_ref(&pool);
    let mut world = World::new(handle);
    world.spawn(async move {
        let set = JoinSet::with_limit(handle, 2);
        let put = |turns| {
            let (task, join_handle) = pool.put(handle, child(handle, turns, Ok(0))).unwrap();
            (task.erase(), join_handle)
        };
        let ids = [3, 1].map(|turns| set.start(put(turns)).ok().unwrap());
        let back = set.start(put(0)).err().unwrap();
        assert_eq!(set.join_next().await.unwrap().unwrap().0, ids[1]);
        let place = set.reserve().await.unwrap();
        let third = place.start(back).ok().unwrap();
        for task in [ids[0], third] {
            log.add(set.join_next().await.unwrap().unwrap().0 == task);
        }
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [true; 2]);
}

/// An operation of a task in a random program.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Yield(usize),
    /// Reserves a place, keeps it for the first number of turns, and spawns a task that runs for the second number.
    Spawn(usize, usize),
    TrySpawn(usize),
    /// Reserves a place, and releases it after this many turns.
    Reserve(usize),
    Join,
    NextEnd,
    TryJoin,
    CancelAll,
}

/// An operation, and the number of turns after which the task drops it, if any.
type Op = (Deed, Option<usize>);

fn deed() -> impl Strategy<Value = Deed> {
    let turns = 0..4_usize;
    prop_oneof![
        2 => turns.clone().prop_map(Deed::Yield),
        6 => (turns.clone(), turns.clone()).prop_map(|(keeps, turns)| Deed::Spawn(keeps, turns)),
        2 => turns.clone().prop_map(Deed::TrySpawn),
        2 => turns.prop_map(Deed::Reserve),
        4 => Just(Deed::Join),
        2 => Just(Deed::NextEnd),
        1 => Just(Deed::TryJoin),
        1 => Just(Deed::CancelAll),
    ]
}

const LIMIT: u32 = 3;

/// A set, and the state that it must have.
struct Things<'d> {
    handle: Handle<'d>,
    set: JoinSet<'d, u32>,
    /// The members that have ended and were not collected.
    ended: Rc<RefCell<VecDeque<u32>>>,
    /// The members and the reserved places.
    taken: Cell<u32>,
    spawned: Cell<u32>,
    collected: Cell<u32>,
    alive: Rc<()>,
}

/// Records the end of a member, whether it completes or is dropped.
struct Ends(Rc<RefCell<VecDeque<u32>>>, u32);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.borrow_mut().push_back(self.1);
    }
}

struct Taken<'a>(&'a Cell<u32>);

impl<'a> Taken<'a> {
    fn new(taken: &'a Cell<u32>) -> Self {
        taken.set(taken.get() + 1);
        assert!(taken.get() <= LIMIT, "the limit holds");
        Self(taken)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl<'d> Things<'d> {
    fn member(&self, turns: usize) -> impl Future<Output = u32> + use<'d> {
        let number = self.spawned.get();
        self.spawned.set(number + 1);
        let (handle, ends, alive) =
            (self.handle, Ends(Rc::clone(&self.ended), number), Rc::clone(&self.alive));
        async move {
            let _is = (ends, alive);
            // Some members wait in an operation that can fail, and others are dropped where they wait.
            if number.is_multiple_of(2) {
                handle.wait_named().await.ok();
            }
            yields(handle, turns).await;
            number
        }
    }

    async fn run(&self, program: &[Op]) {
        for (deed, patience) in program {
            match patience {
                None => self.act(*deed).await,
                Some(turns) => drop(select(yields(self.handle, *turns), self.act(*deed)).await),
            }
        }
    }

    async fn act(&self, deed: Deed) {
        match deed {
            Deed::Yield(turns) => yields(self.handle, turns).await,
            Deed::Spawn(keeps, turns) => {
                let Ok(place) = self.set.reserve().await else { return };
                let taken = Taken::new(&self.taken);
                yields(self.handle, keeps).await;
                self.wake(place.spawn(self.member(turns)).ok());
                std::mem::forget(taken);
            }
            Deed::TrySpawn(turns) => {
                if let Some(place) = self.set.try_reserve() {
                    std::mem::forget(Taken::new(&self.taken));
                    self.wake(place.spawn(self.member(turns)).ok());
                }
            }
            Deed::Reserve(keeps) => {
                let place = self.set.reserve().await;
                let _taken = place.as_ref().map(|_| Taken::new(&self.taken));
                yields(self.handle, keeps).await;
                drop(place);
            }
            Deed::Join => match self.set.join_next().await {
                Ok(Some(ended)) => self.collect(ended),
                Ok(None) => assert_eq!(self.set.len(), 0),
                Err(_) => {}
            },
            Deed::NextEnd => {
                if let Ok(ended) = self.set.next_end().await {
                    self.collect(ended);
                }
            }
            Deed::TryJoin => {
                let ended = self.set.try_join_next();
                assert!(ended.is_some() || self.ended.borrow().is_empty(), "an end is available");
                ended.into_iter().for_each(|ended| self.collect(ended));
            }
            Deed::CancelAll => self.set.cancel_all(),
        }
    }

    /// Wakes a member; every second member waits for that.
    fn wake(&self, member: Option<TaskId>) {
        self.handle.wake(member.expect("there is room"));
    }

    fn collect(&self, (_, result): (TaskId, Result<u32, JoinError>)) {
        let first = self.ended.borrow_mut().pop_front().expect("who is collected has ended");
        match result {
            Ok(number) => assert_eq!(number, first, "in the order of the ends"),
            Err(error) => assert_eq!(error.why, JoinErrorKind::Cancelled),
        }
        self.collected.set(self.collected.get() + 1);
        drop(Taken(&self.taken));
    }
}

fn try_programs(programs: &[Vec<Op>], cancels: &[(usize, usize)]) {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let things = Things {
        handle,
        set: JoinSet::with_limit(handle, LIMIT),
        ended: Rc::default(),
        taken: Cell::new(0),
        spawned: Cell::new(0),
        collected: Cell::new(0),
        alive: Rc::new(()),
    };
    let things = Rc::new(things);
    let mut world = World::new(handle);
    let tasks: Vec<_> = programs
        .iter()
        .map(|program| {
            let (things, program) = (Rc::clone(&things), program.clone());
            world.spawn(async move { things.run(&program).await })
        })
        .collect();
    for turn in 0..60 {
        for (_, who) in cancels.iter().filter(|(when, _)| *when == turn) {
            tasks.get(*who).map(|task| world.cancel(task.task()));
        }
        world.turn();
    }
    // A task may still wait only if no end, or no place, is available.
    let waiting = tasks.iter().filter(|task| !task.is_over()).count();
    assert!(waiting == 0 || things.ended.borrow().is_empty() || things.set.len() == LIMIT as usize);
    for task in &tasks {
        world.cancel(task.task());
    }
    world.run();
    assert!(tasks.iter().all(sinbin_core::task::JoinHandle::is_over));
    // Results that were not collected are still available, and every place is free at the end.
    while let Some(ended) = things.set.try_join_next() {
        things.collect(ended);
    }
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(things.collected.get(), things.spawned.get(), "each result is returned once");
    assert_eq!((things.taken.get(), Rc::strong_count(&things.alive)), (0, 1));
    let all: Vec<_> = std::iter::from_fn(|| things.set.try_reserve()).collect();
    assert_eq!(all.len(), LIMIT as usize, "every place is released");
}

proptest! {
    #![proptest_config(cases(if cfg!(miri) { 4 } else { 500 }))]

    /// Wherever tasks are cancelled or drop their operations, the limit holds, each result is returned once, in the
    /// order of the ends, and no place is lost.
    #[test]
    fn nothing_of_a_set_is_lost(
        programs in vec(vec((deed(), option::of(0..5_usize)), 0..8), 1..5),
        cancels in vec((0..20_usize, 0..5_usize), 0..4),
    ) {
        try_programs(&programs, &cancels);
    }
}
