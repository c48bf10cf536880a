use std::time::Duration;

use sinbin_core::echo::{Answer, Echo, Upper};
use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_core::{Failure, Interest, IoError, Limits, Op, Rest, Service, Task};

use crate::wires::{Wire, Wires, World};

const IDLE: Duration = Duration::from_secs(5);

fn roomy() -> Limits {
    Limits::new(4, 4, 256)
}

fn fib(framing: Framing) -> Fib {
    Fib { rules: Rules { framing, ..Rules::default() }, idle_timeout: Some(IDLE), ..Fib::default() }
}

/// The loop of a service with one connection, which has said that.
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
    assert!(wires.len() == 1 || jobs.is_empty() && world.executor.blocks_lent() == 0, "all is given back");
    wires.is_empty()
}

/// The failure of the connection that is over, if it was one.
fn failure<S: Service<Conn: Task<Wires<S>>>>(world: &World<S>) -> Option<(Op, IoError)> {
    let [(_, failure)] = world.host.ended[..] else { panic!("one is over: {:?}", world.host.ended) };
    failure.map(|Failure { op, error, .. }| (op, error))
}

#[test]
fn each_read_has_its_answer() {
    let mut world = served(Echo::default(), &roomy(), &[b"hello", b"w\xc3\xb6rld"]);
    assert_eq!(got(&world), "hellow\u{f6}rld");
    world.say(b"");
    assert!(is_closed(&world) && failure(&world).is_none());
    let world = served(Upper::default(), &roomy(), &[b"hello", b"w\xc3\xb6rld"]);
    assert_eq!(got(&world), "HELLO_SBW\u{f6}RLD_SB");
}

/// What it can't send is kept, in a block if it is long, and until it is out nothing more is read.
fn is_not_read_from_while_it_is_stuck<S: Answer<Conn: Task<Wires<S>>>>(service: S, answer: &str) {
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

/// Without a block, a read is no longer than what the connection itself can keep of its answer.
#[test]
fn where_no_block_is_left_it_goes_on_in_bites() {
    let limits = Limits::new(4, 0, 256);
    assert_eq!(got(&served(Echo::default(), &limits, &[b"0123456789"])), "0123456789");
    assert_eq!(got(&served(Upper::default(), &limits, &[b"abcdefghij"])), "ABCDE_SBFGHIJ_SB");
}

/// Silent, or stuck.
fn ends_at_its_deadline<S: Service<Conn: Task<Wires<S>>>>(service: impl Fn() -> S) {
    for room in [usize::MAX, 1] {
        let mut world = World::new(service(), &roomy());
        let rest = world.arrive([Ok(Wire { room, ..Wire::new(&[b"7\n"]) })]);
        assert_eq!(rest, Rest::Until(world.now + IDLE));
        world.now = world.now + IDLE;
        world.run();
        assert!(is_closed(&world) && failure(&world).is_none());
    }
}

#[test]
fn a_connection_has_so_much_time_and_no_more() {
    ends_at_its_deadline(|| Echo { idle_timeout: Some(IDLE) });
    ends_at_its_deadline(|| Upper { idle_timeout: Some(IDLE) });
    ends_at_its_deadline(|| fib(Framing::Lines));
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
    // The same of what was kept.
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

/// How a connection learns that it is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Cancelled,
    Closed,
    /// After it was woken for what it waits for, and before it runs.
    WokenAndClosed,
    /// The same, and the job that it may wait for is lost.
    LostAndClosed,
}

/// Tells the one connection that there is.
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
    // Who closes it there takes the wire away as well.
    assert!(kernel.close(source));
    let wire = world.host.wires.remove(&source).unwrap();
    world.host.closed.push(wire);
}

/// Whatever it waits for: bytes, room, or a job.
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

#[test]
fn requests_are_answered_in_order_and_the_large_ones_off_the_loop() {
    let mut world = served(fib(Framing::Lines), &roomy(), &[b"3\n15\n4\n1", b"6\nx\n\n46\n7"]);
    assert_eq!((got(&world), world.host.jobs.len()), ("2\n".into(), 1));
    // Whatever else wakes it.
    let server = world.server();
    assert!(world.executor.kernel.wake(server));
    world.run();
    assert_eq!((got(&world), world.host.jobs.len()), ("2\n".into(), 1));
    world.compute();
    assert_eq!(got(&world), "2\n610\n3\n");
    world.compute();
    let refused =
        "error: not an integer\nerror: an empty line; send an integer\nerror: n is over the limit of 45\n";
    assert_eq!(got(&world), format!("2\n610\n3\n987\n{refused}"));
    world.say(b"");
    assert_eq!(got(&world), format!("2\n610\n3\n987\n{refused}13\n"));
    assert!(is_closed(&world) && failure(&world).is_none());
}

/// However little is taken at a time, and wherever that cuts a reply.
#[test]
fn replies_that_are_stuck_go_on_where_they_were() {
    let says = "1\n30\nx\n".repeat(9);
    for room in [1, 2, 3, 7, 20] {
        let mut world = World::new(fib(Framing::Lines), &roomy());
        world.arrive([Ok(Wire { room: 0, ..Wire::new(&[says.as_bytes(), b""]) })]);
        for _ in 0..2_000 {
            if is_closed(&world) {
                break;
            }
            world.wire().room = room;
            world.run();
            world.compute();
        }
        assert_eq!(got(&world), "1\n832040\nerror: not an integer\n".repeat(9), "{room} at a time");
    }
}

#[test]
fn after_a_line_that_is_too_long_nothing_is_answered() {
    let world = served(fib(Framing::Lines), &roomy(), &[&[&[b'0'; 65][..], b"\n7\n"].concat()]);
    assert_eq!(got(&world), "error: the line is over the limit of 64 bytes; closing\n");
    assert!(is_closed(&world));
}

/// A request without a newline is known to be whole when nothing follows: the bite that was read is as long as any.
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
    let mut world = served(fib(Framing::Bare), &limits, &[b"+0000000005"]);
    assert_eq!(got(&world), "5\n", "in two bites");
    world.say(b"6");
    assert_eq!(got(&world), "5\n8\n");
}

#[test]
fn a_job_that_can_not_be_had_is_an_error_and_the_next_request_is_answered() {
    let world = served(fib(Framing::Lines), &roomy().with_jobs(0), &[b"15\n7\n"]);
    assert_eq!(got(&world), "error: too many jobs; try again later\n13\n");
    let mut world = served(fib(Framing::Lines), &roomy(), &[b"15\n7\n"]);
    let (job, _) = world.host.jobs.pop().unwrap();
    assert!(world.executor.kernel.end_job(job));
    world.run();
    assert_eq!(got(&world), "error: the computation failed\n13\n");
}

/// Its time does not count, however long it takes; and who says that all is sent waits for the answer.
#[test]
fn a_job_is_waited_for_as_long_as_the_client_is_there() {
    let mut world = served(fib(Framing::Lines), &roomy(), &[b"15\n", b""]);
    world.now = world.now + 9 * IDLE;
    assert_ne!(world.run(), Rest::Ready);
    world.compute();
    assert_eq!(got(&world), "610\n");
    assert!(is_closed(&world));

    let mut world = served(fib(Framing::Lines), &roomy(), &[b"15\n"]);
    let source = *world.host.wires.keys().next().unwrap();
    world.executor.kernel.ready(source, Interest::HANGUP);
    world.run();
    assert!(is_closed(&world) && failure(&world).is_none());
    assert_eq!(got(&world), "");
}
