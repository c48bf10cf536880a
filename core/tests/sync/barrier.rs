use std::future::poll_fn;
use std::task::Poll;

use sinbin_core::Rest;
use sinbin_core::sync::Barrier;
use sinbin_core::task::{Handle, NoWakers, RunContext, WaitError};
use sinbin_testkit::memory_host::{Log, World, yields};

#[test]
fn all_pass_together_and_the_last_leads() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let barrier = Barrier::new(handle, 3);
    let mut world = World::new(handle);
    for task in 0..3 {
        let (barrier, log) = (&barrier, &log);
        world.spawn(async move {
            for round in 0..2 {
                yields(handle, 2 - task).await;
                let is_leader = barrier.wait().await.unwrap();
                log.add((round, task, is_leader));
            }
        });
    }
    assert_eq!(world.run(), Rest::Empty);
    let passed = log.take();
    let (first, second) = passed.split_at(3);
    assert_eq!(first, [(0, 0, true), (0, 2, false), (0, 1, false)]);
    assert!(second.iter().all(|(round, ..)| *round == 1), "it can be used again");
    assert_eq!(second.iter().filter(|(.., is_leader)| *is_leader).count(), 1);
    assert_eq!(barrier.waiting(), 0);
}

#[test]
fn who_is_cancelled_is_not_counted() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let barrier = Barrier::new(handle, 2);
    let mut world = World::new(handle);
    let arrive = async || log.add(barrier.wait().await);
    let first = world.spawn(arrive());
    world.run();
    world.cancel(first.task());
    world.run();
    assert_eq!(log.take(), [Err(WaitError::Cancelled)]);
    assert_eq!(barrier.waiting(), 0);
    world.spawn(arrive());
    assert_eq!(world.run(), Rest::Stalled);
    world.spawn(arrive());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(true), Ok(false)]);
}

#[test]
fn one_alone_does_not_wait() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let (one, none) = (Barrier::new(handle, 1), Barrier::new(handle, 0));
    let mut world = World::new(handle);
    world.spawn(async {
        log.add(one.wait().await);
        log.add(none.wait().await);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(true), Ok(true)]);
}

/// A waiter that has passed the barrier and is dropped before it runs no longer counts.
#[test]
fn one_that_has_passed_and_is_dropped_is_not_counted() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let barrier = Barrier::new(handle, 2);
    let mut world = World::new(handle);
    world.spawn(async {
        let mut wait = Box::pin(barrier.wait());
        assert!(poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await.is_pending());
        yields(handle, 2).await;
        drop(wait);
    });
    world.spawn(async { assert_eq!(barrier.wait().await, Ok(true)) });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(barrier.waiting(), 0);
}
