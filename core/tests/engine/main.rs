//! The serving loop, on a platform in memory.

mod bare;
mod drain;
mod panics;
mod world;

use std::time::Duration;

use sinbin_core::echo::Echo;
use sinbin_core::serve::{Engine, Stopped, Until};
use sinbin_core::{Full, Instant, Limits, SourceId};

use world::{World, at, engine};

#[test]
fn a_connection_is_served_and_read_out_until_its_peer_closes() {
    let mut world: World<Echo> = World::new(Echo::default(), 10);
    let client = world.connect(b"hello");
    world.then(5, move |world, _| world.clients[client].has_ended = true);
    world.then(6, |world, _| world.is_to_stop = true);
    let mut engine = engine(world, 11);
    assert_eq!(engine.run(|| false), Ok(0));
    let world = &engine.platform;
    assert_eq!(world.clients[client].got, b"hello");
    assert!(world.clients[client].is_closed);
    assert_eq!(world.room.open(), 0);
}

#[test]
fn a_client_without_room_is_taken_when_a_connection_has_gone() {
    let mut world: World<Echo> = World::new(Echo::default(), 1);
    let (first, second) = (world.connect(b"1"), world.connect(b"2"));
    world.then(1, move |world, _| {
        assert!(world.room.is_crowded() && !world.room.has_room());
        assert_eq!(world.clients[second].got, b"");
        world.clients[first].has_ended = true;
    });
    world.then(2, move |world, _| {
        // The released capacity has woken the acceptor, which did not have to wait for its retry after 100 ms.
        assert_eq!(world.clients[second].got, b"2");
        world.clients[second].has_ended = true;
        world.is_to_stop = true;
    });
    let mut engine = engine(world, 3);
    assert_eq!(engine.run(|| false), Ok(0));
    assert!(engine.platform.now < at(10), "{:?}", engine.platform.now);
}

/// Closes a connection, whose peer has not finished, in a turn in which another connection takes its task or source. No
/// slot remains in which the connection could linger.
fn lets_go(limits: &Limits) {
    let mut world: World<Echo> = World::new(Echo::default(), 10);
    world.service.idle_timeout = Some(Duration::from_millis(80));
    let (first, second) = (world.connect(b""), world.connect(b"2"));
    // The clock jumps past the first connection's timeout and the acceptor's next retry, in this order. In a single
    // turn, the first connection closes and the acceptor uses its source for the second one.
    world.then(50, |world, _| world.now = at(150));
    world.then(160, move |world, _| {
        assert_eq!(world.clients[second].got, b"2");
        // Lingering would have taken a second.
        assert!(world.clients[first].is_closed);
        world.clients[second].has_ended = true;
        world.is_to_stop = true;
    });
    let mut engine = Engine::new(world, limits, Duration::from_secs(1));
    assert_eq!(engine.accept_from(World::listen), Ok(()));
    assert_eq!(engine.run(|| false), Ok(0));
    assert_eq!(engine.platform.room.open(), 0);
}

#[test]
fn without_a_place_to_be_read_out_a_connection_is_let_go() {
    // Apart from the listener, only one connection fits at a time. The first limit is on sources, the second one on
    // tasks.
    lets_go(&Limits::new(8, 8, 64).with_sources(2));
    lets_go(&Limits::new(2, 8, 64).with_sources(8));
}

#[test]
fn a_connection_of_the_backlog_that_finds_no_place_is_closed() {
    let mut world: World<Echo> = World::new(Echo::default(), 10);
    let (first, second) = (world.connect(b"1"), 1);
    world.then(1, move |world, _| {
        world.clients[first].has_ended = true;
        world.connect(b"2");
        world.is_to_stop = true;
    });
    let mut engine = Engine::new(world, &Limits::new(2, 8, 64).with_sources(8), Duration::from_secs(1));
    assert_eq!(engine.accept_from(World::listen), Ok(()));
    assert_eq!(engine.run(|| false), Ok(0));
    assert_eq!(engine.platform.clients[first].got, b"1");
    assert!(engine.platform.clients[second].is_closed);
    assert_eq!(engine.platform.clients[second].got, b"");
}

#[test]
fn a_connection_without_a_place_is_closed_and_refused() {
    let mut world: World<Echo> = World::new(Echo::default(), 10);
    let (first, second, third) = (world.connect(b""), world.connect(b""), world.connect(b""));
    let mut engine = Engine::new(world, &Limits::new(2, 8, 64).with_sources(3), Duration::ZERO);
    assert_eq!(engine.serve(|world, source| world.adopt(source, first)), Ok(()));
    assert_eq!(engine.serve(|world, source| world.adopt(source, second)), Ok(()));
    // A source is left for the third connection, but no task.
    assert_eq!(engine.serve(|world, source| world.adopt(source, third)), Err(Full));
    assert!(engine.platform.clients[third].is_shut);
    assert!(engine.executor.kernel.open().is_ok());
    assert_eq!(
        engine.accept_from(|_: &mut World<Echo>, _: SourceId| unreachable!("there is no source")),
        Err(Full)
    );
    engine.clear();
}

#[test]
fn a_loop_ends_with_its_last_task_and_stalls_where_none_can_go_on() {
    let mut empty =
        Engine::new(World::<Echo>::new(Echo::default(), 1), &Limits::new(1, 1, 64), Duration::ZERO);
    assert_eq!(empty.run(|| false), Ok(0));
    let world: World<Echo> = World::new(Echo::default(), 1);
    let mut broken = engine(world, 2);
    broken.platform.has_failed = true;
    let stopped = broken.run(|| false);
    assert_eq!(stopped, Err(Stopped::Platform("a broken poller")));
    let text = stopped.map_err(|stopped| stopped.to_string());
    assert_eq!(text, Err("cannot wait for readiness: a broken poller".to_owned()));
    assert_eq!(Stopped::<&str>::Stalled.to_string(), "all tasks wait, and nothing can wake them");
}

#[test]
fn a_loop_that_is_stepped_serves_like_one_that_runs() {
    let world = || {
        let mut world: World<Echo> = World::new(Echo::default(), 1);
        world.connect(b"hello");
        world.then(1, |world, _| world.partial = 2);
        world.then(3, |world, _| world.is_to_stop = true);
        world
    };
    let mut runs = engine(world(), 2);
    assert_eq!(runs.run(|| false), Ok(0));
    let mut stepped = engine(world(), 2);
    let mut steps = 0;
    while stepped.step(|| false).expect("the platform can wait") {
        steps += 1;
    }
    assert!(steps > 3, "{steps}");
    assert_eq!(stepped.platform.clients[0].got, b"hello");
    assert_eq!((stepped.platform.waits, stepped.platform.now), (runs.platform.waits, runs.platform.now));
}

#[test]
fn a_loop_that_computes_looks_and_does_not_wait() {
    let mut world: World<Echo> = World::new(Echo::default(), 1);
    world.slices = 3;
    world.then(1, |world, _| world.is_to_stop = true);
    let mut engine = engine(world, 2);
    assert_eq!(engine.run(|| false), Ok(0));
    let [first, second, third, ..] = engine.platform.waits[..] else { panic!("three waits") };
    assert_eq!([first, second], [Until::Poll; 2]);
    assert!(matches!(third, Until::At(_)), "{third:?}");
}

#[test]
fn a_wait_has_the_time_to_its_deadline() {
    assert_eq!(Until::Poll.span(at(1)), Duration::ZERO);
    assert_eq!(Until::Due.span(at(1)), Duration::ZERO);
    assert_eq!(Until::At(at(3)).span(at(1)), Duration::from_millis(2));
    assert_eq!(Until::At(at(1)).span(at(3)), Duration::ZERO);
    assert!(Until::At(Instant::NEVER).span(at(1)) > Duration::from_secs(1 << 32));
}
