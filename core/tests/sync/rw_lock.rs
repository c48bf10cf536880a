use std::cell::Cell;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sinbin_core::Rest;
use sinbin_core::sync::RwLock;
use sinbin_core::task::{Handle, NoWakers, RunContext, WaitError, select};
use sinbin_testkit::cases::cases;
use sinbin_testkit::memory_host::{Log, World, yields};

use crate::oracle::{Excused, Line};

#[test]
fn many_read_and_one_writes() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let lock = RwLock::new(handle, 0);
    let mut world = World::new(handle);
    for name in ["first", "second", "writer", "late"] {
        let (lock, log) = (&lock, &log);
        world.spawn(async move {
            if name == "writer" {
                let mut value = lock.write().await.unwrap();
                log.add((name, *value));
                *value += 1;
                yields(handle, 3).await;
                assert_eq!(format!("{value:?}"), "1");
            } else {
                let value = lock.read().await.unwrap();
                log.add((name, *value));
                yields(handle, 3).await;
                assert_eq!(format!("{value:?}"), value.to_string());
            }
        });
    }
    world.turn();
    assert_eq!(log.take(), [("first", 0), ("second", 0)]);
    world.spawn(async {
        assert!(lock.try_read().unwrap().is_none(), "a writer waits");
        assert!(lock.try_write().unwrap().is_none());
        yields(handle, 20).await;
        assert_eq!(lock.try_read().unwrap().map(|value| *value), Some(1));
        *lock.try_write().unwrap().unwrap() += 1;
        assert_eq!(format!("{lock:?}"), "RwLock { value: 2, .. }");
        let _value = lock.write().await.unwrap();
        assert_eq!(format!("{lock:?}"), "RwLock { .. }");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [("writer", 0), ("late", 1)], "who comes after a writer sees what it wrote");
    assert_eq!(RwLock::new(handle, 2).into_inner(), 2);
}

#[test]
fn a_writer_that_leaves_lets_the_readers_behind_it_in() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let lock = RwLock::new(handle, 0);
    let mut world = World::new(handle);
    world.spawn(async {
        let _value = lock.read().await.unwrap();
        yields(handle, 9).await;
        log.add("over");
    });
    world.spawn(async { select(yields(handle, 2), lock.write()).await });
    world.spawn(async {
        let _value = lock.read().await.unwrap();
        log.add("in");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["in", "over"]);
}

#[test]
fn outside_a_task_nobody_gets_in() {
    let run_context = RunContext::new(&NoWakers);
    let lock = RwLock::new(Handle::new(&run_context), 0);
    assert_eq!(lock.try_read().err(), Some(WaitError::Elsewhere));
    assert_eq!(lock.try_write().err(), Some(WaitError::Elsewhere));
}

/// Reads or writes, for so many turns, with so much patience.
type Op = (bool, usize, Option<usize>);

fn try_programs(programs: &[Vec<Op>], cancels: &[(usize, usize)]) {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let (lock, line, excused) = (&RwLock::new(handle, 0), &Line::default(), &Excused::default());
    // How many read, or one less than none for a writer.
    let within = &Cell::new(0_i32);
    let writes = &Cell::new(0);
    let mut world = World::new(handle);
    let mut tasks = Vec::new();
    for (who, program) in programs.iter().enumerate() {
        tasks.push(world.spawn(async move {
            for (is_write, turns, patience) in program {
                let act = async {
                    if *is_write {
                        let Ok(mut value) = line.stand((who, 1), excused, lock.write()).await else { return };
                        let left = Left::new(within, -1);
                        *value += 1;
                        writes.set(writes.get() + 1);
                        yields(handle, *turns).await;
                        assert_eq!(*value, writes.get());
                        drop(left);
                    } else {
                        let Ok(value) = line.stand((who, 1), excused, lock.read()).await else { return };
                        let left = Left::new(within, 1);
                        let before = *value;
                        yields(handle, *turns).await;
                        assert_eq!(*value, before, "nobody writes while it reads");
                        drop(left);
                    }
                };
                match patience {
                    None => act.await,
                    Some(turns) => {
                        excused.borrow_mut().insert(who);
                        select(yields(handle, *turns), act).await;
                    }
                }
            }
        }));
    }
    for turn in 0..80 {
        for (_, who) in cancels.iter().filter(|(when, _)| *when == turn) {
            excused.borrow_mut().insert(*who);
            tasks.get(*who).map(|task| world.cancel(task.task()));
        }
        world.turn();
    }
    assert_eq!(world.run(), Rest::Empty, "everybody gets its turn");
    assert_eq!(within.get(), 0);
    world.spawn(async move { assert!(lock.try_write().unwrap().is_some(), "all is given back") });
    assert_eq!(world.run(), Rest::Empty);
}

struct Left<'a>(&'a Cell<i32>, i32);

impl<'a> Left<'a> {
    fn new(within: &'a Cell<i32>, by: i32) -> Self {
        assert!(if by < 0 { within.get() == 0 } else { within.get() >= 0 }, "readers or one writer");
        within.set(within.get() + by);
        Self(within, by)
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - self.1);
    }
}

proptest! {
    #![proptest_config(cases(if cfg!(miri) { 4 } else { 400 }))]

    #[test]
    fn readers_and_writers_take_their_turns(
        programs in vec(vec((any::<bool>(), 0..4_usize, option::of(0..5_usize)), 0..6), 1..6),
        cancels in vec((0..20_usize, 0..6_usize), 0..4),
    ) {
        try_programs(&programs, &cancels);
    }

    /// Without patience to lose, too: in the order in which they came.
    #[test]
    fn the_patient_are_served_in_turn(
        programs in vec(vec((any::<bool>(), 0..4_usize, Just(None)), 0..6), 1..6),
    ) {
        try_programs(&programs, &[]);
    }
}
