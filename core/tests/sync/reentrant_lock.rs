use std::cell::Cell;
use std::time::Duration;

use sinbin_core::Rest;
use sinbin_core::kernel::ExpectedWaker;
use sinbin_core::sync::{ReentrantGuard, ReentrantLock};
use sinbin_core::task::{Handle, NoWakers, RunContext, WaitError, join, select};
use sinbin_testkit::memory_host::{Log, World, yields};

#[test]
fn a_task_that_has_the_value_takes_it_again_and_others_wait_until_it_has_no_guard() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let lock = ReentrantLock::new(handle, Cell::new(0));
    let mut world = World::new(handle);
    for task in 0..3 {
        let (lock, log) = (&lock, &log);
        world.spawn(async move {
            let outer = lock.lock().await.unwrap();
            for _ in 0..2 {
                let inner = lock.lock().await.unwrap();
                handle.yield_now().await;
                let tried = lock.try_lock().unwrap().unwrap();
                drop(inner);
                tried.set(tried.get() + 1);
                log.add(task);
            }
            // Guards can be dropped in any order.
            let last = lock.try_lock().unwrap();
            drop(outer);
            handle.yield_now().await;
            drop(last);
        });
    }
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [0, 0, 1, 1, 2, 2]);
    assert_eq!(lock.holder(), None);
    assert!(format!("{lock:?}").contains("Cell { value: 6 }"), "{lock:?}");
}

#[test]
fn the_list_of_tasks_says_who_waits_for_whom() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let lock = ReentrantLock::new(handle, ());
    let mut world = World::new(handle);
    let hold = async || {
        let _twice = (lock.lock().await?, lock.lock().await?);
        assert!(lock.try_lock()?.is_some());
        handle.sleep(Duration::from_secs(1)).await;
        Ok::<_, WaitError>(())
    };
    let tasks: Vec<_> = (0..3).map(|_| world.spawn(hold()).task()).collect();
    world.turn();
    assert_eq!(lock.holder(), Some(tasks[0]));
    assert_eq!(world.view(tasks[1]).by, ExpectedWaker::Task(tasks[0]));
    assert_eq!(world.view(tasks[2]).by, ExpectedWaker::Task(tasks[1]));
    world.run_for(Duration::from_secs(1));
    assert_eq!(lock.holder(), Some(tasks[1]));

    // A task leaves the queue.
    world.spawn(async { assert!(lock.try_lock().unwrap().is_none()) });
    world.cancel(tasks[2]);
    world.run_for(Duration::from_secs(1));
    assert_eq!(lock.holder(), None);
}

#[test]
fn a_turn_that_was_granted_is_passed_on() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let lock = ReentrantLock::new(handle, ());
    let mut world = World::new(handle);
    let impatient = world.spawn(async {
        handle.yield_now().await;
        // As in the test of `Lock`: the task is granted its turn, and does not poll the wait again.
        select(yields(handle, 3), lock.lock()).await;
        log.add("gave up");
    });
    world.spawn(async {
        let guards = (lock.lock().await.unwrap(), lock.lock().await.unwrap());
        yields(handle, 3).await;
        drop(guards);
    });
    world.spawn(async {
        yields(handle, 2).await;
        let _guard = lock.lock().await.unwrap();
        log.add("next");
    });
    for _ in 0..4 {
        world.turn();
    }
    assert_eq!(lock.holder(), Some(impatient.task()), "the lock is granted, and the task has not run since");
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["gave up", "next"]);
    assert_eq!(lock.holder(), None);
}

/// The holder by a turn that it has not taken yet takes the value in another place: the turn counts as a guard.
#[test]
fn a_turn_that_was_granted_and_a_guard_of_the_same_task_both_hold_the_value() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let lock = ReentrantLock::new(handle, ());
    let has_both = Cell::new(false);
    let mut world = World::new(handle);
    let task = world.spawn(async {
        handle.yield_now().await;
        let eager = async {
            // Ready in every turn, and first: it sees that the task is the holder before the wait beside it does.
            loop {
                if let Some(guard) = lock.try_lock().unwrap() {
                    break guard;
                }
                handle.yield_now().await;
            }
        };
        let (first, second) = join(eager, lock.lock()).await;
        let second = second.unwrap();
        has_both.set(true);
        drop(first);
        handle.yield_now().await;
        assert_eq!(lock.holder(), handle.current().ok(), "the other guard is left");
        drop(second);
        assert_eq!(lock.holder(), None);
    });
    world.spawn(async {
        let guard = lock.lock().await.unwrap();
        yields(handle, 4).await;
        drop(guard);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert!(task.is_over() && has_both.get());
}

#[test]
fn who_is_cancelled_while_it_waits_is_refused() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let lock = ReentrantLock::new(handle, ());
    let mut world = World::new(handle);
    world.spawn(async {
        let _guard = lock.lock().await.unwrap();
        yields(handle, 3).await;
    });
    let waiter = world.spawn(async { log.add(lock.lock().await.err()) });
    world.turn();
    world.cancel(waiter.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Some(WaitError::Cancelled)]);
}

#[test]
fn nothing_works_outside_a_task() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let lock = ReentrantLock::new(handle, ());
    assert_eq!(lock.try_lock().err(), Some(WaitError::Elsewhere));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let refused = std::pin::pin!(lock.lock()).poll(&mut context);
    assert!(matches!(refused, std::task::Poll::Ready(Err(WaitError::Elsewhere))));
}

#[test]
fn it_says_who_it_is() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let lock = ReentrantLock::named(handle, "account", 3);
    assert_eq!(lock.name(), "account");
    assert_eq!(format!("{lock:?}"), r#"ReentrantLock { name: "account", holder: None, value: 3, .. }"#);
    let mut world = World::new(handle);
    world.spawn(async {
        let guard = lock.lock().await.unwrap();
        assert_eq!(format!("{guard:?}"), "3");
        assert_eq!(ReentrantGuard::lock(&guard).name(), "account");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(ReentrantLock::new(handle, 3).into_inner(), 3);
}
