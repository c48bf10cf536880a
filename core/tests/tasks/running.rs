use sinbin_core::task::{Handle, NoWakers, RunContext, join};
use sinbin_core::{Rest, WakeReason};
use sinbin_testkit::memory_host::{Log, World, yields};

#[test]
fn each_has_a_turn_before_one_has_two() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    for task in 0..4 {
        world.spawn(async move {
            for _ in 0..3 {
                log.add(task);
                handle.yield_now().await;
            }
        });
    }
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [0, 1, 2, 3].repeat(3));
}

#[test]
fn who_is_spawned_runs_in_the_next_turn_in_that_order() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        for child in 1..4 {
            handle.spawn(async move { log.add(child) }).unwrap();
        }
        log.add(0);
        handle.yield_now().await;
        log.add(4);
    });
    world.spawn(async move { log.add(10) });
    world.turn();
    assert_eq!(log.take(), [0, 10]);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [1, 2, 3, 4]);
}

#[test]
fn a_task_knows_who_it_is_and_what_time_it_is() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.now = sinbin_core::Instant::from_nanos(7);
    let task = world.spawn(async move { log.add((handle.current().unwrap(), handle.now())) });
    assert!(!task.is_over());
    world.run();
    assert!(task.is_over());
    assert_eq!(log.take(), [(task.task(), world.now)]);
    assert_eq!(world.host.ended, [task.task()]);
}

/// The number of operations in one step after which a task yields, even if none had to wait.
const BUDGET: usize = 32;

#[test]
fn who_always_finds_something_gives_way_all_the_same() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    world.peer(conn.source()).inbox.extend([0; 100]);
    let reader = world.spawn(async move {
        for n in 1..=100 {
            assert_eq!(conn.recv(&mut [0]).await, Ok(1));
            log.add(n);
        }
    });
    world.turn();
    assert_eq!(log.take().len(), BUDGET);
    assert_eq!(world.executor.kernel.rest(), Rest::Ready);
    world.turn();
    assert_eq!(world.executor.kernel.wake_reason(reader.task()), Some(WakeReason::Yielded));
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take().last(), Some(&100));
}

#[test]
fn sending_counts_too_and_so_do_both_in_one_task() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.peer(source).inbox.extend([0; 1000]);
    world.spawn(async move {
        let send = async {
            for _ in 0..100 {
                conn.send_all(b"x").await.unwrap();
            }
        };
        let recv = async {
            for _ in 0..100 {
                conn.recv(&mut [0]).await.unwrap();
            }
        };
        join(send, recv).await;
        yields(handle, 1).await;
    });
    for turn in 1..=6 {
        world.turn();
        let peer = world.peer(source);
        let done = peer.outbox.len() + 1000 - peer.inbox.len();
        assert!((turn * BUDGET - 1..=turn * BUDGET).contains(&done), "{done} in {turn} turns");
    }
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn a_wake_that_comes_before_the_wait_is_not_lost() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let sleeper = world.spawn(async move {
        handle.yield_now().await;
        handle.wait_named().await.unwrap();
        log.add("woken");
    });
    let sleeper = sleeper.task();
    world.spawn(async move { assert!(handle.wake(sleeper)) });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["woken"]);
    world.spawn(async move { assert!(!handle.wake(sleeper), "it is gone") });
    assert_eq!(world.run(), Rest::Empty);
}

/// A task that has ended has no label any more, even if another task has its slot.
#[test]
fn a_task_that_is_gone_has_no_name_any_more() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let gone = world.spawn(async {});
    world.run();
    let there = world.spawn(std::future::pending::<()>());
    assert_eq!(gone.task().index(), there.task().index());
    assert_eq!(world.executor.label(gone.task()), None);
    assert_eq!(world.executor.label(there.task()), Some(there.label()));
}

/// A job begins in the next step if the task asks for it when the budget of the present step is spent.
#[test]
fn a_job_is_an_operation_of_the_step() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let permits = sinbin_core::sync::Semaphore::new(handle, 1);
        for _ in 0..32 {
            drop(permits.acquire(1).await);
        }
        log.add(handle.job(|| 5).await.unwrap());
    });
    world.turn();
    assert!(world.host.jobs.is_empty(), "all operations of the step are spent");
    world.turn();
    assert_eq!(world.compute(), 1);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [5]);
}
