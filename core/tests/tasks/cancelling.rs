use std::time::Duration;

use sinbin_core::task::{Door, Error, Loop, NoWakers, Refused, Why, join, select};
use sinbin_core::{Rest, TaskState};

use crate::support::{Falls, Log, World, yields};

#[test]
fn a_wait_is_refused_and_every_later_one() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let conn = world.connect();
    let source = conn.source();
    let task = world.spawn(async move {
        log.add(conn.recv(&mut [0]).await);
        log.add(conn.recv(&mut [0]).await);
        log.add(conn.readable().await.map(|()| 0));
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.view(task.task()).state, TaskState::Ready, "it is out of the bin at once");
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(Error::Refused(Refused::Cancelled)); 3]);
    assert!(!world.host.peers.contains_key(&source), "what it owns is given back");
}

#[test]
fn what_need_not_wait_is_not_refused() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
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
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let task = world.spawn(async move {
        let _outer = Falls(log, "outer");
        let inner = async {
            let _inner = Falls(log, "inner");
            on.wait_named().await
        };
        inner.await?;
        log.add("not reached");
        Ok::<_, Refused>(())
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["inner", "outer"]);
}

#[test]
fn who_does_not_listen_is_dropped_where_it_stands() {
    for what in ["sleep", "pending", "yield", "both"] {
        let (door, log) = (Door::new(&NoWakers), &Log::new());
        let on = Loop::new(&door);
        let mut world = World::new(on);
        let nap = Duration::from_secs(9);
        let mut task = world.spawn(async move {
            let _falls = Falls(log, "dropped");
            match what {
                "sleep" => on.sleep(nap).await,
                "pending" => std::future::pending().await,
                "yield" => yields(on, 1000).await,
                _ => drop(join(on.sleep(nap), on.sleep(nap)).await),
            }
            log.add("not reached");
        });
        world.turn();
        world.cancel(task.task());
        // One that is ready is told after its next step.
        world.turn();
        world.turn();
        assert_eq!(log.take(), ["dropped"], "{what}");
        world.spawn(async move { assert_eq!(task.join().await.unwrap_err().why, Why::Cancelled) });
        assert_eq!(world.run(), Rest::Empty);
    }
}

#[test]
fn one_that_listens_in_part_is_told() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let task = world.spawn(async move {
        // The sleep can't be told; the other can.
        select(on.sleep(Duration::from_secs(1)), on.wait_named()).await;
        log.add("told");
    });
    world.turn();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["told"]);
}

#[test]
fn one_that_is_told_over_and_over_and_goes_on_is_ended() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let task = world.spawn(async move {
        let _falls = Falls(log, "dropped");
        while on.wait_named().await.is_err() {}
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
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let waits = world.spawn(async move {
        log.add("runs");
        assert_eq!(on.wait_named().await, Err(Refused::Cancelled));
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
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        on.cancel(on.current().unwrap());
        log.add("goes on");
        assert_eq!(on.wait_named().await, Err(Refused::Cancelled));
        log.add("told");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["goes on", "told"]);
}

#[test]
fn what_is_shielded_can_wait() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let conn = world.connect();
    let source = conn.source();
    world.peer(source).room = 2;
    let task = world.spawn(async move {
        assert!(conn.recv(&mut [0]).await.is_err());
        on.shield(async {
            conn.send_all(b"goodbye").await.unwrap();
            on.sleep(Duration::from_secs(1)).await;
            yields(on, 3).await;
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
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let task = world.spawn(async move {
        on.shield(async {}).await;
        on.shield(on.yield_now()).await;
        log.add(on.wait_named().await);
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(Refused::Cancelled)]);
}

#[test]
fn who_is_cancelled_within_a_shield_is_told_after_it() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let task = world.spawn(async move {
        on.shield(async {
            on.sleep(Duration::from_secs(1)).await;
            log.add(Ok(()));
        })
        .await;
        log.add(on.wait_named().await);
    });
    world.turn();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(()), Err(Refused::Cancelled)]);
}

#[test]
fn a_second_cancel_ends_it_even_so() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let mut task = world.spawn(async move {
        let _falls = Falls(log, "dropped");
        on.shield(on.wait_named()).await.unwrap();
        log.add("not reached");
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Stalled, "it is shielded");
    assert!(!task.is_over());
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["dropped"]);
    world.spawn(async move { assert_eq!(task.join().await.unwrap_err().why, Why::Cancelled) });
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn who_joins_it_learns_of_it() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let mut child = world.spawn(on.sleep(Duration::from_secs(9)));
    let id = child.task();
    world.spawn(async move { log.add(child.join().await.unwrap_err().why) });
    world.turn();
    world.cancel(id);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Why::Cancelled]);
    assert!(world.now < sinbin_core::Instant::ZERO + Duration::from_secs(9), "at once");
}

#[test]
fn who_joins_can_be_cancelled_and_the_other_goes_on() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let mut child = world.spawn(async move {
        on.sleep(Duration::from_secs(1)).await;
        log.add(None);
    });
    let parent = world.spawn(async move { log.add(child.join().await.err().map(|error| error.why)) });
    world.turn();
    world.cancel(parent.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Some(Why::Refused(Refused::Cancelled)), None]);
}

#[test]
fn a_loop_that_is_dropped_drops_its_tasks() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
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
