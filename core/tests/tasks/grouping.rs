use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sinbin_core::Rest;
use sinbin_core::group::{Cause, Failed, Group, scope};
use sinbin_core::kernel::ExpectedWaker;
use sinbin_core::task::{Handle, NoWakers, RunContext, WaitError, join, select};
use sinbin_testkit::memory_host::{Falls, Log, World, yields};

/// Ends after this many turns with this result, and logs if it is dropped before.
async fn child(
    handle: Handle<'_>,
    log: &Log<&'static str>,
    turns: usize,
    end: Result<u32, &'static str>,
) -> Result<u32, &'static str> {
    let falls = Falls(log, "dropped");
    yields(handle, turns).await;
    std::mem::forget(falls);
    end
}

fn why<T>(result: Result<T, Failed<&'static str>>) -> Result<T, Cause<&'static str>> {
    result.map_err(|failed| failed.cause)
}

#[test]
fn results_come_in_the_order_of_the_ends() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let group = Group::new(handle);
        assert!(group.is_empty() && group.next().await.is_none());
        for (turns, number) in [(5, 1), (2, 2), (2, 3), (0, 4)] {
            group.spawn(child(handle, log, turns, Ok(number))).ok().unwrap();
        }
        assert_eq!(group.len(), 4);
        while let Some(result) = group.next().await {
            results.add(result.unwrap());
        }
        assert!(group.is_empty());
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [4, 2, 3, 1]);
    assert_eq!(log.take(), [""; 0]);
}

#[test]
fn the_first_error_cancels_the_others_and_is_returned() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let group = Group::new(handle);
        group.spawn(child(handle, log, 9, Ok(1))).ok().unwrap();
        let bad = group.spawn(child(handle, log, 2, Err("bad"))).ok().unwrap();
        group.spawn(child(handle, log, 6, Err("worse"))).ok().unwrap();
        let failed = group.join().await.unwrap_err();
        assert_eq!(failed.task, bad);
        let said = failed.to_string();
        let label = "tasks::grouping::child, spawned at";
        assert!(said.starts_with(&format!("bad\n  in task {bad} ({label}")), "{said}");
        results.add(failed.cause);
        assert!(group.is_empty(), "all tasks have ended");
        assert!(group.spawn(child(handle, log, 0, Ok(1))).is_err(), "the group accepts no more tasks");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Cause::Error("bad")]);
    assert_eq!(log.take(), ["dropped", "dropped"]);
}

#[test]
fn those_who_clean_up_are_waited_for_and_told_once() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let cleaner = &async |name| {
        let told = handle.wait_named().await;
        handle.shield(handle.sleep(Duration::from_secs(1))).await;
        log.add(name);
        told.map_err(|_| "told")
    };
    let mut world = World::new(handle);
    world.spawn(async move {
        let group = Group::new(handle);
        group.spawn(cleaner("one")).ok().unwrap();
        group.spawn(cleaner("other")).ok().unwrap();
        group.spawn(async { Err("bad") }).ok().unwrap();
        // Each task fails in turn, and none of these failures cancels the others a second time.
        while let Some(result) = group.next().await {
            log.add(match why(result) {
                Err(Cause::Error(error)) => error,
                _ => "?",
            });
        }
        drop(group);
        log.add("end");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["bad", "one", "other", "told", "told", "end"]);
}

#[test]
fn a_scope_ends_with_the_last_task() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let result = scope(handle, async |group| {
            group.spawn(child(handle, log, 5, Ok(1))).ok().unwrap();
            group.spawn(child(handle, log, 2, Ok(2))).ok().unwrap();
            Ok("body")
        })
        .await;
        results.add(why(result));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Ok("body")]);
    assert_eq!(log.take(), [""; 0], "all came to their ends");
}

#[test]
fn a_task_that_fails_ends_the_body_too() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let result = scope(handle, async |group| {
            let _falls = Falls(log, "body");
            group.spawn(child(handle, log, 9, Ok(1))).ok().unwrap();
            group.spawn(child(handle, log, 2, Err("bad"))).ok().unwrap();
            std::future::pending::<Result<(), _>>().await
        })
        .await;
        results.add(why(result));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Err(Cause::Error("bad"))]);
    assert_eq!(log.take(), ["body", "dropped"]);
}

#[test]
fn who_leaves_early_takes_its_tasks_with_it() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let result: Result<(), _> = scope(handle, async |group| {
            group.spawn(child(handle, log, 9, Ok(1))).ok().unwrap();
            handle.yield_now().await;
            Err("body")
        })
        .await;
        assert_eq!(log.take(), ["dropped"], "the tasks end before the scope");
        results.add(why(result));

        // A group that is dropped explicitly.
        let group = Group::new(handle);
        group.spawn(child(handle, log, 9, Ok(1))).ok().unwrap();
        handle.yield_now().await;
        drop(group);
        yields(handle, 2).await;
        assert_eq!(log.take(), ["dropped"]);
        let forever = scope(handle, async |group| {
            group.spawn(child(handle, log, 99, Ok(1))).ok().unwrap();
            std::future::pending::<Result<(), _>>().await
        });
        select(forever, yields(handle, 3)).await;
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Err(Cause::Error("body"))]);
    assert_eq!(log.take(), ["dropped"]);
}

#[test]
fn who_is_cancelled_takes_its_tasks_with_it_and_waits_for_them() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let parent = world.spawn(async move {
        let result = scope(handle, async |group| {
            group
                .spawn(async move {
                    handle.wait_named().await.ok();
                    handle.shield(handle.sleep(Duration::from_secs(1))).await;
                    log.add("cleaned up");
                    Ok(())
                })
                .ok()
                .unwrap();
            group.join().await.map_err(|_| "cancelled")
        })
        .await;
        log.add("end");
        results.add(why(result));
    });
    world.run();
    world.cancel(parent.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["cleaned up", "end"]);
    assert_eq!(results.take(), [Err(Cause::Error("cancelled"))]);
}

#[test]
fn a_body_that_cleans_up_is_let_do_so_and_one_that_is_deaf_is_dropped() {
    for (is_deaf, expected) in [(false, &["told", "dropped", "cleaned up"][..]), (true, &["dropped"])] {
        let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        let second = Duration::from_secs(1);
        let parent = world.spawn(async move {
            let result: Result<(), _> = scope(handle, async |group| {
                group.spawn(child(handle, log, 99_999, Ok(1))).ok().unwrap();
                if is_deaf {
                    handle.sleep(second).await;
                }
                handle.wait_named().await.unwrap_err();
                log.add("told");
                handle.shield(handle.sleep(second)).await;
                log.add("cleaned up");
                Err("body")
            })
            .await;
            results.add(why(result));
        });
        world.turn();
        world.turn();
        world.cancel(parent.task());
        assert_eq!(world.run(), Rest::Empty);
        assert_eq!(log.take(), expected);
        let cancelled = Cause::Wait(WaitError::Cancelled);
        assert_eq!(results.take(), [Err(if is_deaf { cancelled } else { Cause::Error("body") })]);
    }
}

#[test]
fn a_cancelled_join_says_so() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let parent = world.spawn(async move {
        let group = Group::new(handle);
        group.spawn(child(handle, log, 99, Ok(1))).ok().unwrap();
        results.add(why(group.join().await));
    });
    world.turn();
    world.turn();
    world.cancel(parent.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Err(Cause::Wait(WaitError::Cancelled))]);
    assert_eq!(log.take(), ["dropped"]);
}

#[test]
fn a_task_that_was_cancelled_is_passed_over() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let group = Group::new(handle);
        let gone = group.spawn(child(handle, log, 9, Ok(1))).ok().unwrap();
        group.spawn(child(handle, log, 3, Ok(2))).ok().unwrap();
        handle.yield_now().await;
        handle.cancel(gone);
        results.add(group.next().await.map(why));
        results.add(group.next().await.map(why));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Some(Ok(2)), None]);
}

#[test]
fn groups_within_groups_end_from_the_inside_out() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let result: Result<(), _> = scope(handle, async |outer| {
            outer
                .spawn(async move {
                    scope(handle, async |inner| {
                        inner.spawn(child(handle, log, 3, Err("deep"))).ok().unwrap();
                        inner.spawn(child(handle, log, 9, Ok(0))).ok().unwrap();
                        Ok(())
                    })
                    .await
                    .map_err(|failed| if failed.cause == Cause::Error("deep") { "outer" } else { "?" })
                })
                .ok()
                .unwrap();
            std::future::pending().await
        })
        .await;
        results.add(why(result));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Err(Cause::Error("outer"))]);
    assert_eq!(log.take(), ["dropped"]);
}

#[test]
fn one_task_waits_for_a_group() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let group = Rc::new(Group::new(handle));
    let same = group.clone();
    world.spawn(async move {
        same.spawn(child(handle, log, 5, Ok(1))).ok().unwrap();
        results.add(same.next().await.map(why));
    });
    world.spawn(async move {
        handle.yield_now().await;
        results.add(group.next().await.map(why));
    });
    assert_eq!(world.run(), Rest::Empty);
    let results = results.take();
    assert_eq!(results[0], Some(Err(Cause::Wait(WaitError::Busy))), "no result is lost");
    assert_eq!(results.len(), 2);
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_scope_that_nobody_could_wake_does_not_spin() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let group = Group::new(handle);
        group.spawn(child(handle, log, 5, Ok(1))).ok().unwrap();
        let mut joins = std::pin::pin!(group.join());
        // An executor within the task, whose waker the kernel does not know.
        let waker = Waker::from(Arc::new(Nobody));
        assert!(joins.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        handle.sleep(Duration::from_secs(1)).await;
        results.add(why(joins.await));
    });
    world.turn();
    world.turn();
    assert!(world.turn() <= 1, "only the child may run");
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Ok(())]);
}

#[test]
fn two_groups_in_one_task() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let (a, b) = (Group::new(handle), Group::new(handle));
        for number in 1..4 {
            a.spawn(child(handle, log, 3, Ok(number))).ok().unwrap();
            b.spawn(child(handle, log, 5, Err("bad"))).ok().unwrap();
        }
        let (a, b) = join(a.join(), b.join()).await;
        results.add(why(a));
        results.add(why(b));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Ok(()), Err(Cause::Error("bad"))]);
}

/// Runs a scope with a child that would clean up if it were cancelled. The child has a group with a child of its own.
async fn family<'d>(handle: Handle<'d>, log: &'d Log<&'static str>) -> Result<(), Failed<&'static str>> {
    scope(handle, async |group| {
        group
            .spawn(async move {
                let _child = Falls(log, "child");
                let inner = Group::<(), &'static str>::new(handle);
                inner
                    .spawn(async move {
                        let _grandchild = Falls(log, "grandchild");
                        handle.wait_named().await.ok();
                        handle.shield(handle.sleep(Duration::from_secs(9))).await;
                        Ok(())
                    })
                    .ok()
                    .unwrap();
                handle.wait_named().await.ok();
                handle.shield(handle.sleep(Duration::from_secs(9))).await;
                drop(inner);
                Ok(())
            })
            .ok()
            .unwrap();
        std::future::pending::<()>().await;
        Ok(())
    })
    .await
}

/// A scope that is dropped before its end drops its tasks and their tasks at once, regardless of how it is dropped.
#[test]
fn no_task_outlives_a_scope_that_is_dropped() {
    let ways =
        ["timeout", "until", "select", "race", "dropped", "unordered", "boxed", "cancelled", "host", "world"];
    for way in ways {
        let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        let span = Duration::from_millis(20);
        let task = world.spawn(async move {
            match way {
                "timeout" => drop(handle.timeout(span, family(handle, log)).await.unwrap_err()),
                "until" => {
                    let late = handle.until(handle.after(Some(span)), family(handle, log)).await;
                    assert!(late.is_err());
                }
                "select" => drop(select(family(handle, log), handle.sleep(span)).await),
                "race" => {
                    let other = async {
                        yields(handle, 5).await;
                        Ok(())
                    };
                    assert!(sinbin_core::task::race(family(handle, log), other).await.is_ok());
                }
                "dropped" => {
                    let mut scope = std::pin::pin!(Some(family(handle, log)));
                    for _ in 0..5 {
                        std::future::poll_fn(|context| {
                            assert!(scope.as_mut().as_pin_mut().unwrap().poll(context).is_pending());
                            Poll::Ready(())
                        })
                        .await;
                        handle.yield_now().await;
                    }
                    scope.set(None);
                }
                "unordered" => {
                    use futures_util::StreamExt;
                    let mut all: futures_util::stream::FuturesUnordered<_> =
                        std::iter::once(family(handle, log)).collect();
                    drop(select(all.next(), yields(handle, 5)).await);
                    drop(all);
                }
                "boxed" => {
                    let mut scope = Box::pin(family(handle, log));
                    drop(select(scope.as_mut(), yields(handle, 5)).await);
                    drop(scope);
                }
                _ => drop(family(handle, log).await),
            }
            log.add("after");
            assert_eq!(log.take(), ["grandchild", "child", "after"], "{way}");
        });
        for _ in 0..3 {
            world.turn();
        }
        match way {
            // The cancelled task waits until its children have cleaned up, or until the host cancels it a second time.
            "cancelled" => {
                world.cancel(task.task());
                world.run_for(Duration::from_secs(5));
                assert_eq!(log.take(), [""; 0]);
                world.cancel(task.task());
                world.turn();
                assert_eq!(log.take(), ["grandchild", "child"], "within one step");
            }
            "host" => {
                world.executor.kernel.cancel_all();
                world.turn();
                assert_eq!(log.take(), [""; 0], "the tasks clean up");
                for _ in 0..2 {
                    world.executor.kernel.end_all();
                    world.turn();
                }
                let mut dropped = log.take();
                dropped.sort_unstable();
                assert_eq!(dropped, ["child", "grandchild"]);
            }
            "world" => {
                drop(world);
                let mut dropped = log.take();
                dropped.sort_unstable();
                assert_eq!(dropped, ["child", "grandchild"]);
                continue;
            }
            _ => {}
        }
        assert_eq!(world.run(), Rest::Empty, "{way}: and the kernel knows of none");
        assert!(task.is_over());
    }
}

/// The tasks of a dropped scope release what they own at once: a connection is closed, a lock passes to its next
/// waiter.
#[test]
fn what_tasks_of_a_dropped_scope_hold_is_given_back_at_once() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let lock = &sinbin_core::sync::Lock::new(handle, 0);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.spawn(async move {
        let hold = scope(handle, async |group| {
            group
                .spawn(async move {
                    let me = handle.current().unwrap();
                    struct Knows<'d>(Handle<'d>, sinbin_core::TaskId);
                    impl Drop for Knows<'_> {
                        fn drop(&mut self) {
                            assert_eq!(
                                self.0.current(),
                                Ok(self.1),
                                "the destructor runs in the task's own step"
                            );
                        }
                    }
                    let _knows = Knows(handle, me);
                    let _guard = lock.lock().await.unwrap();
                    conn.recv(&mut [0]).await.ok();
                    Ok::<_, ()>(())
                })
                .ok()
                .unwrap();
            std::future::pending::<Result<(), ()>>().await
        });
        let next = async {
            yields(handle, 3).await;
            // This future waits until the other one releases the lock.
            select(lock.lock(), handle.sleep(Duration::from_millis(5))).await;
        };
        select(hold, next).await;
        log.add(if lock.try_lock().unwrap().is_some() { "free" } else { "held" });
    });
    assert_eq!(world.run(), Rest::Empty);
    assert!(!world.host.peers.contains_key(&source), "the connection is closed");
    assert_eq!(log.take(), ["free"]);
}

/// A task that drops its own group is cancelled, since a running task can't be dropped. A group dropped after the end
/// of all tasks has no effect.
#[test]
fn a_task_that_drops_its_own_group_is_cancelled() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let group = Rc::new(std::cell::RefCell::new(Some(Group::<(), WaitError>::new(handle))));
    let mut world = World::new(handle);
    world.spawn(async move {
        let same = group.clone();
        let child = async move {
            let _falls = Falls(log, "over");
            drop(same.take());
            log.add("goes on");
            assert_eq!(handle.wait_named().await, Err(WaitError::Cancelled));
            log.add("told");
            Ok(())
        };
        group.borrow().as_ref().unwrap().spawn(child).ok().unwrap();
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["goes on", "told", "over"]);
}

/// All errors are reported: those of tasks that fail in one turn, and those of tasks that fail during cleanup.
#[test]
fn no_error_is_lost() {
    for body_fails in [false, true] {
        let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        world.spawn(async move {
            let failed = scope(handle, async |group| {
                for error in ["one", "two", "three"] {
                    group.spawn(async move { Err::<(), _>(error) }).ok().unwrap();
                }
                group
                    .spawn(async move {
                        handle.wait_named().await.unwrap_err();
                        handle.shield(handle.sleep(Duration::from_secs(1))).await;
                        Err("cleaning up")
                    })
                    .ok()
                    .unwrap();
                group.spawn(async move { handle.wait_named().await.map_err(|_| "cancelled") }).ok().unwrap();
                if body_fails {
                    handle.yield_now().await;
                    return Err("body");
                }
                std::future::pending::<Result<(), _>>().await
            })
            .await
            .unwrap_err();
            let said = failed.to_string();
            let mut all = vec![failed.cause];
            assert!(said.contains("three\n  in task") && !said.contains("cancelled"), "{said}");
            all.extend(failed.others.iter().map(|other| other.cause));
            let told: Vec<_> = failed.others.iter().map(|other| other.was_told).collect();
            assert_eq!(told.iter().filter(|told| **told).count(), 2, "{said}");
            log.add(all);
        });
        assert_eq!(world.run(), Rest::Empty);
        let mut expected = vec!["one", "two", "three", "cancelled", "cleaning up"];
        if body_fails {
            expected.insert(0, "body");
        }
        let expected: Vec<_> = expected.into_iter().map(Cause::Error).collect();
        assert_eq!(log.take(), [expected], "the body fails: {body_fails}");
    }
}

/// A joined group reports all errors as a scope does, also when its parent is cancelled while a task fails.
#[test]
fn a_group_that_is_joined_has_all_errors() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let fails = &std::cell::Cell::new(None);
    let mut world = World::new(handle);
    let parent = world.spawn(async move {
        let group = Group::<(), _>::new(handle);
        for error in ["one", "two"] {
            group.spawn(async move { Err(error) }).ok().unwrap();
        }
        let failed = group.join().await.unwrap_err();
        log.add((failed.cause, failed.others.into_iter().map(|other| other.cause).collect::<Vec<_>>()));
        let group = Group::<(), _>::new(handle);
        group.spawn(async move { handle.wait_named().await.map_err(|_| "told") }).ok().unwrap();
        let by_itself = async move {
            handle.wait_named().await.unwrap();
            Err("by itself")
        };
        fails.set(group.spawn(by_itself).ok());
        let failed = group.join().await.unwrap_err();
        log.add((failed.cause, failed.others.into_iter().map(|other| other.cause).collect::<Vec<_>>()));
    });
    world.run();
    world.executor.kernel.wake(fails.get().unwrap());
    world.cancel(parent.task());
    assert_eq!(world.run(), Rest::Empty);
    let error = Cause::Error;
    assert_eq!(
        log.take(),
        [(error("one"), vec![error("two")]), (error("by itself"), vec![error("told")])],
        "a task's own error comes before that its group is cancelled"
    );
}

/// A task that panics while its group is dropped does not prevent the other tasks from being dropped.
#[test]
fn all_are_ended_though_one_panics_at_that() {
    struct Breaks;
    impl Drop for Breaks {
        fn drop(&mut self) {
            panic!("it is meant to");
        }
    }
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let group = Group::<(), ()>::new(handle);
        for n in 0..3 {
            let task = async move {
                let _falls = Falls(log, "dropped");
                let _breaks = (n == 1).then(|| Breaks);
                std::future::pending().await
            };
            group.spawn(task).ok().unwrap();
        }
        handle.yield_now().await;
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(group)));
        assert!(dropped.is_err());
        assert!(handle.current().is_ok());
        log.add("goes on");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["dropped", "dropped", "dropped", "goes on"]);
}

/// A cancelled body that is shielded within a scope is refused at its next operation after the shield.
#[test]
fn a_body_that_is_shielded_is_told_by_its_next_operation() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    world.peer(conn.source()).inbox.extend([0; 99]);
    let parent = world.spawn(async move {
        let result: Result<(), _> = scope(handle, async |group| {
            group.spawn(child(handle, log, 99_999, Ok(1))).ok().unwrap();
            handle.shield(handle.sleep(Duration::from_secs(1))).await;
            log.add(if conn.recv(&mut [0]).await.is_err() { "told" } else { "not told" });
            Err("body")
        })
        .await;
        assert_eq!(why(result), Err(Cause::Error("body")));
    });
    world.turn();
    world.turn();
    world.cancel(parent.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["dropped", "told"]);
}

#[test]
fn the_end_of_a_group_is_waited_for_by_one_task() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let group = Rc::new(Group::<_, ()>::new(handle));
    let first = Rc::clone(&group);
    world.spawn(async move {
        first
            .spawn(async move {
                yields(handle, 3).await;
                Ok(())
            })
            .unwrap();
        log.add(first.ended().await);
    });
    world.spawn(async move {
        handle.yield_now().await;
        log.add(group.ended().await);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(WaitError::Busy), Ok(())]);
}

/// Results are returned in the order of the ends, even if no task waited when the tasks ended.
#[test]
fn results_that_wait_for_somebody_keep_the_order_of_the_ends() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let group = Group::new(handle);
        for (turns, number) in [(5, 1), (2, 2), (4, 3), (0, 4)] {
            group.spawn(child(handle, log, turns, Ok(number))).ok().unwrap();
        }
        yields(handle, 9).await;
        // Slots are reused, and the order is not that of the slots.
        for number in [5, 6] {
            results.add(group.next().await.unwrap().unwrap());
            group.spawn(child(handle, log, 0, Ok(number))).ok().unwrap();
        }
        assert_eq!(group.len(), 4);
        while let Some(result) = group.next().await {
            results.add(result.unwrap());
        }
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [4, 2, 3, 1, 5, 6]);
}

/// After a task drops its wait for a group, another task can wait for it, and the first task is no longer woken.
#[test]
fn a_wait_that_is_given_up_is_over() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let group = Rc::new(Group::new(handle));
    let same = group.clone();
    let first = world.spawn(async move {
        same.spawn(child(handle, log, 9, Ok(1))).ok().unwrap();
        select(same.next(), yields(handle, 2)).await;
        handle.wait_named().await.ok();
    });
    world.spawn(async move {
        yields(handle, 4).await;
        results.add(group.next().await.map(why));
    });
    assert_eq!(world.run(), Rest::Stalled);
    assert_eq!(results.take(), [Some(Ok(1))]);
    assert!(!first.is_over(), "no task woke it");
    world.cancel(first.task());
    assert_eq!(world.run(), Rest::Empty);
}

/// Two futures of a task wait for one group. Dropping one of them does not end the wait of the other.
#[test]
fn of_two_waits_in_a_task_each_counts() {
    let (run_context, log, results) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let group = Group::new(handle);
        group.spawn(child(handle, log, 9, Ok(1))).ok().unwrap();
        group.spawn(child(handle, log, 7, Ok(2))).ok().unwrap();
        let given_up = select(group.next(), yields(handle, 3));
        let ((), ended) = join(async { drop(given_up.await) }, group.ended()).await;
        results.add(ended);
        assert_eq!(group.len(), 2, "nothing was taken");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Ok(())]);
}

#[test]
fn a_task_does_not_wait_for_its_own_group() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    for ends in [true, false] {
        world.spawn(async move {
            let group = Rc::new(Group::<(), ()>::new(handle));
            let inner = Rc::clone(&group);
            let member = async move {
                log.add(if ends { inner.ended().await } else { inner.next().await.unwrap().map_err(wait) });
                Ok(())
            };
            group.spawn(member).unwrap();
        });
    }
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(WaitError::Busy); 2]);
}

fn wait(failed: Failed<()>) -> WaitError {
    match failed.cause {
        Cause::Wait(refused) => refused,
        cause => panic!("{cause:?}"),
    }
}

/// The tasks of a group are dropped with their loop. Waits for the group then return no task.
#[test]
fn a_group_whose_loop_is_gone_is_over() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let group = Rc::new(Group::<(), ()>::new(handle));
    let mut world = World::new(handle);
    let same = Rc::clone(&group);
    world.spawn(async move {
        let _falls = Falls(log, "owner");
        for _ in 0..3 {
            let member = async move {
                let _falls = Falls(log, "member");
                handle.wait_named().await.ok();
                Ok(())
            };
            same.spawn(member).unwrap();
        }
        same.ended().await.ok();
    });
    assert_eq!(world.run(), Rest::Stalled);
    drop(world);
    let mut dropped = log.take();
    dropped.sort_unstable();
    assert_eq!(dropped, ["member", "member", "member", "owner"]);
    assert_eq!(group.len(), 3);
    let mut next = std::pin::pin!(group.next());
    let Poll::Ready(None) = next.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("nothing is left to wait for");
    };
    assert!(group.is_empty());
}

/// A member that is added with the handle of another task, which has ended, counts as ended, and wakes the waiting
/// task.
#[test]
fn a_handle_of_a_task_that_is_over_is_an_end() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let group = Rc::new(Group::<u32, ()>::new(handle));
    let same = Rc::clone(&group);
    world.spawn(async move {
        same.spawn(async move {
            handle.wait_named().await.ok();
            Ok(1)
        })
        .unwrap();
        log.add(same.next().await.map(|result| result.unwrap()));
    });
    world.spawn(async move {
        let task = handle.spawn(async { Ok(2) }).unwrap();
        yields(handle, 3).await;
        let (other, its_handle) = sinbin_core::task::Async::new(handle, async { Ok::<_, ()>(3) });
        assert!(group.start((other, task)).is_ok());
        drop(its_handle);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Some(2)]);
}

/// The kernel reports that a task that waits for a group with one running task expects to be woken by that task.
#[test]
fn the_last_task_of_a_group_is_named() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let owner = world.spawn(async move {
        let group = Group::<(), ()>::new(handle);
        for n in 0..2 {
            let member = async move {
                if n == 0 {
                    handle.wait_named().await.ok();
                } else {
                    std::future::pending::<()>().await;
                }
                Ok(())
            };
            log.add(group.spawn(member).unwrap());
        }
        group.ended().await.ok();
    });
    world.run();
    let members = log.take();
    assert_eq!(world.view(owner.task()).by, ExpectedWaker::Anyone);
    world.executor.kernel.wake(members[0]);
    world.run();
    assert_eq!(world.view(owner.task()).by, ExpectedWaker::Task(members[1]));
}
