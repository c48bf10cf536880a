use sinbin_core::Rest;
use sinbin_core::sync::order::{Order, OrderError, Ordered, OutOfOrder, acquire};
use sinbin_core::task::{Handle, NoWakers, RunContext, WaitError, join, select};
use sinbin_testkit::memory_host::{Log, World, yields};

#[test]
fn taken_in_their_order_however_written() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let order = Order::<8>::new(handle);
    let (left, right) = (order.lock("left", 1), order.lock("right", "two"));
    let mut world = World::new(handle);
    world.spawn(async {
        for _ in 0..5 {
            let (left, right) = acquire((&left, &right)).await?;
            handle.yield_now().await;
            log.add((*left, *right));
        }
        Ok::<_, OrderError>(())
    });
    world.spawn(async {
        for _ in 0..5 {
            let (right, left) = acquire((&right, &left)).await?;
            handle.yield_now().await;
            log.add((*left, *right));
        }
        Ok::<_, OrderError>(())
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [(1, "two"); 10]);
    assert_eq!((left.holder(), right.holder()), (None, None));
    assert_eq!(format!("{order:?}"), "[]");
}

#[test]
fn the_first_in_order_is_taken_first() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let order = Order::<8>::new(handle);
    let locks: [_; 4] = std::array::from_fn(|n| order.lock("lock", n));
    let mut world = World::new(handle);
    let holder = world.spawn(async {
        let _second = acquire(&locks[1]).await.unwrap();
        std::future::pending::<()>().await;
    });
    let waiter = world.spawn(async {
        let taken = acquire([&locks[3], &locks[1], &locks[0], &locks[2]]).await.unwrap();
        assert_eq!(taken.each_ref().map(|held| **held), [3, 1, 0, 2], "returned as written");
    });
    world.run();
    let holders = locks.each_ref().map(Ordered::holder);
    assert_eq!(holders, [Some(waiter.task()), Some(holder.task()), None, None]);
    world.cancel(holder.task());
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn one_that_comes_before_is_refused_with_both_names() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let order = Order::<8>::new(handle);
    let (left, right) = (order.lock("left", ()), order.lock("right", ()));
    let mut world = World::new(handle);
    let task = world.spawn(async {
        let held = acquire(&right).await.unwrap();
        log.add(acquire(&left).await.err());
        log.add(acquire(&right).await.err());
        drop(held);
        // Now the task may acquire the lock.
        let held = acquire(&left).await.unwrap();
        let later = acquire(&right).await.unwrap();
        // Releasing the earlier lock first makes no difference for locks that precede the later one.
        drop(held);
        log.add(acquire(&left).await.err());
        drop(later);
        log.add(acquire(&left).await.err());
        // A lock may not be named twice.
        log.add(acquire((&left, &left)).await.err());
    });
    assert_eq!(world.run(), Rest::Empty);
    let error = |held, wanted| OutOfOrder { task: task.task(), held, wanted };
    let refused = |held, wanted| Some(OrderError::OutOfOrder(error(held, wanted)));
    assert_eq!(
        log.take(),
        [
            refused("right", "left"),
            refused("right", "right"),
            refused("right", "left"),
            None,
            refused("left", "left"),
        ]
    );
    let said = error("right", "left").to_string();
    let expected = r#"has the lock "right" and asks for "left", which does not come after it"#;
    assert_eq!(said, format!("task {} {expected}", task.task()));
    assert_eq!(OrderError::OutOfOrder(error("right", "left")).to_string(), said);
    assert_eq!(format!("{order:?}"), "[]");
}

/// Beazley's philosophers: each takes two forks, and none starves.
#[test]
fn philosophers_dine() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let order = Order::<10>::new(handle);
    let forks: [_; 5] = std::array::from_fn(|_| order.lock("fork", 0));
    let mut world = World::new(handle);
    for n in 0..5 {
        let (left, right, log) = (&forks[n], &forks[(n + 1) % 5], &log);
        world.spawn(async move {
            for _ in 0..3 {
                let (mut left, mut right) = acquire((left, right)).await.unwrap();
                yields(handle, 2).await;
                *left += 1;
                *right += 1;
                log.add(n);
            }
        });
    }
    assert_eq!(world.run(), Rest::Empty);
    let dined = log.take();
    assert!((0..5).all(|n| dined.iter().filter(|who| **who == n).count() == 3), "{dined:?}");
    world.spawn(async {
        let used = acquire(forks.each_ref()).await.unwrap();
        assert!(used.iter().all(|times| **times == 6));
        log.add(5);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [5]);
}

#[test]
fn what_is_asked_for_counts_as_what_is_held() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let order = Order::<8>::new(handle);
    let (left, right) = (order.lock("left", ()), order.lock("right", ()));
    let mut world = World::new(handle);
    let holder = world.spawn(async {
        let _held = acquire(&right).await.unwrap();
        yields(handle, 3).await;
    });
    world.turn();
    // Otherwise the task could hold one lock while it waits for the other, in either order.
    world.spawn(async {
        let (first, second) = join(acquire(&right), acquire(&left)).await;
        log.add((first.err(), second.map(|_| ()).is_err()));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert!(holder.is_over());
    assert_eq!(log.take(), [(None, true)]);
}

#[test]
fn limits_are_errors() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let (order, other) = (Order::<2>::new(handle), Order::<2>::new(handle));
    let locks: [_; 3] = std::array::from_fn(|_| order.lock("lock", ()));
    let stranger = other.lock("stranger", ());
    let mut world = World::new(handle);
    world.spawn(async {
        log.add(acquire((&locks[0], &locks[1], &locks[2])).await.err());
        log.add(acquire((&locks[0], &stranger)).await.err());
        let both = acquire([&locks[0], &locks[2]]).await.unwrap();
        log.add(acquire(&locks[1]).await.err().filter(|error| !matches!(error, OrderError::OutOfOrder(_))));
        drop(both);
        let both = acquire([&locks[0], &locks[1]]).await.unwrap();
        log.add(acquire(&locks[2]).await.err());
        drop(both);
        // Locks of another order are not restricted.
        let held = acquire(&stranger).await.unwrap();
        log.add(acquire([&locks[2]]).await.err());
        drop(held);
    });
    assert_eq!(world.run(), Rest::Empty);
    let (full, mixed) = (Some(OrderError::Full), Some(OrderError::Mixed));
    assert_eq!(log.take(), [full, mixed, None, full, None]);
    assert_eq!(format!("{order:?} {other:?}"), "[] []");
}

#[test]
fn one_who_gives_up_gives_back_what_it_has() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let order = Order::<8>::new(handle);
    let (left, right) = (order.lock("left", ()), order.lock("right", ()));
    let mut world = World::new(handle);
    let holder = world.spawn(async {
        let _held = acquire(&right).await.unwrap();
        std::future::pending::<()>().await;
    });
    let cancelled = world.spawn(async { log.add(acquire((&left, &right)).await.err()) });
    world.spawn(async {
        select(acquire((&left, &right)), yields(handle, 2)).await;
        assert!(left.holder().is_some_and(|holder| holder != handle.current().unwrap()));
    });
    world.run();
    assert_eq!(left.holder(), Some(cancelled.task()));
    world.cancel(cancelled.task());
    world.run();
    assert_eq!(log.take(), [Some(OrderError::Wait(WaitError::Cancelled))]);
    assert_eq!((left.holder(), right.holder()), (None, Some(holder.task())));
    let held = format!("[({:?}, \"right\")]", holder.task());
    assert_eq!(format!("{order:?}"), held);
}
