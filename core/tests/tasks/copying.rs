use sinbin_core::kernel::{Failure, Op};
use sinbin_core::task::{Error, Handle, NoWakers, RunContext, WaitError, copy, copy_bidirectional, join};
use sinbin_core::{Instant, IoError, Rest};
use sinbin_testkit::memory_host::World;

fn noise(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

#[test]
fn all_bytes_are_copied_whatever_the_target_accepts() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    for room in [1, 7, 100, 1000, usize::MAX] {
        let mut world = World::new(handle);
        let (from, to) = (world.connect(), world.connect());
        let sources = [from.source(), to.source()];
        let mut task = world.spawn(async move {
            let copied = copy(&from, &to).await;
            handle.wait_named().await.unwrap();
            (copied, to.try_send(b"."))
        });
        let bytes = noise(2000);
        world.peer(sources[1]).room = 0;
        world.peer(sources[0]).inbox.extend(&bytes);
        world.peer(sources[0]).finished = true;
        world.turn();
        world.run();
        assert_eq!(world.peer(sources[0]).inbox.len(), 2000 - 256, "no more is received than can be kept");
        for _ in 0..2000usize.div_ceil(room) {
            world.peer(sources[1]).room = room;
            world.turn();
            world.run();
        }
        assert!(world.peer(sources[1]).outbox == bytes);
        assert!(!world.peer(sources[1]).is_shut, "the target stays open");
        world.peer(sources[1]).room = 1;
        world.turn();
        assert_eq!(world.run(), Rest::Stalled);
        world.executor.kernel.wake(task.task());
        assert_eq!(world.run(), Rest::Empty);
        assert_eq!(task.take(), Some((Ok(2000), Ok(1))));
    }
}

#[test]
fn both_directions_are_copied_and_half_closed() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let (a, b) = (world.connect(), world.connect());
    let (at_a, at_b) = (a.source(), b.source());
    let mut task = world.spawn(async move { copy_bidirectional(&a, &b).await });
    world.peer(at_a).inbox.extend(b"question");
    world.turn();
    world.run();
    assert_eq!(world.peer(at_b).outbox, b"question");
    world.peer(at_a).finished = true;
    world.turn();
    assert_eq!(world.run(), Rest::Until(Instant::NEVER));
    assert!(world.peer(at_b).is_shut && !world.peer(at_a).is_shut, "the other direction is open");
    for piece in ["an", "swer"] {
        world.peer(at_b).inbox.extend(piece.as_bytes());
        world.turn();
        world.run();
    }
    assert_eq!(world.peer(at_a).outbox, b"answer");
    world.peer(at_b).finished = true;
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Ok((8, 6))));
}

/// A direction whose source always has bytes leaves turns to the other direction, and to other tasks.
#[test]
fn a_flood_starves_neither_the_other_direction_nor_other_tasks() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let (a, b) = (world.connect(), world.connect());
    let (at_a, at_b) = (a.source(), b.source());
    world.spawn(async move { copy_bidirectional(&a, &b).await });
    world.spawn(async move {
        loop {
            handle.yield_now().await;
        }
    });
    world.peer(at_b).inbox.extend(b"hello");
    for _ in 0..6 {
        world.peer(at_a).inbox.extend(noise(64 * 256));
        assert!(world.turn() <= 2, "each task runs once in a turn");
    }
    assert_eq!(world.peer(at_a).outbox, b"hello");
}

#[test]
fn the_first_error_ends_both_directions() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let (a, b) = (world.connect(), world.connect());
    let at_b = b.source();
    let mut task = world.spawn(async move {
        let copied = copy_bidirectional(&a, &b).await;
        // The connections can be used again.
        (copied, a.try_send(b"sorry"))
    });
    world.turn();
    world.peer(at_b).fails = Some(IoError::Reset);
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    let reset = Failure { op: Op::Recv, source: at_b, error: IoError::Reset };
    assert_eq!(task.take(), Some((Err(Error::Failed(reset)), Ok(5))));
}

#[test]
fn a_target_that_fails_is_the_error_of_the_send() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let (from, to) = (world.connect(), world.connect());
    let (at_from, at_to) = (from.source(), to.source());
    let mut task = world.spawn(async move { copy(&from, &to).await });
    world.peer(at_from).inbox.extend(b"hello");
    world.peer(at_to).fails = Some(IoError::Reset);
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    let reset = Failure { op: Op::Send, source: at_to, error: IoError::Reset };
    assert_eq!(task.take(), Some(Err(Error::Failed(reset))));
}

#[test]
fn a_copy_has_its_target_to_itself() {
    let (run_context, elsewhere) = (RunContext::new(&NoWakers), RunContext::new(&NoWakers));
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let mut other = World::new(Handle::new(&elsewhere));
    let (from, to, foreign) = (world.connect(), world.connect(), other.connect());
    let mut task = world.spawn(async move {
        assert_eq!(copy(&from, &foreign).await, Err(WaitError::Elsewhere.into()));
        let (copied, sent) = join(sinbin_core::task::select(copy(&from, &to), handle.yield_now()), async {
            (to.send_all(b"?").await, copy_bidirectional(&from, &to).await)
        })
        .await;
        assert!(matches!(copied, sinbin_core::task::Either::Second(())));
        assert_eq!(sent, (Err(WaitError::Busy.into()), Err(WaitError::Busy.into())));
        to.send_all(b"later").await
    });
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Ok(())));
}
