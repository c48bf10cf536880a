use sinbin_core::echo::{Echo, Responder, Upper};
use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_core::kernel::{Failure, Op};
use sinbin_core::{Interest, IoError, Limits, Service, Task};

use crate::wires::{Wire, Wires, World};

fn roomy() -> Limits {
    Limits::new(4, 4, 256)
}

fn fib(framing: Framing) -> Fib {
    Fib { rules: Rules { framing, ..Rules::default() }, ..Fib::default() }
}

/// Creates the loop of a service with one connection that has sent `says`.
fn served<S: Service<Conn: Task<Wires<S>>>>(service: S, limits: &Limits, says: &[&[u8]]) -> World<S> {
    let mut world = World::new(service, limits);
    world.arrive([Ok(Wire::new(says))]);
    world
}

fn got<S: Service<Conn: Task<Wires<S>>>>(world: &World<S>) -> String {
    let wire = world.host.wires.values().next().or(world.host.closed.last()).unwrap();
    String::from_utf8(wire.got.clone()).unwrap()
}

fn is_closed<S: Service<Conn: Task<Wires<S>>>>(world: &World<S>) -> bool {
    let Wires { wires, closed, jobs, .. } = &world.host;
    assert_eq!(wires.len() + closed.len(), 1);
    assert!(
        wires.len() == 1 || jobs.is_empty() && world.executor.blocks_lent() == 0,
        "all jobs and blocks are released"
    );
    wires.is_empty()
}

/// Returns the failure of the connection that has ended, if it failed.
fn failure<S: Service<Conn: Task<Wires<S>>>>(world: &World<S>) -> Option<(Op, IoError)> {
    let [(_, failure)] = world.host.ended[..] else { panic!("one task has ended: {:?}", world.host.ended) };
    failure.map(|Failure { op, error, .. }| (op, error))
}

/// A connection keeps the bytes that it can't send, in a block if they are long, and reads nothing more until they are
/// sent.
fn is_not_read_from_while_it_is_stuck<S: Responder<Conn: Task<Wires<S>>>>(service: S, answer: &str) {
    let mut world = World::new(service, &roomy());
    world.arrive([Ok(Wire { room: 0, ..Wire::new(&[b"first and long", b"second"]) })]);
    assert_eq!((got(&world).len(), world.wire().says.len(), world.executor.blocks_lent()), (0, 1, 1));
    for _ in 0..3 {
        world.wire().room += 2;
        world.run();
        assert_eq!(world.wire().says.len(), 1);
    }
    world.wire().room = usize::MAX;
    world.run();
    assert_eq!(got(&world), answer);
    assert_eq!(world.executor.blocks_lent(), 0);
}

#[test]
fn who_takes_nothing_is_not_read_from() {
    is_not_read_from_while_it_is_stuck(Echo::default(), "first and longsecond");
    is_not_read_from_while_it_is_stuck(Upper::default(), "FIRST AND LONG_SBSECOND_SB");
}

/// Without a block, a read is limited to the bytes whose answer the connection itself can store.
#[test]
fn where_no_block_is_left_it_goes_on_in_bites() {
    let limits = Limits::new(4, 0, 256);
    assert_eq!(got(&served(Echo::default(), &limits, &[b"0123456789"])), "0123456789");
    assert_eq!(got(&served(Upper::default(), &limits, &[b"abcdefghij"])), "ABCDE_SBFGHIJ_SB");
}

fn fails_as_its_host_says<S: Service<Conn: Task<Wires<S>>>>(service: impl Fn() -> S) {
    for is_sent in [false, true] {
        for (error, expected) in [(IoError::Stopping, None), (IoError::Os(5), Some(IoError::Os(5)))] {
            let mut world = World::new(service(), &roomy());
            let wire = match is_sent {
                true => Wire { breaks: Some(error), ..Wire::new(&[b"7\n"]) },
                false => Wire { says: [Err(error)].into(), ..Wire::default() },
            };
            world.arrive([Ok(wire)]);
            assert!(is_closed(&world));
            let op = if is_sent { Op::Send } else { Op::Recv };
            assert_eq!(failure(&world), expected.map(|error| (op, error)));
        }
    }
    // Kept bytes fail in this way as well.
    let mut world = World::new(service(), &roomy());
    world.arrive([Ok(Wire { room: 1, ..Wire::new(&[b"7\n"]) })]);
    world.wire().breaks = Some(IoError::Reset);
    world.run();
    assert!(is_closed(&world));
    assert_eq!(failure(&world), Some((Op::Send, IoError::Reset)));
}

#[test]
fn a_connection_that_breaks_is_a_failure_and_one_whose_host_stops_is_none() {
    fails_as_its_host_says(Echo::default);
    fails_as_its_host_says(Upper::default);
    fails_as_its_host_says(|| fib(Framing::Lines));
}

/// The way in which a connection learns that it must end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Cancelled,
    Closed,
    /// The source is closed after the connection was woken for its wait, and before it runs.
    WokenAndClosed,
    /// As `WokenAndClosed`, and the job that the connection may wait for is lost.
    LostAndClosed,
}

/// Notifies the only connection.
fn tell<S: Service<Conn: Task<Wires<S>>>>(world: &mut World<S>, told: Told) {
    let (server, source) = (world.server(), *world.host.wires.keys().next().unwrap());
    let kernel = &mut world.executor.kernel;
    if told == Told::Cancelled {
        assert!(kernel.cancel(server));
        return;
    }
    if told != Told::Closed {
        kernel.ready(source, Interest::RECV | Interest::SEND);
        for (job, _) in world.host.jobs.drain(..) {
            if told == Told::LostAndClosed {
                assert!(kernel.end_job(job));
            } else {
                world.host.results.insert(job, 610);
                kernel.job_done(job);
            }
        }
    }
    // The host that closes the source also removes the wire.
    assert!(kernel.close(source));
    let wire = world.host.wires.remove(&source).unwrap();
    world.host.closed.push(wire);
}

/// The connection may be waiting for bytes, for send capacity, or for a job.
fn ends_when_it_is_told<S: Service<Conn: Task<Wires<S>>>>(service: impl Fn() -> S) {
    for (says, room) in [(&b"7\n1"[..], usize::MAX), (&b"x\n".repeat(50), 40), (b"15\n3\n4\n5\n6\n7\n", 99)] {
        for told in [Told::Cancelled, Told::Closed, Told::WokenAndClosed, Told::LostAndClosed] {
            let mut world = World::new(service(), &roomy());
            world.arrive([Ok(Wire { room, ..Wire::new(&[says]) })]);
            assert!(!is_closed(&world));
            tell(&mut world, told);
            world.run();
            assert!(is_closed(&world));
            assert_eq!(failure(&world), None, "{told:?}");
        }
    }
}

#[test]
fn a_connection_that_is_cancelled_or_closed_gives_everything_back() {
    ends_when_it_is_told(Echo::default);
    ends_when_it_is_told(|| fib(Framing::Lines));
}

/// A wake by name ends no wait for a job that is not done.
#[test]
fn a_connection_that_is_woken_for_nothing_still_waits_for_its_job() {
    let mut world = served(fib(Framing::Lines), &roomy(), &[b"3\n15\n4\n"]);
    let server = world.server();
    for _ in 0..2 {
        assert_eq!((got(&world), world.host.jobs.len()), ("2\n".into(), 1));
        assert!(world.executor.kernel.wake(server));
        world.run();
    }
    world.compute();
    assert_eq!(got(&world), "2\n610\n3\n");
}

#[test]
fn after_a_line_that_is_too_long_nothing_is_answered() {
    let world = served(fib(Framing::Lines), &roomy(), &[&[&[b'0'; 65][..], b"\n7\n"].concat()]);
    assert_eq!(got(&world), "error: the line is over the limit of 64 bytes; closing\n");
    assert!(is_closed(&world));
}

/// A request without a newline that fills the read buffer is complete when no bytes follow.
#[test]
fn a_bare_request_that_fills_a_bite_is_answered_when_nothing_follows() {
    let limits = Limits::new(4, 0, 256);
    for stops in [false, true] {
        let wire = Wire::new(&[b"+0000005"]);
        let says = wire.says.into_iter().chain(stops.then_some(Err(IoError::Stopping))).collect();
        let mut world = World::new(fib(Framing::Bare), &limits);
        world.arrive([Ok(Wire { says, room: usize::MAX, ..Wire::default() })]);
        assert_eq!((got(&world), is_closed(&world)), ("5\n".into(), stops));
    }
}

#[test]
fn without_a_place_for_a_job_the_next_request_is_answered() {
    let world = served(fib(Framing::Lines), &roomy().with_jobs(0), &[b"15\n7\n"]);
    assert_eq!(got(&world), "error: too many jobs; try again later\n13\n");
}
