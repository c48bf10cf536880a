use std::cell::Cell;
use std::pin::{Pin, pin};

use sinbin_core::Rest;
use sinbin_core::group::{Cause, Failed, Group, scope};
use sinbin_core::task::{Error, Handle, NoWakers, Pool, RunContext, TrySpawnError, WaitError};
use sinbin_testkit::memory_host::{Log, TASKS, World, yields};

async fn child(handle: Handle<'_>, turns: usize) -> Result<usize, Error> {
    yields(handle, turns).await;
    if turns == 9 { Err(Error::Closed) } else { Ok(turns) }
}

#[test]
fn a_group_of_tasks_from_a_pool() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::<_, _>::fixed::<4>());
    let pool = Pin::as_ref(&pool);
    let mut world = World::new(handle);
    world.spawn(async move {
        let group = Group::new(handle);
        let put = |turns| {
            let (task, join_handle) = pool.put(group.handle(), child(handle, turns)).unwrap();
            (task.erase(), join_handle)
        };
        for turns in [9, 3, 1] {
            group.start(put(turns)).ok().unwrap();
        }
        assert_eq!(group.len(), 3);
        log.add(group.next().await.unwrap().ok());
        log.add(group.next().await.unwrap().ok());
        let failed = group.next().await.unwrap().unwrap_err();
        assert_eq!(failed.cause, Cause::Error(Error::Closed));
        assert_eq!(failed.label.unwrap().name, "tasks::pooling::child");
        // The group has ended and returns new tasks to the caller.
        let (task, join_handle) = group.start(put(2)).err().unwrap();
        assert!(group.is_empty() && !join_handle.is_over());
        assert!(handle.start(task).is_ok(), "it can run outside of the group");
        drop(join_handle);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Some(1), Some(3)]);
}

/// A task is returned to the caller if the loop is full or no task of it runs. The task can be spawned later.
#[test]
fn a_task_without_a_place_in_the_kernel_comes_back() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::<_, _>::growing(100));
    let pool = Pin::as_ref(&pool);
    let group = Group::new(handle);
    let put = |turns| {
        let (task, join_handle) = pool.put(handle, child(handle, turns)).unwrap();
        (task.erase(), join_handle)
    };
    let put = &put;
    let (task, early) = group.start(put(7)).err().unwrap();
    let Err(TrySpawnError(task)) = handle.start(task) else { panic!("no task runs") };
    let mut world = World::new(handle);
    world.start(task);
    world.spawn(async move {
        let mut count = 0;
        let back = loop {
            match group.start(put(count)) {
                Ok(_) => count += 1,
                Err(back) => break back,
            }
        };
        assert_eq!((group.len(), count), (TASKS - 2, TASKS - 2));
        assert!(group.next().await.unwrap().is_ok());
        // A slot is free now.
        group.start(back).ok().unwrap();
        let mut results = 1;
        while let Some(result) = group.next().await {
            if result.is_err() {
                break;
            }
            results += 1;
        }
        log.add(results);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [9], "up to the failing task");
    drop(early);
}

#[derive(Debug, PartialEq)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it is broken")
    }
}

impl std::error::Error for Broken {}

/// A failure returns its cause as the source, for callers that print the chain of sources.
#[test]
fn a_failure_says_what_the_task_said_or_why_it_could_not_be_waited_for() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let say = |failed: Failed<Broken>| {
        let source = std::error::Error::source(&failed);
        log.add((failed.to_string(), source.map(ToString::to_string)));
    };
    world.spawn(async move {
        let group = Group::<(), _>::new(handle);
        group.spawn(async { Err(Broken) }).unwrap();
        say(group.join().await.unwrap_err());
    });
    let waits = world.spawn(async move {
        let group = Group::new(handle);
        group.spawn(std::future::pending::<Result<(), _>>()).unwrap();
        say(group.join().await.unwrap_err());
    });
    world.turn();
    world.turn();
    world.cancel(waits.task());
    assert_eq!(world.run(), Rest::Empty);
    let said = log.take();
    let [(error, source), (refused, none)] = &said[..] else { panic!("{said:?}") };
    assert!(error.starts_with("it is broken\n  in task "), "{error}");
    assert_eq!(source.as_deref(), Some("it is broken"));
    assert_eq!((refused, none), (&format!("{}\n  in task {}", WaitError::Cancelled, waits.task()), &None));
}

/// A successful task does not end the body, which runs on.
#[test]
fn tasks_that_end_well_leave_the_body_alone() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let result: Result<_, Failed<Error>> = scope(handle, async |group| {
            for turns in 0..4 {
                group.spawn(child(handle, turns))?;
            }
            yields(handle, 20).await;
            assert!(group.is_empty(), "all tasks have ended, although the body did not wait for them");
            Ok("body")
        })
        .await;
        log.add(result.ok());
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Some("body")]);
}

/// Two tasks end in one turn. The success of one does not hide the failure of the other.
#[test]
fn a_failure_behind_a_good_end_ends_the_body() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let result: Result<(), Failed<Error>> = scope(handle, async |group| {
            group.spawn(async { Ok(()) })?;
            group.spawn(async { Err(Error::Elapsed) })?;
            std::future::pending().await
        })
        .await;
        log.add(result.unwrap_err().cause);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Cause::Error(Error::Elapsed)]);
}

#[test]
fn beyond_capacity_the_future_is_given_back() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut children = Vec::new();
        let future = loop {
            match handle.try_spawn(yields_and(handle, 2)) {
                Ok(child) => children.push(child),
                Err(TrySpawnError(future)) => break future,
            }
        };
        log.add(children.len());
        // The returned future can be awaited in this task instead.
        log.add(future.await);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [TASKS - 1, 2]);
}

async fn yields_and(handle: Handle<'_>, times: usize) -> usize {
    yields(handle, times).await;
    times
}

#[test]
fn a_full_pool_gives_it_back_and_takes_it_when_there_is_a_place() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::<_, _>::fixed::<2>());
    let pool = pool.as_ref();
    let mut world = World::new(handle);
    world.spawn(async move {
        let [mut first, second] = [1, 2].map(|times| {
            let (task, join_handle) = pool.put(handle, yields_and(handle, times)).unwrap();
            handle.start(task.erase()).unwrap();
            join_handle
        });
        let refused = pool.put(handle, yields_and(handle, 3)).err().unwrap();
        log.add(first.join().await.unwrap());
        assert!(pool.put(handle, yields_and(handle, 3)).is_err(), "the handle still occupies the slot");
        drop(first);
        let (task, mut third) = pool.put(handle, refused.0).unwrap();
        handle.start(task.erase()).unwrap();
        // The handle is dropped first. The slot is freed when the task ends.
        drop(second);
        log.add(third.join().await.unwrap());
        drop(third);
        assert!(
            pool.put(handle, yields_and(handle, 3)).is_ok()
                && pool.put(handle, yields_and(handle, 3)).is_ok()
        );
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [1, 3]);
}

#[test]
fn a_place_is_used_again_and_again() {
    let (run_context, count) = (RunContext::new(&NoWakers), &Cell::new(0));
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::<_, _>::fixed::<3>());
    let pool = pool.as_ref();
    let child = &async move |n: usize| {
        yields(handle, n % 3).await;
        count.set(count.get() + 1);
    };
    let mut world = World::new(handle);
    world.spawn(async move {
        for n in 0..100 {
            while pool.put(handle, child(n)).map(|(task, _)| handle.start(task.erase()).unwrap()).is_err() {
                handle.yield_now().await;
            }
        }
    });
    world.run();
    assert_eq!(count.get(), 100);
}

/// A growing pool reuses its slots, and their number is limited.
#[test]
fn a_pool_that_grows_has_a_limit() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::<_, _>::growing(20));
    let pool = pool.as_ref();
    let mut world = World::new(handle);
    for _ in 0..2 {
        for _ in 0..20 {
            let (task, join_handle) = pool.put(handle, handle.yield_now()).unwrap();
            world.start(task.erase());
            assert!(!join_handle.is_over());
        }
        assert!(pool.put(handle, handle.yield_now()).is_err());
        assert_eq!(world.run(), Rest::Empty);
    }
}
