use std::time::Duration;

use sinbin_core::echo::Echo;
use sinbin_core::kernel::{Failure, Op};
use sinbin_core::{Interest, IoError, Limits, Rest};

use crate::wires::{Wire, World};

fn world(tasks: usize) -> World<Echo> {
    World::new(Echo::default(), &Limits::new(tasks, 4, 128))
}

fn hello() -> Result<Wire, IoError> {
    Ok(Wire::new(&[b"hello"]))
}

/// An accepted connection is served to its end.
#[test]
fn a_host_that_stops_ends_the_acceptor_and_no_connection() {
    let mut world = world(4);
    world.arrive([hello(), Err(IoError::Stopping), hello()]);
    assert_eq!(world.host.ended, [(world.acceptor, None)]);
    assert!(!world.host.listens, "the listener is closed");
    world.say(b" again");
    assert_eq!(world.wire().got, b"hello again");
    assert_eq!(world.say(b""), Rest::Empty);
}

/// The failure names the task, the operation and the source.
#[test]
fn a_listener_that_fails_ends_the_acceptor_with_a_failure() {
    let mut world = world(4);
    world.arrive([hello(), Err(IoError::Unsupported)]);
    let failure = Failure { op: Op::Accept, source: world.listener, error: IoError::Unsupported };
    assert_eq!(world.host.ended, [(world.acceptor, Some(failure))]);
    assert!(!world.host.listens);
    assert_eq!(world.wire().got, b"hello");
}

/// A client that broke off while it waited to be accepted affects no other client. Many such clients do not keep other
/// tasks from running.
#[test]
fn who_broke_off_before_is_passed_over() {
    let mut world = world(4);
    world.host.arrivals.extend((0..20).map(|_| Err(IoError::Reset)));
    world.host.arrivals.push_back(hello());
    world.turn();
    assert!(!world.host.arrivals.is_empty(), "other tasks run in between");
    world.run();
    assert_eq!(world.wire().got, b"hello");
    assert_eq!(world.host.ended, []);
}

/// No client is rejected: clients stay in the listener's backlog, and the acceptor tries again later.
#[test]
fn an_acceptor_whose_host_has_no_room_looks_again() {
    for error in [IoError::NoRoom, IoError::Os(24)] {
        let mut world = world(4);
        let again = world.now + Duration::from_millis(100);
        assert_eq!(world.arrive([Err(error), hello()]), Rest::Until(again));
        assert!(world.host.wires.is_empty());
        world.now = again;
        world.run();
        assert_eq!(world.wire().got, b"hello", "{error}");
        assert_eq!(world.host.ended, []);
    }
}

#[test]
fn an_acceptor_without_a_place_for_a_task_takes_the_next_when_there_is_one() {
    let mut world = world(2);
    let again = world.now + Duration::from_millis(100);
    assert_eq!(world.arrive([hello(), hello()]), Rest::Until(again));
    assert_eq!((world.host.arrivals.len(), &world.wire().got[..]), (1, &b"hello"[..]));
    world.say(b"");
    assert!(world.host.wires.is_empty(), "the first connection is closed");
    world.now = again;
    world.run();
    assert_eq!(world.wire().got, b"hello");
}

/// The acceptor may be waiting for connections or for capacity.
#[test]
fn an_acceptor_ends_with_its_listener_and_when_it_is_cancelled() {
    for (tasks, arrivals) in [(4, 0), (2, 2)] {
        for is_cancelled in [false, true] {
            let mut world = world(tasks);
            world.arrive((0..arrivals).map(|_| hello()));
            assert_eq!(world.host.ended, []);
            if is_cancelled {
                assert!(world.executor.kernel.cancel(world.acceptor));
            } else {
                assert!(world.executor.kernel.close(world.listener));
            }
            world.run();
            assert_eq!(world.host.ended, [(world.acceptor, None)]);
        }
    }
}

/// The acceptor was woken, but the listener is closed before the acceptor runs.
#[test]
fn an_acceptor_whose_listener_is_closed_in_the_turn_in_which_somebody_comes_ends_well() {
    let mut world = world(4);
    world.run();
    world.host.arrivals.push_back(hello());
    world.executor.kernel.ready(world.listener, Interest::RECV);
    assert!(world.executor.kernel.close(world.listener));
    world.turn();
    assert_eq!(world.host.ended, [(world.acceptor, None)]);
    assert_eq!((world.host.arrivals.len(), world.host.wires.len()), (1, 0));
}
