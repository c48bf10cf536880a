use std::cell::Cell;
use std::time::Duration;

use sinbin_core::echo::Echo;
use sinbin_core::exec::BufferedBytes;
use sinbin_core::kernel::{Failure, Op};
use sinbin_core::{Cx, Instant, IoError, Limits, Rest, SourceId, Step, TaskId, Wait};

use crate::wires::{Once, Plain, Runs, Wire, Wires, World};

type Steps<'a> = Cx<'a, Wires<Echo>>;

fn world() -> World<Echo> {
    World::new(Echo::default(), &Limits::new(4, 4, 128))
}

fn run(world: &mut World<Echo>, task: Runs<Echo>) -> TaskId {
    let task = world.executor.spawn(task).ok().expect("the limit is not reached");
    world.run();
    task
}

/// Spawns a task that does this in a step of its own.
fn once(world: &mut World<Echo>, does: Once<Echo>) -> TaskId {
    run(world, Runs::Does(Plain(does)))
}

thread_local! {
    /// The source that a step asks about.
    static SOURCE: Cell<SourceId> = const { Cell::new(SourceId::from_bits(0)) };
}

/// A closed listener accepts no connection, even if its host still has one.
#[test]
fn nobody_accepts_from_a_listener_that_is_closed() {
    let mut world = world();
    world.run();
    SOURCE.set(world.listener);
    world.host.arrivals.push_back(Ok(Wire::new(&[])));
    once(&mut world, |cx: &mut Steps<'_>| {
        cx.close(SOURCE.get());
        // A second close has no effect.
        cx.close(SOURCE.get());
        assert_eq!(cx.accept(SOURCE.get()), Err(IoError::Closed));
        Step::Done
    });
    assert_eq!((world.host.arrivals.len(), world.host.wires.len()), (1, 0));
    assert_eq!(world.executor.kernel.rest(), Rest::Empty);
}

#[test]
fn a_step_receives_and_sends_by_way_of_its_host() {
    let mut world = world();
    world.host.wires.insert(SourceId::from_bits(9), Wire { room: 2, ..Wire::new(&[b"abcdef"]) });
    once(&mut world, |cx| {
        let (wire, mut buffer) = (SourceId::from_bits(9), [0; 4]);
        assert_eq!(cx.recv(wire, &mut buffer), Ok(4));
        assert_eq!(cx.send(wire, &buffer), Ok(2));
        assert_eq!(cx.send(wire, &buffer[2..]), Err(IoError::WouldBlock));
        assert_eq!(cx.recv(SourceId::from_bits(8), &mut buffer), Err(IoError::Closed));
        Step::Done
    });
    assert_eq!(world.host.wires[&SourceId::from_bits(9)].got, b"ab");
}

/// A failed operation leads to a wait if it would block, to a good end if its host stops or its source is closed, and
/// otherwise to a failure.
#[test]
fn what_a_step_comes_to_whose_operation_failed() {
    let mut world = world();
    SOURCE.set(world.listener);
    once(&mut world, |cx| {
        let (source, deadline) = (SourceId::from_bits(9), cx.after(Some(Duration::from_secs(1))));
        assert_eq!(deadline, Instant::ZERO + Duration::from_secs(1));
        assert_eq!(cx.after(None), Instant::NEVER);
        let step = |op, error| cx.failed(op, source, error, deadline);
        assert_eq!(step(Op::Recv, IoError::WouldBlock), Step::Wait(Wait::recv(source).until(deadline)));
        assert_eq!(step(Op::Send, IoError::WouldBlock), Step::Wait(Wait::send(source).until(deadline)));
        for op in [Op::Recv, Op::Send] {
            assert_eq!(step(op, IoError::Stopping), Step::Done);
            assert_eq!(step(op, IoError::Closed), Step::Done);
            let error = IoError::Reset;
            assert_eq!(step(op, error), Step::Fail(Failure { op, source, error }));
            let (source, error) = (SOURCE.get(), IoError::Closed);
            let failure = Failure { op, source, error };
            assert_eq!(cx.failed(op, source, error, deadline), Step::Fail(failure), "it is open");
        }
        Step::Done
    });
}

/// The host catches the panic. The task need not implement `panicked`.
#[test]
fn a_task_that_panics_ends_alone() {
    let mut world = world();
    world.arrive([Ok(Wire::new(&[b"one"]))]);
    let task = run(&mut world, Runs::Panics(Plain(|_| panic!("it is meant to"))));
    assert_eq!(world.host.ended, [(task, None)]);
    world.say(b" two");
    assert_eq!(world.wire().got, b"one two");
}

/// Tasks without a label, and ids that were never in use, have no name in a report.
#[test]
fn a_task_need_not_have_a_name() {
    let mut world = world();
    world.run();
    assert_eq!(world.executor.label(world.acceptor), None);
    assert_eq!(world.executor.label(TaskId::from_bits(1 << 32 | 77)), None);
}

/// A task that does not fit is returned to the caller.
#[test]
fn a_step_without_a_place_for_another_task_keeps_it() {
    let mut world = world();
    world.run();
    let task = once(&mut world, |cx| {
        let stays = || Runs::Does(Plain(|_| Step::Wait(Wait::wake())));
        assert!(cx.spawn(stays()).is_ok() && cx.has_room());
        assert!(cx.spawn(stays()).is_ok() && !cx.has_room());
        assert!(matches!(cx.spawn(stays()), Err(Runs::Does(_))));
        Step::Done
    });
    assert_eq!(world.host.ended, [(task, None)]);
    assert_eq!(world.executor.kernel.count(), 3);
}

/// Keeping more than the read limit, or a second range beside the first, is a mistake that panics in a debug build.
#[cfg(debug_assertions)]
#[test]
fn who_keeps_more_than_it_may_is_stopped_in_a_debug_build() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    let mut world = World::new(Echo::default(), &Limits::new(4, 0, 128));
    let task = once(&mut world, |cx| {
        let limit = cx.buffers.read_limit();
        let mut keeps = |held: &mut BufferedBytes, count| {
            let keeps = AssertUnwindSafe(|| held.keep_input(cx.buffers, 0..count));
            catch_unwind(keeps).is_ok()
        };
        let mut held = BufferedBytes::EMPTY;
        assert!(!keeps(&mut held, limit + 1) && held.is_empty());
        assert!(keeps(&mut held, limit));
        assert!(!keeps(&mut held, 1));
        Step::Wait(Wait::wake())
    });
    assert_eq!(world.host.ended, []);
    assert!(world.executor.kernel.cancel(task));
}

/// Bytes of the output buffer can be kept beyond the step, and their block is released afterwards.
#[test]
fn what_is_kept_of_the_buffers_outlives_the_step_in_a_block_of_the_pool() {
    thread_local! {
        static HELD: Cell<BufferedBytes> = const { Cell::new(BufferedBytes::EMPTY) };
    }
    let mut world = world();
    // Up to eight bytes need no block.
    for (len, blocks) in [(8, 0), (9, 1), (128, 1)] {
        thread_local!(static LEN: Cell<usize> = const { Cell::new(0) });
        LEN.set(len);
        once(&mut world, |cx| {
            let len = LEN.get();
            cx.buffers.output.iter_mut().zip(1..).for_each(|(byte, n)| *byte = n);
            let mut held = BufferedBytes::EMPTY;
            held.keep_output(cx.buffers, 0..len);
            cx.buffers.output.fill(0);
            HELD.set(held);
            Step::Done
        });
        assert_eq!(world.executor.blocks_lent(), blocks, "{len}");
        once(&mut world, |cx| {
            let mut held = HELD.replace(BufferedBytes::EMPTY);
            let expected: Vec<u8> = (1..=128).take(LEN.get()).collect();
            assert_eq!((held.is_empty(), held.bytes(cx.buffers)), (false, &expected[..]));
            held.consume(cx.buffers, 3);
            assert_eq!(held.bytes(cx.buffers), &expected[3..]);
            held.clear(cx.buffers);
            assert!(held.is_empty());
            Step::Done
        });
        assert_eq!(world.executor.blocks_lent(), 0, "{len}");
    }
}
