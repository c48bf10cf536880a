use sinbin_core::Rest;
use sinbin_core::sync::{PermitError, Semaphore};
use sinbin_core::task::{Handle, NoWakers, RunContext, WaitError};
use sinbin_testkit::memory_host::{Log, World, yields};

#[test]
fn so_many_at_a_time() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let semaphore = Semaphore::new(handle, 2);
    let mut world = World::new(handle);
    for task in 0..5 {
        let (semaphore, log) = (&semaphore, &log);
        world.spawn(async move {
            let _permit = semaphore.acquire(1).await.unwrap();
            log.add(task);
            handle.yield_now().await;
            handle.yield_now().await;
        });
    }
    world.turn();
    assert_eq!(log.take(), [0, 1]);
    assert_eq!(semaphore.available(), 0);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [2, 3, 4]);
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn who_needs_many_is_not_overtaken() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let semaphore = Semaphore::new(handle, 3);
    let mut world = World::new(handle);
    for (task, count) in [(0, 2), (1, 3), (2, 1), (3, 1)] {
        let (semaphore, log) = (&semaphore, &log);
        world.spawn(async move {
            let permit = semaphore.acquire(count).await.unwrap();
            assert_eq!(permit.count(), count);
            log.add(task);
            yields(handle, 3).await;
        });
    }
    world.turn();
    assert_eq!(log.take(), [0], "there is one left, but 2 and 3 came after 1");
    assert_eq!(semaphore.available(), 0);
    world.spawn(async { assert!(semaphore.try_acquire(1).unwrap().is_none(), "nor is it had by trying") });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [1, 2, 3]);
    assert_eq!(semaphore.available(), 3);
}

#[test]
fn when_the_first_leaves_the_next_may_go() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let semaphore = Semaphore::new(handle, 3);
    let mut world = World::new(handle);
    let _holder = world.spawn(async {
        let _permit = semaphore.acquire(2).await.unwrap();
        std::future::pending::<()>().await;
    });
    let big = world.spawn(async { log.add(semaphore.acquire(2).await.map(|_| ())) });
    world.spawn(async { log.add(semaphore.acquire(1).await.map(|_| ())) });
    world.run();
    assert_eq!(log.take(), []);
    world.cancel(big.task());
    world.run();
    assert_eq!(log.take(), [Err(PermitError::Wait(WaitError::Cancelled)), Ok(())]);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn more_than_there_are_is_an_error_at_once() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let semaphore = Semaphore::new(handle, 3);
    let mut world = World::new(handle);
    world.spawn(async {
        log.add(semaphore.acquire(4).await.err());
        log.add(semaphore.try_acquire(4).err());
    });
    assert_eq!(world.run(), Rest::Empty);
    let error = PermitError::Above { asked: 4, total: 3 };
    assert_eq!(log.take(), [Some(error), Some(error)]);
    assert_eq!(error.to_string(), "4 permits of 3 can't be had");
}

#[test]
fn outside_a_task_there_is_none() {
    let run_context = RunContext::new(&NoWakers);
    let semaphore = Semaphore::new(Handle::new(&run_context), 3);
    assert_eq!(semaphore.try_acquire(1).err(), Some(PermitError::Wait(WaitError::Elsewhere)));
    assert_eq!((semaphore.available(), semaphore.total()), (3, 3));
}
