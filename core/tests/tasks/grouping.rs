use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sinbin_core::Rest;
use sinbin_core::group::{Cause, Failed, Group, scope};
use sinbin_core::task::{Door, Loop, NoWakers, Refused, join, select};

use crate::support::{Falls, Log, World, yields};

/// Ends in so many turns, as it is told; says so if it is not let.
async fn child(
    on: Loop<'_>,
    log: &Log<&'static str>,
    turns: usize,
    end: Result<u32, &'static str>,
) -> Result<u32, &'static str> {
    let falls = Falls(log, "dropped");
    yields(on, turns).await;
    std::mem::forget(falls);
    end
}

fn why<T>(result: Result<T, Failed<&'static str>>) -> Result<T, Cause<&'static str>> {
    result.map_err(|failed| failed.cause)
}

#[test]
fn results_come_in_the_order_of_the_ends() {
    let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let group = Group::new(on);
        assert!(group.is_empty() && group.next().await.is_none());
        for (turns, number) in [(5, 1), (2, 2), (2, 3), (0, 4)] {
            group.spawn(child(on, log, turns, Ok(number))).ok().unwrap();
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
    let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let group = Group::new(on);
        group.spawn(child(on, log, 9, Ok(1))).ok().unwrap();
        let bad = group.spawn(child(on, log, 2, Err("bad"))).ok().unwrap();
        group.spawn(child(on, log, 6, Err("worse"))).ok().unwrap();
        let failed = group.join().await.unwrap_err();
        assert_eq!(failed.task, bad);
        let said = failed.to_string();
        let label = "tasks::grouping::child, spawned at";
        assert!(said.starts_with(&format!("bad\n  in task {bad} ({label}")), "{said}");
        results.add(failed.cause);
        assert!(group.is_empty(), "all are over");
        assert!(group.spawn(child(on, log, 0, Ok(1))).is_err(), "it takes no more");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Cause::Error("bad")]);
    assert_eq!(log.take(), ["dropped", "dropped"]);
}

#[test]
fn those_who_clean_up_are_waited_for_and_told_once() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let cleaner = &async |name| {
        let told = on.wait_named().await;
        on.shield(on.sleep(Duration::from_secs(1))).await;
        log.add(name);
        told.map_err(|_| "told")
    };
    let mut world = World::new(on);
    world.spawn(async move {
        let group = Group::new(on);
        group.spawn(cleaner("one")).ok().unwrap();
        group.spawn(cleaner("other")).ok().unwrap();
        group.spawn(async { Err("bad") }).ok().unwrap();
        // Each of them fails in turn; none of that cancels a second time.
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
    let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let result = scope(on, async |group| {
            group.spawn(child(on, log, 5, Ok(1))).ok().unwrap();
            group.spawn(child(on, log, 2, Ok(2))).ok().unwrap();
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
    let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let result = scope(on, async |group| {
            let _falls = Falls(log, "body");
            group.spawn(child(on, log, 9, Ok(1))).ok().unwrap();
            group.spawn(child(on, log, 2, Err("bad"))).ok().unwrap();
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
    let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let result: Result<(), _> = scope(on, async |group| {
            group.spawn(child(on, log, 9, Ok(1))).ok().unwrap();
            on.yield_now().await;
            Err("body")
        })
        .await;
        assert_eq!(log.take(), ["dropped"], "they are over before the scope is");
        results.add(why(result));

        // A group that is dropped, by whatever.
        let group = Group::new(on);
        group.spawn(child(on, log, 9, Ok(1))).ok().unwrap();
        on.yield_now().await;
        drop(group);
        yields(on, 2).await;
        assert_eq!(log.take(), ["dropped"]);
        let forever = scope(on, async |group| {
            group.spawn(child(on, log, 99, Ok(1))).ok().unwrap();
            std::future::pending::<Result<(), _>>().await
        });
        select(forever, yields(on, 3)).await;
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Err(Cause::Error("body"))]);
    assert_eq!(log.take(), ["dropped"]);
}

#[test]
fn who_is_cancelled_takes_its_tasks_with_it_and_waits_for_them() {
    let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let parent = world.spawn(async move {
        let result = scope(on, async |group| {
            group
                .spawn(async move {
                    on.wait_named().await.ok();
                    on.shield(on.sleep(Duration::from_secs(1))).await;
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
        let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
        let on = Loop::new(&door);
        let mut world = World::new(on);
        let second = Duration::from_secs(1);
        let parent = world.spawn(async move {
            let result: Result<(), _> = scope(on, async |group| {
                group.spawn(child(on, log, 99_999, Ok(1))).ok().unwrap();
                if is_deaf {
                    on.sleep(second).await;
                }
                on.wait_named().await.unwrap_err();
                log.add("told");
                on.shield(on.sleep(second)).await;
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
        let cancelled = Cause::Refused(Refused::Cancelled);
        assert_eq!(results.take(), [Err(if is_deaf { cancelled } else { Cause::Error("body") })]);
    }
}

#[test]
fn a_cancelled_join_says_so() {
    let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let parent = world.spawn(async move {
        let group = Group::new(on);
        group.spawn(child(on, log, 99, Ok(1))).ok().unwrap();
        results.add(why(group.join().await));
    });
    world.turn();
    world.turn();
    world.cancel(parent.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Err(Cause::Refused(Refused::Cancelled))]);
    assert_eq!(log.take(), ["dropped"]);
}

#[test]
fn a_task_that_was_cancelled_is_passed_over() {
    let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let group = Group::new(on);
        let gone = group.spawn(child(on, log, 9, Ok(1))).ok().unwrap();
        group.spawn(child(on, log, 3, Ok(2))).ok().unwrap();
        on.yield_now().await;
        on.cancel(gone);
        results.add(group.next().await.map(why));
        results.add(group.next().await.map(why));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Some(Ok(2)), None]);
}

#[test]
fn groups_within_groups_end_from_the_inside_out() {
    let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let result: Result<(), _> = scope(on, async |outer| {
            outer
                .spawn(async move {
                    scope(on, async |inner| {
                        inner.spawn(child(on, log, 3, Err("deep"))).ok().unwrap();
                        inner.spawn(child(on, log, 9, Ok(0))).ok().unwrap();
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
    let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let group = Rc::new(Group::new(on));
    let same = group.clone();
    world.spawn(async move {
        same.spawn(child(on, log, 5, Ok(1))).ok().unwrap();
        results.add(same.next().await.map(why));
    });
    world.spawn(async move {
        on.yield_now().await;
        results.add(group.next().await.map(why));
    });
    assert_eq!(world.run(), Rest::Empty);
    let results = results.take();
    assert_eq!(results[0], Some(Err(Cause::Refused(Refused::Busy))), "and nothing is lost by that");
    assert_eq!(results.len(), 2);
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_scope_that_nobody_could_wake_does_not_spin() {
    let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let group = Group::new(on);
        group.spawn(child(on, log, 5, Ok(1))).ok().unwrap();
        let mut joins = std::pin::pin!(group.join());
        // An executor within the task, whose waker the kernel does not know.
        let waker = Waker::from(Arc::new(Nobody));
        let Poll::Ready(joined) = joins.as_mut().poll(&mut Context::from_waker(&waker)) else {
            panic!("it is refused");
        };
        results.add(why(joined));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Err(Cause::Refused(Refused::Wrapped))]);
}

#[test]
fn two_groups_in_one_task() {
    let (door, log, results) = (Door::new(&NoWakers), &Log::new(), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let (a, b) = (Group::new(on), Group::new(on));
        for number in 1..4 {
            a.spawn(child(on, log, 3, Ok(number))).ok().unwrap();
            b.spawn(child(on, log, 5, Err("bad"))).ok().unwrap();
        }
        let (a, b) = join(a.join(), b.join()).await;
        results.add(why(a));
        results.add(why(b));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(results.take(), [Ok(()), Err(Cause::Error("bad"))]);
}
