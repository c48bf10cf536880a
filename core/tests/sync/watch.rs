use std::cell::Cell;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sinbin_core::Rest;
use sinbin_core::sync::{RecvError, SendError, Watch};
use sinbin_core::task::{Handle, NoWakers, RunContext, WaitError, select};
use sinbin_testkit::cases::cases;
use sinbin_testkit::memory_host::{Log, World, yields};

#[test]
fn whoever_is_slow_sees_the_latest_value() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let watch = Watch::new(handle, 0);
    let mut world = World::new(handle);
    for turns in [0, 3] {
        let (watch, log) = (&watch, &log);
        world.spawn(async move {
            let mut receiver = watch.receiver();
            while receiver.changed().await.is_ok() {
                log.add((turns, receiver.get()));
                yields(handle, turns).await;
            }
        });
    }
    world.spawn(async {
        handle.yield_now().await;
        for n in 1..=4 {
            watch.send(n).unwrap();
            yields(handle, 2).await;
        }
        watch.close().unwrap();
    });
    assert_eq!(world.run(), Rest::Empty);
    let (slow, quick): (Vec<_>, Vec<_>) = log.take().into_iter().partition(|(turns, _)| *turns > 0);
    assert_eq!(quick, [(0, 1), (0, 2), (0, 3), (0, 4)]);
    assert_eq!(slow, [(3, 1), (3, 2), (3, 4)], "the last value is seen though the watch is closed");
    assert_eq!(Watch::new(handle, 4).into_inner(), 4);
}

#[test]
fn a_receiver_knows_what_it_has_seen() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let watch = Watch::new(handle, "one");
    let mut world = World::new(handle);
    world.spawn(async {
        let mut receiver = watch.receiver();
        assert!(!receiver.has_changed());
        watch.send("two").unwrap();
        let mut other = receiver.clone();
        let late = receiver.watch().receiver();
        assert!(receiver.has_changed() && other.has_changed() && !late.has_changed());
        assert_eq!(receiver.with(|value| value.len()), 3);
        assert!(!receiver.has_changed());
        assert_eq!(other.changed().await, Ok(()));
        assert_eq!(
            (watch.get(), watch.with(|value| watch.send(value))),
            ("two", { Err(SendError::Wait(WaitError::Busy, "two")) })
        );
        assert_eq!(format!("{other:?}"), "WatchReceiver { has_changed: false, .. }");
        assert_eq!(format!("{watch:?}"), "Watch { value: \"two\", closed: false, .. }");
        watch.close().unwrap();
        assert!(watch.is_closed());
        assert_eq!(watch.send("three"), Err(SendError::Closed("three")));
        log.add(other.changed().await);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(RecvError::Closed)]);
}

#[test]
fn a_value_is_waited_for() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let watch = Watch::new(handle, 3);
    let mut world = World::new(handle);
    world.spawn(async {
        let mut receiver = watch.receiver();
        assert_eq!(receiver.wait_for(|value| *value == 3).await, Ok(()), "it is so already");
        log.add(receiver.wait_for(|value| *value > 5).await.map(|()| receiver.get()));
        log.add(receiver.wait_for(|value| *value > 7).await.map(|()| receiver.get()));
    });
    world.run();
    world.spawn(async {
        for n in 4..=7 {
            watch.send(n).unwrap();
            yields(handle, 2).await;
        }
        watch.close().unwrap();
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(6), Err(RecvError::Closed)]);
}

#[test]
fn who_is_cancelled_is_told() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let watch = Watch::new(handle, 0);
    let mut world = World::new(handle);
    let task = world.spawn(async { log.add(watch.receiver().changed().await) });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(RecvError::Wait(WaitError::Cancelled))]);
}

#[test]
fn outside_a_task_nothing_is_sent() {
    let run_context = RunContext::new(&NoWakers);
    let watch = Watch::new(Handle::new(&run_context), 0);
    assert_eq!(watch.send(1), Err(SendError::Wait(WaitError::Elsewhere, 1)));
    assert_eq!(watch.close(), Err(WaitError::Elsewhere));
    assert_eq!((watch.get(), watch.is_closed()), (0, false));
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Yield(usize),
    Send,
    Changed,
    Get,
    WaitFor(u32),
    Close,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        2 => (0..4_usize).prop_map(Deed::Yield),
        4 => Just(Deed::Send),
        6 => Just(Deed::Changed),
        1 => Just(Deed::Get),
        1 => (0..6_u32).prop_map(Deed::WaitFor),
        1 => Just(Deed::Close),
    ]
}

type Op = (Deed, Option<usize>);

/// The value is the number of values that were sent.
fn try_programs(programs: &[Vec<Op>], cancels: &[(usize, usize)]) {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let watch = Watch::new(handle, 0_u32);
    // The last value that each task has seen, and true if it waits for something else.
    let seen: Vec<_> = programs.iter().map(|_| (Cell::new(0), Cell::new(false))).collect();
    let mut world = World::new(handle);
    let mut tasks = Vec::new();
    for (program, (seen, waits)) in programs.iter().zip(&seen) {
        let watch = &watch;
        tasks.push(world.spawn(async move {
            let mut receiver = watch.receiver();
            seen.set(watch.get());
            for (deed, patience) in program {
                let act = async {
                    match deed {
                        Deed::Yield(turns) => yields(handle, *turns).await,
                        Deed::Send => {
                            let next = watch.get() + 1;
                            assert_eq!(watch.send(next).is_err(), watch.is_closed());
                        }
                        Deed::Changed => {
                            waits.set(true);
                            let changed = receiver.changed().await;
                            waits.set(false);
                            match changed {
                                Ok(()) => assert!(seen.get() < watch.get(), "there is something new"),
                                Err(RecvError::Closed) => {
                                    assert!(watch.is_closed() && seen.get() == watch.get());
                                }
                                Err(error) => assert_eq!(error, RecvError::Wait(WaitError::Cancelled)),
                            }
                            if changed.is_ok() {
                                seen.set(watch.get());
                            }
                        }
                        Deed::Get => {
                            seen.set(receiver.get());
                            assert!(!receiver.has_changed());
                        }
                        Deed::WaitFor(number) => {
                            let found = receiver.wait_for(|value| {
                                seen.set(*value);
                                value >= number
                            });
                            match found.await {
                                Ok(()) => assert!(watch.get() >= *number),
                                Err(RecvError::Closed) => assert!(watch.is_closed() && watch.get() < *number),
                                Err(error) => assert_eq!(error, RecvError::Wait(WaitError::Cancelled)),
                            }
                        }
                        Deed::Close => watch.close().unwrap(),
                    }
                };
                match patience {
                    None => act.await,
                    Some(turns) => drop(select(yields(handle, *turns), act).await),
                }
                waits.set(false);
            }
        }));
    }
    for turn in 0..50 {
        for (_, who) in cancels.iter().filter(|(when, _)| *when == turn) {
            tasks.get(*who).map(|task| world.cancel(task.task()));
        }
        world.turn();
    }
    for (task, (seen, waits)) in tasks.iter().zip(&seen) {
        assert!(
            task.is_over() || !waits.get() || (seen.get() == watch.get() && !watch.is_closed()),
            "who waits has seen all"
        );
        world.cancel(task.task());
    }
    assert_eq!(world.run(), Rest::Empty);
}

proptest! {
    #![proptest_config(cases(if cfg!(miri) { 4 } else { 400 }))]

    #[test]
    fn no_change_is_lost(
        programs in vec(vec((deed(), option::of(0..5_usize)), 0..8), 1..6),
        cancels in vec((0..20_usize, 0..6_usize), 0..4),
    ) {
        try_programs(&programs, &cancels);
    }
}
