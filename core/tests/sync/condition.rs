use sinbin_core::Rest;
use sinbin_core::kernel::ExpectedWaker;
use sinbin_core::sync::{Condition, Lock};
use sinbin_core::task::{Handle, NoWakers, RunContext, WaitError, select};
use sinbin_testkit::memory_host::{Log, World, yields};

#[test]
fn a_buffer_of_one_place() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let place = Lock::new(handle, None);
    let (filled, emptied) = (Condition::new(handle), Condition::new(handle));
    let mut world = World::new(handle);
    world.spawn(async {
        for n in 0..10 {
            let guard = place.lock().await?;
            let mut guard = emptied.wait_while(guard, |place| place.is_some()).await?;
            *guard = Some(n);
            filled.notify_one()?;
        }
        Ok::<_, WaitError>(())
    });
    world.spawn(async {
        for _ in 0..10 {
            let guard = place.lock().await?;
            let mut guard = filled.wait_while(guard, |place| place.is_none()).await?;
            log.add(guard.take());
            emptied.notify_one()?;
        }
        Ok::<_, WaitError>(())
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), (0..10).map(Some).collect::<Vec<_>>());
}

#[test]
fn one_or_all_in_the_order_in_which_they_wait() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let (lock, condition) = (Lock::new(handle, ()), Condition::new(handle));
    let mut world = World::new(handle);
    for task in 0..4 {
        let (lock, condition, log) = (&lock, &condition, &log);
        world.spawn(async move {
            let guard = lock.lock().await.unwrap();
            let guard = condition.wait(guard).await.unwrap();
            log.add(task);
            handle.yield_now().await;
            drop(guard);
        });
    }
    assert_eq!(world.run(), Rest::Stalled, "the lock is free, and all wait to be notified");
    assert_eq!(lock.holder(), None);
    world.spawn(async { condition.notify_one().unwrap() });
    world.run();
    assert_eq!(log.take(), [0]);
    world.spawn(async { condition.notify_all().unwrap() });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [1, 2, 3]);
}

#[test]
fn who_is_notified_waits_for_the_one_who_has_the_value() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let (lock, condition) = (Lock::new(handle, ()), Condition::new(handle));
    let mut world = World::new(handle);
    let waiter = world.spawn(async {
        let guard = lock.lock().await.unwrap();
        condition.wait(guard).await.unwrap();
    });
    world.run();
    assert_eq!(world.view(waiter.task()).by, ExpectedWaker::Anyone);
    let holder = world.spawn(async {
        let _guard = lock.lock().await.unwrap();
        condition.notify_one().unwrap();
        std::future::pending::<()>().await;
    });
    world.run();
    assert_eq!(world.view(waiter.task()).by, ExpectedWaker::Task(holder.task()));
}

#[test]
fn a_notification_is_passed_on_by_who_leaves() {
    // The first task leaves before it gets the lock, and while it waits for the lock.
    for holds in [0, 4] {
        let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
        let handle = Handle::new(&run_context);
        let (lock, condition) = (Lock::new(handle, ()), Condition::new(handle));
        let wait = async |name| {
            let guard = lock.lock().await?;
            condition.wait(guard).await?;
            log.add(name);
            Ok::<_, WaitError>(())
        };
        let mut world = World::new(handle);
        let first = world.spawn(async {
            let wait = wait("first");
            // Ready in every turn. The task drops its wait in the turn in which it could continue.
            select(yields(handle, 4 + holds / 2), wait).await;
        });
        world.spawn(wait("second"));
        world.turn();
        world.turn();
        world.spawn(async {
            yields(handle, 1).await;
            let guard = lock.lock().await.unwrap();
            condition.notify_one().unwrap();
            yields(handle, holds).await;
            drop(guard);
        });
        assert_eq!(world.run(), Rest::Empty, "holds {holds}");
        assert!(first.is_over());
        assert_eq!(log.take(), ["second"], "holds {holds}");
        assert_eq!(lock.holder(), None);
    }
}

#[test]
fn a_cancelled_wait_is_refused_and_the_value_given_up() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let (lock, condition) = (Lock::new(handle, ()), Condition::new(handle));
    let mut world = World::new(handle);
    let task = world.spawn(async {
        let guard = lock.lock().await.unwrap();
        log.add(condition.wait(guard).await.err());
        assert_eq!(lock.holder(), None);
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Some(WaitError::Cancelled)]);
    assert_eq!(condition.notify_one(), Err(WaitError::Elsewhere));
    assert_eq!(condition.notify_all(), Err(WaitError::Elsewhere));
}
