use sinbin_core::sync::{Condition, Lock};
use sinbin_core::task::{Door, Loop, NoWakers, Refused, select};
use sinbin_core::{By, Rest};

use crate::support::{Log, World, yields};

#[test]
fn a_buffer_of_one_place() {
    let (door, log) = (Door::new(&NoWakers), Log::new());
    let on = Loop::new(&door);
    let place = Lock::new(on, None);
    let (filled, emptied) = (Condition::new(on), Condition::new(on));
    let mut world = World::new(on);
    world.spawn(async {
        for n in 0..10 {
            let guard = place.lock().await?;
            let mut guard = emptied.wait_while(guard, |place| place.is_some()).await?;
            *guard = Some(n);
            filled.notify_one()?;
        }
        Ok::<_, Refused>(())
    });
    world.spawn(async {
        for _ in 0..10 {
            let guard = place.lock().await?;
            let mut guard = filled.wait_while(guard, |place| place.is_none()).await?;
            log.add(guard.take());
            emptied.notify_one()?;
        }
        Ok::<_, Refused>(())
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), (0..10).map(Some).collect::<Vec<_>>());
}

#[test]
fn one_or_all_in_the_order_in_which_they_wait() {
    let (door, log) = (Door::new(&NoWakers), Log::new());
    let on = Loop::new(&door);
    let (lock, condition) = (Lock::new(on, ()), Condition::new(on));
    let mut world = World::new(on);
    for task in 0..4 {
        let (lock, condition, log) = (&lock, &condition, &log);
        world.spawn(async move {
            let guard = lock.lock().await.unwrap();
            let guard = condition.wait(guard).await.unwrap();
            log.add(task);
            on.yield_now().await;
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
    let door = Door::new(&NoWakers);
    let on = Loop::new(&door);
    let (lock, condition) = (Lock::new(on, ()), Condition::new(on));
    let mut world = World::new(on);
    let waiter = world.spawn(async {
        let guard = lock.lock().await.unwrap();
        condition.wait(guard).await.unwrap();
    });
    world.run();
    assert_eq!(world.view(waiter.task()).by, By::Anyone);
    let holder = world.spawn(async {
        let _guard = lock.lock().await.unwrap();
        condition.notify_one().unwrap();
        std::future::pending::<()>().await;
    });
    world.run();
    assert_eq!(world.view(waiter.task()).by, By::Task(holder.task()));
}

#[test]
fn a_notification_is_passed_on_by_who_leaves() {
    // Before it gets the value, and while it waits for that.
    for holds in [0, 4] {
        let (door, log) = (Door::new(&NoWakers), Log::new());
        let on = Loop::new(&door);
        let (lock, condition) = (Lock::new(on, ()), Condition::new(on));
        let wait = async |name| {
            let guard = lock.lock().await?;
            condition.wait(guard).await?;
            log.add(name);
            Ok::<_, Refused>(())
        };
        let mut world = World::new(on);
        let first = world.spawn(async {
            let wait = wait("first");
            // Ready in every turn, and impatient in the one in which it could go on.
            select(yields(on, 4 + holds / 2), wait).await;
        });
        world.spawn(wait("second"));
        world.turn();
        world.turn();
        world.spawn(async {
            yields(on, 1).await;
            let guard = lock.lock().await.unwrap();
            condition.notify_one().unwrap();
            yields(on, holds).await;
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
    let (door, log) = (Door::new(&NoWakers), Log::new());
    let on = Loop::new(&door);
    let (lock, condition) = (Lock::new(on, ()), Condition::new(on));
    let mut world = World::new(on);
    let task = world.spawn(async {
        let guard = lock.lock().await.unwrap();
        log.add(condition.wait(guard).await.err());
        assert_eq!(lock.holder(), None);
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Some(Refused::Cancelled)]);
    assert_eq!(condition.notify_one(), Err(Refused::Elsewhere));
    assert_eq!(condition.notify_all(), Err(Refused::Elsewhere));
}
