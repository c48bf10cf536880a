//! Waits of futures that executors within tasks poll, beside waits of the tasks themselves.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sinbin_core::Rest;
use sinbin_core::sync::Event;
use sinbin_core::task::{Either, Error, Handle, NoWakers, RunContext, WaitError, join, select};
use sinbin_testkit::memory_host::{Log, World, join_all, yields};

const MS: Duration = Duration::from_millis(1);

/// A future that is taken away and dropped, while another one waits for the same target.
#[test]
fn a_wait_beyond_four_sources_survives_another_task_that_is_refused() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conns: Vec<_> = (0..5).map(|_| Rc::new(world.connect())).collect();
    let mine = conns.clone();
    world.spawn(async move {
        let wait = async |at: usize| {
            mine[at].readable().await.unwrap();
            log.add(at);
        };
        join_all((0..5).map(wait).collect()).await;
    });
    world.run();
    let fifth = Rc::clone(&conns[4]);
    world.spawn(async move {
        assert_eq!(fifth.readable().await, Err(Error::Wait(WaitError::Busy)));
    });
    world.run();
    world.peer(conns[4].source()).inbox.push_back(1);
    world.turn();
    world.run();
    assert_eq!(log.take(), [4]);
    for conn in &conns[..4] {
        world.peer(conn.source()).inbox.push_back(1);
    }
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn a_task_and_its_part_may_wait_for_the_same() {
    for part_first in [false, true] {
        let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        let conn = world.connect();
        let source = conn.source();
        world.spawn(async move {
            let conn = conn;
            let mut parts: FuturesUnordered<_> = [conn.readable()].into_iter().collect();
            let both = if part_first {
                join(parts.next(), conn.readable()).await
            } else {
                let (own, part) = join(conn.readable(), parts.next()).await;
                (part, own)
            };
            log.add(both);
        });
        assert!(matches!(world.run(), Rest::Until(_)));
        world.peer(source).inbox.push_back(1);
        world.turn();
        assert_eq!(world.run(), Rest::Empty, "{part_first}");
        assert_eq!(log.take(), [(Some(Ok(())), Ok(()))]);
    }
}

#[test]
fn a_wake_by_name_reaches_a_part_of_a_task_that_is_ready_already() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let task = &Cell::new(None);
    let mut world = World::new(handle);
    world.spawn(async move {
        handle.sleep(MS).await;
        handle.wake(task.get().unwrap());
    });
    world.spawn(async move {
        task.set(handle.current().ok());
        let named = async { log.add(handle.wait_named().await) };
        let parts: FuturesUnordered<_> = [named].into_iter().collect();
        join(parts.collect::<Vec<_>>(), handle.sleep(MS)).await;
    });
    assert_eq!(world.run(), Rest::Empty, "{}", world.list());
    assert_eq!(log.take(), [Ok(())]);
}

#[test]
fn parts_that_wait_for_the_same_take_turns() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    world.spawn(async move {
        let send = async |n: u8| {
            for _ in 0..100 {
                conn.writable().await.unwrap();
                conn.try_send(&[n]).unwrap();
                log.add(n);
            }
        };
        (0..3).map(send).collect::<FuturesUnordered<_>>().collect::<Vec<()>>().await;
    });
    for _ in 0..60 {
        world.turn();
    }
    let sent = log.take();
    for n in 0..3 {
        assert!(sent.iter().filter(|sent| **sent == n).count() > 5, "{sent:?}");
    }
}

/// The parts of a cleanup wait by name and for a connection, and are dropped. The task then waits for something that can't
/// fail, and is ended there, as it is without parts.
#[test]
fn a_cancelled_task_ends_although_parts_were_dropped_in_its_cleanup() {
    for by_parts in [false, true] {
        let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
        let handle = Handle::new(&run_context);
        let event = &Event::new(handle);
        let mut world = World::new(handle);
        let conn = world.connect();
        let task = world.spawn(async move {
            event.wait().await.unwrap_err();
            handle
                .shield(async {
                    let receive = async {
                        poll_fn(|context| conn.poll_recv(context, &mut [0])).await.unwrap();
                    };
                    let wait = async { event.wait().await.unwrap() };
                    let both: [Pin<Box<dyn Future<Output = ()>>>; 2] = [Box::pin(receive), Box::pin(wait)];
                    if by_parts {
                        let mut parts: FuturesUnordered<_> = both.into_iter().collect();
                        select(parts.next(), handle.sleep(MS)).await;
                    } else {
                        select(join_all(both.into()), handle.sleep(MS)).await;
                    }
                })
                .await;
            drop(conn);
            log.add("cleaned up");
            handle.sleep(MS).await;
            pending::<()>().await;
        });
        world.run();
        world.cancel(task.task());
        assert_eq!(world.run(), Rest::Empty, "{}", world.list());
        assert_eq!(log.take(), ["cleaned up"]);
    }
}

/// A part of a cancelled task that is shielded waits by name as long as it has to.
#[test]
fn a_shielded_part_of_a_cancelled_task_waits_by_name() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let event = &Event::new(handle);
    let mut world = World::new(handle);
    let task = world.spawn(async move {
        let clean_up = async {
            event.wait().await.unwrap_err();
            handle.shield(event.wait()).await.unwrap();
            log.add("cleaned up");
        };
        let sleep = async { handle.shield(handle.sleep(5 * MS)).await };
        let parts: [Pin<Box<dyn Future<Output = ()>>>; 2] = [Box::pin(clean_up), Box::pin(sleep)];
        parts.into_iter().collect::<FuturesUnordered<_>>().collect::<Vec<_>>().await;
    });
    world.spawn(async move {
        handle.sleep(9 * MS).await;
        event.set().unwrap();
    });
    world.run_for(MS);
    world.cancel(task.task());
    world.run_for(MS);
    // Steps for other reasons do not end the wait, and the task does not run on and on.
    for _ in 0..2 {
        world.executor.kernel.wake(task.task());
        assert!(matches!(world.run_for(MS), Rest::Until(_)));
    }
    assert_eq!(world.run(), Rest::Empty, "{}", world.list());
    assert_eq!(log.take(), ["cleaned up"]);
}

/// The operation of a part succeeds because it was attempted for another reason, before its wait has ended.
#[test]
fn a_part_that_succeeds_early_does_not_wait_any_longer() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = Rc::new(world.connect());
    let (first, source) = (Rc::clone(&conn), conn.source());
    world.spawn(async move {
        let receive = async {
            let mut buffer = [0];
            join(first.recv(&mut buffer), yields(handle, 15)).await.0
        };
        let mut parts: FuturesUnordered<_> = [receive].into_iter().collect();
        log.add(parts.next().await);
        handle.sleep(90 * MS).await;
    });
    for _ in 0..12 {
        world.turn();
    }
    // The byte comes after the poll of the sources, and before the step of the task.
    world.peer(source).inbox.push_back(1);
    world.run_for(MS);
    assert_eq!(log.take(), [Some(Ok(1))]);
    world.spawn(async move { log.add(Some(conn.readable().await.map(|()| 2))) });
    world.run_for(MS);
    world.peer(source).inbox.push_back(1);
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Some(Ok(2))]);
}

/// A task begins to wait for a connection after the wait of another task has ended, and before that task runs.
#[test]
fn a_part_is_told_although_another_task_begins_to_wait() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = Rc::new(world.connect());
    let (first, source) = (Rc::clone(&conn), conn.source());
    world.spawn(async move {
        let conn = first;
        let mut parts: FuturesUnordered<_> = [conn.readable()].into_iter().collect();
        log.add((1, parts.next().await));
    });
    world.spawn(async move {
        handle.sleep(MS).await;
        for _ in 0..10 {
            let mut parts: FuturesUnordered<_> = [conn.readable()].into_iter().collect();
            if let Either::First(told) = select(parts.next(), handle.yield_now()).await {
                log.add((2, told));
            }
        }
    });
    world.run_for(Duration::ZERO);
    world.peer(source).inbox.push_back(1);
    world.now = world.now + MS;
    world.turn();
    assert_eq!(world.run(), Rest::Empty, "{}", world.list());
    let told = log.take();
    assert!(told.contains(&(1, Some(Ok(())))), "{told:?}");
}
