use std::time::Duration;

use sinbin_core::Rest;
use sinbin_core::kernel::ExpectedWaker;
use sinbin_core::sync::Lock;
use sinbin_core::task::{Handle, NoWakers, RunContext, WaitError, select};
use sinbin_testkit::memory_host::{Log, World, join_all, yields};

#[test]
fn who_asks_first_gets_it_first() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let lock = Lock::new(handle, 0);
    let mut world = World::new(handle);
    for task in 0..5 {
        let (lock, log) = (&lock, &log);
        world.spawn(async move {
            for _ in 0..3 {
                let mut count = lock.lock().await.unwrap();
                *count += 1;
                log.add(task);
                // No other task gets the lock in the meantime.
                let before = *count;
                handle.yield_now().await;
                assert_eq!(*count, before);
            }
        });
    }
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [0, 1, 2, 3, 4].repeat(3));
    assert!(format!("{lock:?}").contains("value: 15"));
}

#[test]
fn the_list_of_tasks_says_who_waits_for_whom() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let lock = Lock::new(handle, ());
    let mut world = World::new(handle);
    let hold = async |span| {
        let _guard = lock.lock().await?;
        handle.sleep(span).await;
        Ok::<_, WaitError>(())
    };
    let tasks: Vec<_> = (0..4).map(|_| world.spawn(hold(Duration::from_secs(1))).task()).collect();
    let waits_for = |world: &World<'_>, task: usize| world.view(tasks[task]).by;

    world.turn();
    assert_eq!(lock.holder(), Some(tasks[0]));
    assert_eq!(waits_for(&world, 1), ExpectedWaker::Task(tasks[0]));
    assert_eq!(waits_for(&world, 2), ExpectedWaker::Task(tasks[1]), "the task before it in the queue");
    assert_eq!(waits_for(&world, 3), ExpectedWaker::Task(tasks[2]));

    // The list is updated when the lock is passed on,
    world.run_for(Duration::from_secs(1));
    assert_eq!(lock.holder(), Some(tasks[1]));
    assert_eq!(waits_for(&world, 2), ExpectedWaker::Task(tasks[1]));
    assert_eq!(waits_for(&world, 3), ExpectedWaker::Task(tasks[2]));

    // and when a task leaves the queue.
    world.cancel(tasks[2]);
    world.run_for(Duration::ZERO);
    assert_eq!(waits_for(&world, 3), ExpectedWaker::Task(tasks[1]));
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn locks_in_opposite_orders_stall_and_the_list_shows_the_circle() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let (left, right) = (Lock::named(handle, "left", ()), Lock::named(handle, "right", ()));
    let mut world = World::new(handle);
    let both = async |first: &Lock<'_, ()>, second: &Lock<'_, ()>| {
        let _first = first.lock().await?;
        handle.yield_now().await;
        let _second = second.lock().await?;
        Ok::<_, WaitError>(())
    };
    let one = world.spawn(both(&left, &right)).task();
    let other = world.spawn(both(&right, &left)).task();

    assert_eq!(world.run(), Rest::Stalled);
    assert_eq!(world.view(one).by, ExpectedWaker::Task(other));
    assert_eq!(world.view(other).by, ExpectedWaker::Task(one));
    assert_eq!(
        world.list(),
        format!("task {one}: waits for task {other}\ntask {other}: waits for task {one}\n")
    );

    // Cancelling one of the tasks lets the other one continue.
    world.cancel(one);
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn a_turn_that_was_granted_is_passed_on() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let lock = Lock::new(handle, ());
    let mut world = World::new(handle);
    let impatient = world.spawn(async {
        handle.yield_now().await;
        // This task is ready in every turn, before the holder is. The lock is granted after the task has run in the
        // fourth turn, and the task does not poll the lock in the fifth one.
        select(yields(handle, 3), lock.lock()).await;
        log.add("gave up");
    });
    world.spawn(async {
        let guard = lock.lock().await.unwrap();
        yields(handle, 3).await;
        drop(guard);
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

#[test]
fn a_loop_that_is_dropped_leaves_the_lock_free() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let lock = Lock::new(handle, ());
    let mut world = World::new(handle);
    for _ in 0..3 {
        world.spawn(async {
            let _guard = lock.lock().await.unwrap();
            yields(handle, 9).await;
        });
    }
    world.turn();
    assert!(lock.holder().is_some());
    drop(world);
    assert_eq!(lock.holder(), None);
}

#[test]
fn who_is_cancelled_while_it_waits_is_refused_and_who_has_it_is_not() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let lock = Lock::new(handle, ());
    let mut world = World::new(handle);
    let holder = world.spawn(async {
        let guard = lock.lock().await.unwrap();
        let waits = Lock::new(handle, ());
        let _other = waits.try_lock();
        log.add(waits.lock().await.err());
        drop(guard);
    });
    let waiter = world.spawn(async {
        log.add(lock.lock().await.err());
        assert!(lock.try_lock().unwrap().is_none(), "trying does not wait and is not refused");
        log.add(lock.lock().await.err());
    });
    world.run();
    world.cancel(waiter.task());
    world.run();
    assert_eq!(log.take(), [Some(WaitError::Cancelled); 2]);
    assert!(waiter.is_over() && !holder.is_over());
    world.cancel(holder.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Some(WaitError::Cancelled)]);
    assert_eq!(lock.holder(), None);
}

#[test]
fn one_task_can_wait_in_several_places_of_a_queue() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let lock = Lock::new(handle, 0);
    let mut world = World::new(handle);
    let task = world.spawn(async {
        let add = async |n: u32| {
            let mut sum = lock.lock().await.unwrap();
            handle.yield_now().await;
            *sum += n;
            log.add(n);
        };
        join_all((0..20).map(add).collect()).await;
    });
    assert_eq!(world.run(), Rest::Empty);
    assert!(task.is_over());
    assert_eq!(log.take(), (0..20).collect::<Vec<_>>());
}

#[test]
fn who_takes_a_lock_twice_waits_for_itself() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let lock = Lock::new(handle, ());
    let mut world = World::new(handle);
    let task = world.spawn(async {
        let _once = lock.lock().await;
        let _twice = lock.lock().await;
    });
    assert_eq!(world.run(), Rest::Stalled);
    assert_eq!(world.view(task.task()).by, ExpectedWaker::Task(task.task()));
}

#[test]
fn a_wait_can_go_on_in_another_task() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let lock = Lock::new(handle, ());
    let mut world = World::new(handle);
    world.spawn(async {
        let guard = lock.lock().await;
        yields(handle, 5).await;
        drop(guard);
    });
    world.spawn(async {
        let mut wait = Box::pin(lock.lock());
        select(&mut wait, handle.yield_now()).await;
        let heir = handle.spawn(async {
            let guard = wait.await.unwrap();
            assert_eq!(lock.holder(), handle.current().ok());
            log.add("heir");
            drop(guard);
        });
        heir.unwrap().join().await.unwrap();
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["heir"]);
}

#[test]
fn nothing_works_outside_a_task() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let lock = Lock::new(handle, ());
    assert_eq!(lock.try_lock().err(), Some(WaitError::Elsewhere));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let refused = std::pin::pin!(lock.lock()).poll(&mut context);
    assert!(matches!(refused, std::task::Poll::Ready(Err(WaitError::Elsewhere))));
}

#[test]
fn it_says_who_it_is() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let lock = Lock::named(handle, "tickets", 3);
    assert_eq!(lock.name(), "tickets");
    assert_eq!(format!("{lock:?}"), r#"Lock { name: "tickets", holder: None, value: 3, .. }"#);
}

#[test]
fn others_have_their_turn_though_the_lock_is_always_free() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let lock = Lock::new(handle, ());
    let mut world = World::new(handle);
    let greedy = world.spawn(async {
        loop {
            drop(lock.lock().await);
        }
    });
    world.spawn(async { log.add("other") });
    world.turn();
    assert_eq!(log.take(), ["other"]);
    assert!(!greedy.is_over());
}
