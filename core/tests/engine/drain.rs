//! The end of a loop: the drain, the cut-off, and tasks that nothing can wake.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use sinbin_core::echo::Echo;
use sinbin_core::serve::{Engine, Stopped, Until};
use sinbin_core::{Cx, Limits, NoJob, Service, SourceId, Step, Task, Wait, WakeReason};

use crate::world::{World, at, engine};

/// Stops a loop at the moment when a client connects and sends. The client gets its answer, no matter how long the
/// system takes to report the connection, and silent connections are closed.
fn drains<const SETTLE: u64>() {
    let mut world: World<Echo, SETTLE> = World::new(Echo::default(), 10);
    let idle = world.connect(b"");
    world.then(1, |world, _| {
        world.is_to_stop = true;
        world.connect(b"last");
        let gone = world.connect(b"");
        world.clients[gone].is_closed = true;
    });
    let mut engine = engine(world, 11);
    assert_eq!(engine.run(|| false), Ok(0));
    let world = &engine.platform;
    assert!(world.is_draining && world.clients[idle].is_shut);
    assert_eq!(world.clients[1].got, b"last");
    assert!(world.now >= at(1 + 2 * SETTLE));
    assert_eq!(world.waits.contains(&Until::Due), SETTLE > 0);
}

#[test]
fn requests_under_way_to_a_loop_that_stops_are_answered() {
    drains::<0>();
    drains::<20>();
}

/// A service whose tasks wait and end only after this many notifications to end.
struct Stubborn {
    tellings: usize,
    told: Rc<Cell<usize>>,
}

struct StubbornConn {
    tellings: usize,
    told: Rc<Cell<usize>>,
}

impl Service for Stubborn {
    type Conn = StubbornConn;
    type Job = NoJob;

    fn connect(&self, _: SourceId) -> StubbornConn {
        StubbornConn { tellings: self.tellings, told: Rc::clone(&self.told) }
    }
}

impl<const SETTLE: u64> Task<World<Stubborn, SETTLE>> for StubbornConn {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, World<Stubborn, SETTLE>>) -> Step {
        if cx.wake_reason() == WakeReason::Cancelled {
            self.told.set(self.told.get() + 1);
            if self.told.get() >= self.tellings {
                return Step::Done;
            }
        }
        Step::Wait(Wait::wake().until(at(1_000_000)))
    }
}

fn cuts(tellings: usize) -> (usize, usize) {
    let told = Rc::new(Cell::new(0));
    let mut world: World<Stubborn> = World::new(Stubborn { tellings, told: Rc::clone(&told) }, 10);
    world.connect(b"");
    world.then(1, |world, _| world.is_to_stop = true);
    let mut engine = engine(world, 11);
    assert_eq!(engine.run(|| false), Ok(1));
    assert_eq!(engine.platform.cut, [1]);
    assert!(engine.platform.now >= at(1001), "the time to drain is a second");
    engine.clear();
    (told.get(), engine.executor.kernel.count())
}

#[test]
fn connections_that_do_not_end_in_time_are_cut_off() {
    let (told, left) = cuts(2);
    assert_eq!((told, left), (2, 0));
    // A task that never ends does not prevent the loop from ending.
    let (told, left) = cuts(usize::MAX);
    assert!(told > 1 && left == 1, "{told} {left}");
}

#[test]
fn connections_that_the_system_still_sends_by_are_awaited_until_the_cut() {
    let mut world: World<Echo> = World::new(Echo::default(), 10);
    world.leaving = 2;
    world.then(1, |world, _| world.is_to_stop = true);
    world.then(10, |world, _| world.leaving = 1);
    let mut engine = engine(world, 11);
    assert_eq!(engine.run(|| false), Ok(1));
    assert!(engine.platform.now >= at(1001));
}

#[test]
fn a_loop_that_is_over_cancels_its_tasks_and_waits_for_them_a_while() {
    let told = Rc::new(Cell::new(0));
    let mut world: World<Stubborn> = World::new(Stubborn { tellings: 1, told: Rc::clone(&told) }, 10);
    world.connect(b"");
    let is_over = Rc::new(Cell::new(false));
    let over = Rc::clone(&is_over);
    world.then(1, move |_, _| over.set(true));
    let mut engine = engine(world, 11);
    assert_eq!(engine.run(|| is_over.get()), Ok(0));
    assert_eq!(told.get(), 1);
    assert!(engine.platform.now < at(100));
}

/// The main task ends because it is cut off during the drain. The loop does not begin the drain timeout again.
#[test]
fn a_loop_that_is_over_while_it_drains_gets_no_more_time_for_that() {
    let told = Rc::new(Cell::new(0));
    let stubborn = Stubborn { tellings: usize::MAX, told: Rc::clone(&told) };
    let mut world: World<Stubborn> = World::new(stubborn, 10);
    world.connect(b"");
    world.then(1, |world, _| world.is_to_stop = true);
    let mut engine = engine(world, 11);
    assert_eq!(engine.run(|| told.get() > 0), Ok(1));
    assert_eq!(engine.platform.cut, [1]);
    assert!((at(1001)..at(1100)).contains(&engine.platform.now), "{:?}", engine.platform.now);
}

/// A task that waits for a wake by another task, which never comes.
struct Lonely;

impl<const SETTLE: u64> Task<World<Forlorn, SETTLE>> for Lonely {
    fn resume(self: Pin<&mut Self>, _: &mut Cx<'_, World<Forlorn, SETTLE>>) -> Step {
        Step::Wait(Wait::wake())
    }
}

/// A service whose connections are such tasks.
struct Forlorn;

impl Service for Forlorn {
    type Conn = Lonely;
    type Job = NoJob;

    fn connect(&self, _: SourceId) -> Lonely {
        Lonely
    }
}

#[test]
fn tasks_that_nothing_can_wake_are_an_error_or_the_end() {
    let lonely = || {
        let world: World<Forlorn> = World::new(Forlorn, 10);
        let mut engine = Engine::new(world, &Limits::new(2, 1, 64), Duration::from_secs(1));
        engine.platform.connect(b"");
        assert_eq!(engine.serve(|world, source| world.adopt(source, 0)), Ok(()));
        engine
    };
    assert_eq!(lonely().run(|| false), Err(Stopped::Stalled));
    let mut over = lonely();
    over.platform.then(1, |_, _| {});
    assert_eq!(over.run(|| true), Ok(1));
}

#[test]
fn a_look_at_some_of_the_sources_ends_no_deadline() {
    let mut world: World<Echo> = World::new(Echo::default(), 10);
    world.service.idle_timeout = Some(Duration::from_millis(10));
    world.connect(b"");
    world.then(1, |world, _| world.partial = 3);
    world.then(10, move |world, _| world.clients[0].sent.extend(b"late"));
    world.then(12, |world, _| world.clients[0].has_ended = true);
    world.then(13, |world, _| world.is_to_stop = true);
    let mut engine = engine(world, 11);
    assert_eq!(engine.run(|| false), Ok(0));
    assert_eq!(engine.platform.clients[0].got, b"late");
}
