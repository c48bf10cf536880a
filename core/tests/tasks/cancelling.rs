use std::time::Duration;

use sinbin_core::Rest;
use sinbin_core::group::scope;
use sinbin_core::kernel::TaskState;
use sinbin_core::sync::{Channel, Lock, Semaphore};
use sinbin_core::task::{Error, Handle, JoinErrorKind, NoWakers, RunContext, WaitError, join, select};
use sinbin_testkit::memory_host::{Falls, Log, Peer, World, yields};

#[test]
fn a_wait_is_refused_and_every_later_one() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let task = world.spawn(async move {
        log.add(conn.recv(&mut [0]).await);
        log.add(conn.recv(&mut [0]).await);
        log.add(conn.readable().await.map(|()| 0));
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.view(task.task()).state, TaskState::Ready, "it leaves the wait tables at once");
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(Error::Wait(WaitError::Cancelled)); 3]);
    assert!(!world.host.peers.contains_key(&source), "what it owns is dropped");
}

#[test]
fn what_need_not_wait_is_not_refused() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let task = world.spawn(async move {
        assert!(conn.recv(&mut [0]).await.is_err());
        log.add(conn.send(b"bye").await);
    });
    world.run();
    world.cancel(task.task());
    world.turn();
    assert_eq!(log.take(), [Ok(3)]);
    assert!(task.is_over() && !world.host.peers.contains_key(&source));
}

#[test]
fn what_it_owns_is_dropped_from_the_inside_out() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let task = world.spawn(async move {
        let _outer = Falls(log, "outer");
        let inner = async {
            let _inner = Falls(log, "inner");
            handle.wait_named().await
        };
        inner.await?;
        log.add("not reached");
        Ok::<_, WaitError>(())
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["inner", "outer"]);
}

#[test]
fn who_does_not_listen_is_dropped_where_it_stands() {
    for what in ["sleep", "pending", "yield", "both"] {
        let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        let nap = Duration::from_secs(9);
        let mut task = world.spawn(async move {
            let _falls = Falls(log, "dropped");
            match what {
                "sleep" => handle.sleep(nap).await,
                "pending" => std::future::pending().await,
                "yield" => yields(handle, 1000).await,
                _ => drop(join(handle.sleep(nap), handle.sleep(nap)).await),
            }
            log.add("not reached");
        });
        world.turn();
        world.cancel(task.task());
        // A task that is ready learns of the cancellation after its next step.
        world.turn();
        world.turn();
        assert_eq!(log.take(), ["dropped"], "{what}");
        world.spawn(async move { assert_eq!(task.join().await.unwrap_err().why, JoinErrorKind::Cancelled) });
        assert_eq!(world.run(), Rest::Empty);
    }
}

#[test]
fn one_that_listens_in_part_is_told() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let task = world.spawn(async move {
        // The sleep can't return an error, but `wait_named` can.
        select(handle.sleep(Duration::from_secs(1)), handle.wait_named()).await;
        log.add("told");
    });
    world.turn();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["told"]);
}

#[test]
fn one_that_is_told_over_and_over_and_goes_on_is_ended() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let task = world.spawn(async move {
        let _falls = Falls(log, "dropped");
        while handle.wait_named().await.is_err() {}
        log.add("not reached");
    });
    world.turn();
    world.cancel(task.task());
    world.turn();
    assert_eq!(log.take(), ["dropped"]);
    assert!(task.is_over());
}

#[test]
fn one_that_was_never_run_is_told_in_its_first_wait_or_runs_to_its_end() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let waits = world.spawn(async move {
        log.add("runs");
        assert_eq!(handle.wait_named().await, Err(WaitError::Cancelled));
        log.add("told");
    });
    let ends = world.spawn(async move { log.add("ends") });
    world.cancel(waits.task());
    world.cancel(ends.task());
    assert_eq!(world.run(), Rest::Empty);
    let log = log.take();
    assert_eq!(log.iter().filter(|what| **what == "told").count(), 1, "{log:?}");
}

#[test]
fn a_task_can_cancel_itself() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        handle.cancel(handle.current().unwrap());
        log.add("goes on");
        assert_eq!(handle.wait_named().await, Err(WaitError::Cancelled));
        log.add("told");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["goes on", "told"]);
}

#[test]
fn what_is_shielded_can_wait() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.peer(source).room = 2;
    let task = world.spawn(async move {
        assert!(conn.recv(&mut [0]).await.is_err());
        handle
            .shield(async {
                conn.send_all(b"goodbye").await.unwrap();
                handle.sleep(Duration::from_secs(1)).await;
                yields(handle, 3).await;
            })
            .await;
        log.add("cleaned up");
        log.add(if conn.recv(&mut [0]).await.is_err() { "refused again" } else { "" });
    });
    world.run();
    world.cancel(task.task());
    world.run();
    assert_eq!(log.take(), [""; 0]);
    let peer = world.peer(source);
    assert_eq!(peer.outbox, b"go");
    peer.room = 9;
    world.turn();
    world.executor.kernel.ready(source, sinbin_core::Interest::SEND);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["cleaned up", "refused again"]);
}

#[test]
fn a_shield_that_is_over_long_before_changes_nothing() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let task = world.spawn(async move {
        handle.shield(async {}).await;
        handle.shield(handle.yield_now()).await;
        log.add(handle.wait_named().await);
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(WaitError::Cancelled)]);
}

#[test]
fn who_is_cancelled_within_a_shield_is_told_after_it() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let task = world.spawn(async move {
        handle
            .shield(async {
                handle.sleep(Duration::from_secs(1)).await;
                log.add(Ok(()));
            })
            .await;
        log.add(handle.wait_named().await);
    });
    world.turn();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(()), Err(WaitError::Cancelled)]);
}

#[test]
fn a_second_cancel_ends_it_even_so() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let mut task = world.spawn(async move {
        let _falls = Falls(log, "dropped");
        handle.shield(handle.wait_named()).await.unwrap();
        log.add("not reached");
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Stalled, "it is shielded");
    assert!(!task.is_over());
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["dropped"]);
    world.spawn(async move { assert_eq!(task.join().await.unwrap_err().why, JoinErrorKind::Cancelled) });
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn who_joins_it_learns_of_it() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let mut child = world.spawn(handle.sleep(Duration::from_secs(9)));
    let id = child.task();
    world.spawn(async move { log.add(child.join().await.unwrap_err().why) });
    world.turn();
    world.cancel(id);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [JoinErrorKind::Cancelled]);
    assert!(world.now < sinbin_core::Instant::ZERO + Duration::from_secs(9), "at once");
}

#[test]
fn who_joins_can_be_cancelled_and_the_other_goes_on() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let mut child = world.spawn(async move {
        handle.sleep(Duration::from_secs(1)).await;
        log.add(None);
    });
    let parent = world.spawn(async move { log.add(child.join().await.err().map(|error| error.why)) });
    world.turn();
    world.cancel(parent.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Some(JoinErrorKind::Wait(WaitError::Cancelled)), None]);
}

#[test]
fn a_loop_that_is_dropped_drops_its_tasks() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let task = world.spawn(async move {
        let _falls = Falls(log, "dropped");
        conn.recv(&mut [0]).await.ok();
    });
    world.turn();
    drop(world);
    assert_eq!(log.take(), ["dropped"]);
    assert!(task.is_over());
}

/// Operations that never wait because data, a permit or capacity is always available. Each of them fails once after the
/// cancellation.
#[test]
fn one_that_never_has_to_wait_is_told_by_its_next_operation() {
    let all = ["recv", "channel", "accept", "send", "send_all", "lock", "semaphore", "job", "connect"];
    for what in &all[..if cfg!(miri) { 2 } else { all.len() }] {
        let what = *what;
        let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        let conn = world.connect();
        let source = conn.source();
        let task = world.spawn(async move {
            let channel = Channel::<_, 2>::new(handle);
            channel.try_send(1).unwrap();
            let (lock, permits) = (Lock::new(handle, 0), Semaphore::new(handle, 1));
            let listener = handle.listen("127.0.0.1:9").unwrap();
            log.add("begins");
            loop {
                let is_told = match what {
                    "recv" => conn.recv(&mut [0; 2]).await.is_err(),
                    "send" => conn.send(b"x").await.is_err(),
                    "send_all" => conn.send_all(b"xy").await.is_err(),
                    "channel" => match channel.recv().await {
                        Ok(value) => channel.send(value).await.is_err(),
                        Err(_) => true,
                    },
                    "lock" => lock.lock().await.is_err(),
                    "semaphore" => permits.acquire(1).await.is_err(),
                    "accept" => listener.accept().await.is_err(),
                    "connect" => handle.connect("127.0.0.1:9").await.is_err(),
                    _ => handle.job(|| ()).await.is_err(),
                };
                if is_told {
                    break;
                }
            }
            log.add("told");
            handle.shield(handle.sleep(Duration::from_secs(1))).await;
            log.add("cleaned up");
        });
        let flood = |world: &mut World<'_>| {
            world.peer(source).inbox.extend([0; 999]);
            if what == "accept" {
                (0..40).for_each(|_| world.arrive(Ok(Peer::default())));
            }
        };
        world.turn();
        for _ in 0..5 {
            flood(&mut world);
            world.turn();
        }
        assert!(!task.is_over());
        flood(&mut world);
        let before = world.peer(source).inbox.len();
        world.cancel(task.task());
        world.turn();
        assert_eq!(log.take(), ["begins", "told"], "{what}: at once");
        assert_eq!(world.peer(source).inbox.len(), before, "{what}: and does nothing more");
        assert!(world.host.jobs.is_empty(), "{what}: no job begins");
        assert_eq!(world.run(), Rest::Empty);
        assert_eq!(log.take(), ["cleaned up"], "{what}");
    }
}

/// The first operation outside of a shield fails also if the task was cancelled before its first step, by itself, or
/// within a shield.
#[test]
fn the_next_operation_is_the_first_one_outside_of_a_shield() {
    for how in ["before its first step", "by itself", "in a shield", "while it is ready"] {
        let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        let conn = world.connect();
        world.peer(conn.source()).inbox.extend([0; 999]);
        let task = world.spawn(async move {
            match how {
                "by itself" => assert!(handle.cancel(handle.current().unwrap())),
                "in a shield" => {
                    let long = async {
                        for _ in 0..100 {
                            conn.recv(&mut [0]).await.unwrap();
                        }
                        handle.cancel(handle.current().unwrap());
                        for _ in 0..100 {
                            conn.recv(&mut [0]).await.unwrap();
                        }
                    };
                    handle.shield(long).await;
                }
                "while it is ready" => handle.yield_now().await,
                _ => {}
            }
            log.add(conn.recv(&mut [0]).await);
            log.add(conn.recv(&mut [0]).await);
        });
        match how {
            "before its first step" => assert!(world.cancel(task.task())),
            "while it is ready" => {
                world.turn();
                assert!(world.cancel(task.task()));
            }
            _ => {}
        }
        assert_eq!(world.run(), Rest::Empty, "{how}");
        assert_eq!(log.take(), [Err(Error::Wait(WaitError::Cancelled)), Ok(1)], "{how}: told once");
    }
}

/// A cancelled task that ignores the error and never waits is refused again when its step's budget is spent, and is
/// then dropped.
#[test]
fn one_that_goes_on_without_waiting_is_ended_all_the_same() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let task = world.spawn(async move {
        let _falls = Falls(log, "dropped");
        loop {
            conn.recv(&mut [0]).await.ok();
        }
    });
    world.peer(source).inbox.extend([0; 999]);
    world.turn();
    world.cancel(task.task());
    world.turn();
    world.turn();
    assert_eq!(log.take(), ["dropped"]);
    assert!(task.is_over());
}

/// A repeated cancellation by tasks has no effect, regardless of how they cancel.
#[test]
fn a_shield_holds_however_often_tasks_cancel() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let result = scope(handle, async |group| {
            let task = group
                .spawn(async move {
                    let _falls = Falls(log, "over");
                    assert_eq!(handle.wait_named().await, Err(WaitError::Cancelled));
                    for _ in 0..3 {
                        handle.shield(handle.sleep(Duration::from_secs(1))).await;
                        assert_eq!(handle.wait_named().await, Err(WaitError::Cancelled));
                    }
                    log.add("cleaned up");
                    Ok::<_, WaitError>(())
                })
                .unwrap();
            for _ in 0..3 {
                handle.yield_now().await;
                assert!(handle.cancel(task));
                handle.sleep(Duration::from_millis(300)).await;
            }
            group.cancel();
            handle.cancel(handle.current().unwrap());
            group.join().await.map_err(|_| WaitError::Cancelled)
        });
        result.await.unwrap_err();
        let mut alone = handle
            .spawn(async move {
                handle.shield(handle.wait_named()).await.unwrap();
                log.add("woken");
            })
            .unwrap();
        handle.shield(handle.yield_now()).await;
        assert!(alone.cancel() && alone.cancel());
        handle.shield(handle.sleep(Duration::from_secs(1))).await;
        assert!(alone.cancel());
        handle.wake(alone.task());
        handle.shield(alone.join()).await.unwrap();
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["cleaned up", "over", "woken"]);
}

/// The end of a host: all tasks are cancelled, including those spawned afterwards. Then `end_all` drops the rest.
#[test]
fn what_is_spawned_while_all_end_is_cancelled_as_well() {
    struct Spawns<'d>(Handle<'d>, &'d Log<&'static str>, u32);
    impl Drop for Spawns<'_> {
        fn drop(&mut self) {
            let (handle, log, left) = (self.0, self.1, self.2);
            log.add("dropped");
            let next = left.checked_sub(1).map(|left| Spawns(handle, log, left));
            let again = async move {
                let _next = next;
                handle.sleep(Duration::from_secs(2)).await;
                log.add("not reached");
            };
            handle.spawn(again).ok();
        }
    }
    for is_last in [false, true] {
        let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        let cleaned = world.spawn(async move {
            handle.wait_named().await.unwrap_err();
            handle.shield(handle.sleep(Duration::from_secs(1))).await;
            log.add("cleaned up");
        });
        world.spawn(async move {
            let _spawns = Spawns(handle, log, 3);
            handle.sleep(Duration::from_secs(2)).await;
        });
        world.turn();
        world.executor.kernel.cancel(cleaned.task());
        world.turn();
        world.executor.kernel.cancel_all();
        if is_last {
            world.turn();
            for _ in 0..2 {
                world.executor.kernel.end_all();
                world.turn();
            }
            assert!(!log.take().contains(&"cleaned up"));
        } else {
            assert_eq!(world.run(), Rest::Empty);
            assert_eq!(log.take(), ["dropped", "dropped", "dropped", "dropped", "cleaned up"]);
        }
        assert_eq!(world.executor.kernel.rest(), Rest::Empty);
        assert!(world.now <= sinbin_core::Instant::ZERO + Duration::from_secs(1));
    }
}
