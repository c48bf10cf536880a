use std::pin::Pin;
use std::time::Duration;

use sinbin_core::task::{Either, Handle, NoWakers, RunContext, select};
use sinbin_core::time::Elapsed;
use sinbin_core::{Instant, Rest};
use sinbin_testkit::memory_host::{Falls, Log, World, yields};

const MS: Duration = Duration::from_millis(1);

#[test]
fn who_sleeps_less_wakes_first_and_of_equals_who_began_first() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    for millis in [5, 2, 9, 2, 7, 5] {
        world.spawn(async move {
            handle.sleep(millis * MS).await;
            log.add((millis, handle.now()));
        });
    }
    assert_eq!(world.run(), Rest::Empty);
    let at = |millis: u32| (millis, Instant::ZERO + millis * MS);
    assert_eq!(log.take(), [at(2), at(2), at(5), at(5), at(7), at(9)]);
}

#[test]
fn who_sleeps_for_no_time_lets_the_others_have_their_turn() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        handle.sleep(Duration::ZERO).await;
        log.add("slept");
        handle.sleep_until(Instant::ZERO).await;
        log.add("again");
    });
    world.spawn(async move { log.add("other") });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["other", "slept", "again"]);
    assert_eq!(world.now, Instant::ZERO);
}

/// A missing limit means no limit.
#[test]
fn a_span_that_is_missing_never_ends() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        handle.sleep(3 * MS).await;
        assert_eq!(handle.after(None), Instant::NEVER);
        assert_eq!(handle.after(Some(2 * MS)), Instant::ZERO + 5 * MS);
        for limit in [Some(2 * MS), None] {
            log.add(handle.until(handle.after(limit), handle.sleep(9 * MS)).await);
        }
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(Elapsed), Ok(())]);
    assert_eq!(world.now, Instant::ZERO + 14 * MS);
}

#[test]
fn for_ever_is_a_moment_that_is_slept_until() {
    type Sleeper = for<'d> fn(Handle<'d>) -> Pin<Box<dyn Future<Output = ()> + 'd>>;
    let sleepers: [Sleeper; 5] = [
        |handle| Box::pin(handle.sleep(Duration::MAX)),
        |handle| Box::pin(handle.sleep_until(Instant::NEVER)),
        |handle| Box::pin(handle.sleep_until(handle.after(Some(Duration::MAX)))),
        |handle| {
            Box::pin(async move { assert_eq!(handle.every(Duration::MAX).tick().await, Instant::NEVER) })
        },
        |handle| {
            Box::pin(async move { handle.timeout(Duration::MAX, handle.sleep(Duration::MAX)).await.unwrap() })
        },
    ];
    for (number, sleeper) in sleepers.into_iter().enumerate() {
        let run_context = RunContext::new(&NoWakers);
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        world.now = Instant::ZERO + Duration::from_secs(5);
        let task = world.spawn(sleeper(handle));
        world.turn();
        let rest = world.executor.kernel.rest();
        let Rest::Until(moment) = rest else { panic!("{number}: {rest:?}") };
        assert!(moment > Instant::ZERO + Duration::from_secs(500 * 366 * 24 * 3600), "{number}");
        assert!(moment < Instant::NEVER, "{number}: a host must recognize a deadline");
        world.cancel(task.task());
        assert_eq!(world.run(), Rest::Empty, "{number}");
    }
}

/// A timeout of `Duration::MAX` has no deadline, so that a stalled task is still recognized as stalled.
#[test]
fn a_timeout_without_an_end_is_none() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let task = world.spawn(async move { log.add(handle.timeout(Duration::MAX, handle.wait_named()).await) });
    assert_eq!(world.run(), Rest::Stalled);
    world.executor.kernel.wake(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(Ok(()))]);
}

/// An interval without a period ticks once per turn, after all other tasks have run, and at the present time.
#[test]
fn an_interval_of_no_time_ticks_with_every_turn() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut every = handle.every(Duration::ZERO);
        for _ in 0..3 {
            log.add(every.tick().await.since(Instant::ZERO));
            handle.sleep(5 * MS).await;
        }
    });
    world.spawn(async move { log.add(Duration::MAX) });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Duration::MAX, Duration::ZERO, 5 * MS, 10 * MS]);
}

#[test]
fn a_timeout_drops_what_takes_too_long() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let slow = async {
            let _falls = Falls(log, "dropped");
            handle.sleep(5 * MS).await;
        };
        assert_eq!(handle.timeout(3 * MS, slow).await, Err(Elapsed));
        assert_eq!(handle.now(), Instant::ZERO + 3 * MS);
        log.add("in time");
        assert_eq!(handle.timeout(3 * MS, handle.sleep(2 * MS)).await, Ok(()));
        assert_eq!(handle.now(), Instant::ZERO + 5 * MS);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["dropped", "in time"]);
}

#[test]
fn what_is_there_is_never_too_late() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        log.add(handle.timeout(Duration::ZERO, async { 1 }).await);
        // Both are due in one turn. The timeout polls its future first.
        log.add(
            handle
                .timeout(MS, async {
                    handle.sleep(MS).await;
                    2
                })
                .await,
        );
        log.add(handle.timeout(Duration::ZERO, std::future::pending()).await);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(1), Ok(2), Err(Elapsed)]);
}

#[test]
fn the_nearest_of_nested_timeouts_counts() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let never = || std::future::pending::<()>();
        log.add((handle.timeout(9 * MS, handle.timeout(2 * MS, never())).await, handle.now()));
        log.add((handle.timeout(2 * MS, handle.timeout(9 * MS, never())).await, handle.now()));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(
        log.take(),
        [(Ok(Err(Elapsed)), Instant::ZERO + 2 * MS), (Err(Elapsed), Instant::ZERO + 4 * MS),]
    );
}

#[test]
fn a_timeout_of_one_who_never_waits_is_not_for_ever() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move { log.add(handle.timeout(MS, yields(handle, 1_000_000)).await) });
    world.turn();
    world.turn();
    world.now = world.now + MS;
    world.turn();
    assert_eq!(log.take(), [], "the sources are polled first");
    world.turn();
    assert_eq!(log.take(), [Err(Elapsed)]);
}

#[test]
fn an_interval_ticks_at_equal_distances_and_leaves_out_what_was_missed() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut interval = handle.every(10 * MS);
        for busy in [0, 3, 25, 10, 0] {
            let due = interval.tick().await;
            log.add((due, handle.now()));
            handle.sleep(busy * MS).await;
        }
    });
    assert_eq!(world.run(), Rest::Empty);
    let at = |millis: u32| Instant::ZERO + millis * MS;
    assert_eq!(
        log.take(),
        [
            (at(10), at(10)),
            (at(20), at(20)),
            (at(30), at(30)),
            // At 55 ms: the ticks of 40 and 50 ms are combined into one.
            (at(40), at(55)),
            (at(60), at(65)),
        ]
    );
}

#[test]
fn an_interval_keeps_its_beat_after_ages() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut interval = handle.every(Duration::from_nanos(3));
        handle.sleep(Duration::from_secs(3600)).await;
        interval.tick().await;
        log.add(interval.tick().await.since(handle.now()));
        let mut none = handle.every(Duration::ZERO);
        none.tick().await;
        none.tick().await;
        log.add(Duration::ZERO);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Duration::ZERO; 2], "the second tick is on time");
}

#[test]
fn a_tick_that_nobody_waited_for_to_the_end_is_still_to_come() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut interval = handle.every(10 * MS);
        assert_eq!(handle.timeout(4 * MS, interval.tick()).await, Err(Elapsed));
        log.add(interval.tick().await);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Instant::ZERO + 10 * MS]);
}

#[test]
fn who_sleeps_outside_a_task_leaves_nothing_at_the_door() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::pin!(handle.sleep(MS)).poll(&mut context).is_pending());
    let mut world = World::new(handle);
    world.spawn(handle.wait_named());
    assert_eq!(world.run(), Rest::Stalled, "the sleep outside of the task left no deadline");
}

/// A heartbeat beside messages that never end, a common loop of servers.
#[test]
fn a_tick_is_had_beside_what_is_always_ready() {
    for tick_first in [false, true] {
        let (run_context, ticks) = (RunContext::new(&NoWakers), &std::cell::Cell::new(0));
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        world.spawn(async move {
            let plenty = sinbin_core::sync::Semaphore::new(handle, 1);
            let mut interval = handle.every(10 * MS);
            loop {
                let is_tick = if tick_first {
                    matches!(select(interval.tick(), plenty.acquire(1)).await, Either::First(_))
                } else {
                    matches!(select(plenty.acquire(1), interval.tick()).await, Either::Second(_))
                };
                ticks.set(ticks.get() + u32::from(is_tick));
            }
        });
        let millis = if cfg!(miri) { 50 } else { 500 };
        for _ in 0..millis {
            world.turn();
            world.now = world.now + MS;
        }
        let most = millis / 10;
        assert!((most * 9 / 10 - 1..=most).contains(&ticks.get()), "{} ticks in {millis} ms", ticks.get());
    }
}

/// The clock can't be read within a callback that borrows the host.
#[test]
fn a_span_that_is_asked_for_in_a_callback_is_no_shorter() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    world.peer(conn.source()).inbox.extend([1]);
    world.now = Instant::ZERO + 70 * MS;
    world.spawn(async move {
        let before = handle.now();
        let made = conn.try_recv_with(|_| {
            let never = std::future::pending::<()>();
            (handle.now(), handle.sleep(10 * MS), handle.timeout(10 * MS, never), handle.every(10 * MS))
        });
        let (now, sleep, timeout, mut interval) = made.unwrap();
        assert_eq!(now, before);
        sleep.await;
        log.add(handle.now());
        assert_eq!(timeout.await, Err(Elapsed));
        log.add(handle.now());
        interval.tick().await;
        log.add(handle.now());
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [80, 90, 100].map(|millis| Instant::ZERO + millis * MS));
}
