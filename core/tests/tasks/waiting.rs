use std::rc::Rc;
use std::time::Duration;

use sinbin_core::kernel::ExpectedWaker;
use sinbin_core::task::{Conn, Either, Error, Handle, NoWakers, RunContext, WaitError, join, race, select};
use sinbin_core::{Instant, Rest, TaskId, WaitTarget};
use sinbin_testkit::memory_host::{Falls, Log, TASKS, World, join_all};

fn waits(world: &World<'_>, task: TaskId) -> Vec<WaitTarget> {
    world.view(task).waits.into_iter().flatten().collect()
}

#[test]
fn the_kernel_knows_what_is_waited_for() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let task = world.spawn(async move {
        let mut buffer = [0];
        let recv = handle.timeout(Duration::from_secs(3), conn.recv(&mut buffer));
        join(recv, conn.hangup()).await.1.ok();
    });
    world.turn();
    let view = world.view(task.task());
    assert_eq!(waits(&world, task.task()), [WaitTarget::Recv(source), WaitTarget::Hangup(source)]);
    assert_eq!(view.deadline, Instant::ZERO + Duration::from_secs(3));
    assert_eq!(world.run(), Rest::Until(Instant::NEVER));
    assert_eq!(waits(&world, task.task()), [WaitTarget::Hangup(source)], "the first wait has ended");
}

#[test]
fn select_drops_the_loser_and_its_wait() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let (a, b) = (world.connect(), world.connect());
    let (at_a, at_b) = (a.source(), b.source());
    let task = world.spawn(async move {
        let (mut one, mut other) = ([0], [0]);
        let loser = async {
            let _falls = Falls(log, "loser");
            a.recv(&mut one).await
        };
        let first = select(loser, b.recv(&mut other)).await;
        log.add(if first == Either::Second(Ok(1)) { "second" } else { "first" });
        b.recv(&mut other).await.ok();
        log.add(if a.recv(&mut one).await == Ok(1) { "nothing is lost" } else { "lost" });
    });
    world.turn();
    assert_eq!(waits(&world, task.task()), [WaitTarget::Recv(at_a), WaitTarget::Recv(at_b)]);
    world.peer(at_b).inbox.push_back(1);
    world.turn();
    world.turn();
    assert_eq!(log.take(), ["loser", "second"]);
    assert_eq!(waits(&world, task.task()), [WaitTarget::Recv(at_b)], "the wait of the loser is removed");
    world.peer(at_a).inbox.push_back(1);
    world.peer(at_b).inbox.push_back(1);
    assert_eq!(world.run(), Rest::Until(Instant::NEVER));
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["nothing is lost"]);
}

#[test]
fn who_is_through_within_a_join_is_dropped() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let loser = async {
            let _falls = Falls(log, "loser");
            handle.wait_named().await
        };
        let other = async {
            handle.sleep(Duration::from_secs(1)).await;
            log.add("other");
        };
        // The loser is dropped at once. Otherwise its wait, for example in a queue, would last until the other future
        // completes.
        join(select(handle.yield_now(), loser), other).await;
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["loser", "other"]);
}

#[test]
fn a_wait_is_taken_back_within_the_step_too() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let (a, b) = (world.connect(), world.connect());
    let at_b = b.source();
    let task = world.spawn(async move {
        // The first future registers a wait, and the second one completes at once.
        select(a.readable(), async {}).await;
        b.readable().await.ok();
    });
    world.turn();
    assert_eq!(waits(&world, task.task()), [WaitTarget::Recv(at_b)]);
}

#[test]
fn what_two_futures_of_a_task_wait_for_is_waited_for_until_both_are_gone() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let task = world.spawn(async move {
        let first = async {
            select(conn.readable(), async {}).await;
            conn.hangup().await
        };
        join(conn.readable(), first).await.0.ok();
    });
    world.turn();
    assert_eq!(waits(&world, task.task()), [WaitTarget::Recv(source), WaitTarget::Hangup(source)]);
}

/// The kernel's wait has places for four sources. Proxies wait for the others.
#[test]
fn a_task_waits_for_any_number_of_sources_at_once() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conns: Vec<Conn<'_>> = (0..8).map(|_| world.connect()).collect();
    let sources: Vec<_> = conns.iter().map(Conn::source).collect();
    let task = world.spawn(async move {
        let read = async |conn: &Conn<'_>| {
            let received = conn.recv(&mut [0; 2]).await;
            log.add((conn.source(), received));
        };
        join_all(conns.iter().map(read).collect()).await;
    });
    world.turn();
    assert_eq!(waits(&world, task.task()).len(), 4);
    for at in [7, 0, 4, 5, 1, 2, 3, 6] {
        world.peer(sources[at]).inbox.push_back(1);
        world.turn();
        world.run();
        assert_eq!(log.take(), [(sources[at], Ok(1))]);
    }
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn a_fifth_wait_ends_when_its_future_is_dropped() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conns: Vec<Conn<'_>> = (0..6).map(|_| world.connect()).collect();
    let (fifth, sixth) = (conns[4].source(), conns[5].source());
    world.spawn(async move {
        let read = async |conn: &Conn<'_>| {
            conn.readable().await.ok();
        };
        race(join_all(conns.iter().map(read).collect()), handle.sleep(Duration::from_secs(1))).await;
        log.add("it is over");
        // The task itself waits for what a proxy waited for, and then another task does.
        conns[4].recv(&mut [0; 2]).await.ok();
        log.add("the fifth");
        handle.spawn(async move { conns[5].recv(&mut [0; 2]).await.map(|_| log.add("the sixth")) }).ok();
    });
    assert_eq!(world.run(), Rest::Until(Instant::NEVER));
    assert_eq!(log.take(), ["it is over"]);
    world.peer(fifth).inbox.push_back(1);
    world.turn();
    world.run();
    world.peer(sixth).inbox.push_back(1);
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["the fifth", "the sixth"]);
}

#[test]
fn what_two_futures_of_a_task_wait_for_by_proxy_is_waited_for_until_both_are_gone() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conns: Vec<Conn<'_>> = (0..5).map(|_| world.connect()).collect();
    let fifth = conns[4].source();
    world.spawn(async move {
        let others = join_all(
            conns[..4].iter().map(async |conn: &Conn<'_>| assert!(conn.hangup().await.is_err())).collect(),
        );
        let stays = async { log.add(conns[4].readable().await.is_ok()) };
        let goes = async {
            // In this step and in a later one, the first future goes on waiting.
            select(conns[4].readable(), async {}).await;
            select(conns[4].readable(), handle.sleep(Duration::from_secs(1))).await;
            select(conns[4].readable(), async {}).await;
        };
        select(others, join(stays, goes)).await;
    });
    assert_eq!(world.run(), Rest::Until(Instant::NEVER));
    assert_eq!(log.take(), []);
    world.peer(fifth).inbox.push_back(1);
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [true]);
}

/// A proxy that is ended by force, as when a host ends all tasks, is replaced.
#[test]
fn a_fifth_wait_outlives_its_proxy() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conns: Vec<Conn<'_>> = (0..5).map(|_| world.connect()).collect();
    let fifth = conns[4].source();
    let task = world.spawn(async move {
        let read = async |conn: &Conn<'_>| log.add(conn.readable().await.is_ok());
        race(join_all(conns.iter().map(read).collect()), handle.sleep(Duration::from_secs(1))).await;
    });
    world.turn();
    world.turn();
    for _ in 0..2 {
        let others: Vec<_> = world.executor.kernel.tasks().map(|view| view.id).collect();
        for proxy in others.into_iter().filter(|id| *id != task.task()) {
            world.cancel(proxy);
            world.turn();
            world.cancel(proxy);
            world.turn();
        }
        world.turn();
    }
    world.peer(fifth).inbox.push_back(1);
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [true]);
}

/// The kernel's table of tasks is full.
#[test]
fn a_fifth_wait_fails_where_no_proxy_has_a_place() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conns: Vec<Conn<'_>> = (0..5).map(|_| world.connect()).collect();
    let others: Vec<_> = (1..TASKS).map(|_| world.spawn(handle.sleep(Duration::from_secs(9)))).collect();
    world.spawn(async move {
        let read = async |conn: &Conn<'_>| {
            let ready = conn.readable().await;
            log.add((conn.source(), ready));
        };
        race(join_all(conns.iter().map(read).collect()), handle.sleep(Duration::from_secs(1))).await;
        log.add((conns[0].source(), Ok(())));
    });
    assert_eq!(world.run(), Rest::Empty);
    let said = log.take();
    assert_eq!(said[0].1, Err(Error::Wait(WaitError::TooMany)), "the fifth at once");
    assert_eq!(said.len(), 2, "the other futures wait: {said:?}");
    drop(others);
}

#[test]
fn one_waits_for_one_thing() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = Rc::new(world.connect());
    let other = conn.clone();
    world.spawn(async move { other.recv(&mut [0]).await });
    world.spawn(async move { log.add(conn.recv(&mut [0]).await) });
    world.run();
    assert_eq!(log.take(), [Err(Error::Wait(WaitError::Busy))]);
}

#[test]
fn both_ends_of_a_connection_in_one_task() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.peer(source).room = 3;
    let task = world.spawn(async move {
        let mut buffer = [0; 8];
        let (received, sent) = join(conn.recv(&mut buffer), conn.send_all(b"hello")).await;
        assert_eq!((received, sent), (Ok(2), Ok(())));
    });
    world.turn();
    assert_eq!(waits(&world, task.task()), [WaitTarget::Recv(source), WaitTarget::Send(source)]);
    world.peer(source).inbox.extend(b"hi");
    world.turn();
    world.turn();
    assert_eq!(waits(&world, task.task()), [WaitTarget::Send(source)]);
    world.peer(source).room = 9;
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
}

/// A completed join returns its results once. Another poll returns `Pending`.
#[test]
fn a_join_that_is_over_has_no_second_result() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    let mut context = Context::from_waker(Waker::noop());
    let mut both = pin!(join(async { "one" }, async { String::from("other") }));
    assert_eq!(both.as_mut().poll(&mut context), Poll::Ready(("one", "other".into())));
    assert_eq!(both.as_mut().poll(&mut context), Poll::Pending);
}

#[test]
fn race_takes_the_first_and_prefers_neither() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let after = async |millis| {
            handle.sleep(Duration::from_millis(millis)).await;
            millis
        };
        log.add(race(after(5), after(3)).await);
        for _ in 0..3 {
            log.add(race(async { 1 }, async { 2 }).await);
        }
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [3, 2, 1, 2], "of two that are ready, each is the first every other time");
}

#[test]
fn of_several_who_could_end_a_wait_none_is_named() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let [mut a, mut b] = [(); 2].map(|()| world.spawn(handle.wait_named()));
    let at_a = a.task();
    let both = world.spawn(async move { join(a.join(), b.join()).await.0.is_ok() });
    world.turn();
    assert_eq!(world.view(both.task()).by, ExpectedWaker::Anyone);
    assert_eq!(world.run(), Rest::Stalled);
    world.executor.kernel.wake(at_a);
    assert_eq!(world.run(), Rest::Stalled);
}

/// A future that waited in an earlier step is dropped before it is polled in this step. Another future of the task, which
/// waits for the same target, keeps its wait.
#[test]
fn dropping_a_future_keeps_the_wait_of_another_for_the_same_target() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.spawn(async move {
        // The next select polls its second future first.
        select(async {}, async {}).await;
        let readable = async {
            conn.readable().await.unwrap();
            log.add("readable");
        };
        let gives_up = async {
            select(conn.readable(), handle.yield_now()).await;
            log.add("gave up");
        };
        join(readable, gives_up).await;
    });
    world.turn();
    world.turn();
    assert_eq!(log.take(), ["gave up"]);
    assert_eq!(world.run(), Rest::Until(Instant::NEVER), "one still waits");
    world.peer(source).inbox.push_back(1);
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["readable"]);
}
