use std::rc::Rc;

use sinbin_core::Rest;
use sinbin_core::sync::{Channel, Oneshot, OneshotSender, RecvError, SendError};
use sinbin_core::task::{Handle, NoWakers, RunContext, WaitError, select};
use sinbin_testkit::memory_host::{Log, World, yields};

#[test]
fn one_value_is_sent_and_received_once() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let oneshot = Oneshot::new(handle);
    let mut world = World::new(handle);
    for _ in 0..2 {
        world.spawn(async { log.add(oneshot.recv().await) });
    }
    world.spawn(async {
        assert_eq!(oneshot.try_recv(), Ok(None));
        assert_eq!((oneshot.send(1), oneshot.is_closed()), (Ok(()), true));
        assert_eq!(oneshot.send(2), Err(SendError::Closed(2)));
        assert_eq!(oneshot.try_recv(), Ok(None), "another waits for it");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(1), Err(RecvError::Closed)]);
    world.spawn(async {
        assert_eq!(oneshot.recv().await, Err(RecvError::Closed));
        assert_eq!(oneshot.try_recv(), Err(RecvError::Closed));
    });
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn a_value_that_was_sent_before_it_was_closed_is_received() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let oneshot = Oneshot::new(handle);
    let mut world = World::new(handle);
    world.spawn(async {
        assert_eq!(oneshot.sender().send(1), Ok(()));
        assert_eq!(oneshot.close(), Ok(()));
        log.add(oneshot.recv().await);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(1)]);
}

/// The sender is gone, in one way or another.
#[test]
fn who_waits_learns_that_the_sender_is_gone() {
    for is_cancelled in [false, true] {
        let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
        let handle = Handle::new(&run_context);
        let oneshot = Oneshot::<u32>::new(handle);
        let mut world = World::new(handle);
        world.spawn(async { log.add(oneshot.recv().await) });
        let sender = world.spawn(async {
            let sender = oneshot.sender();
            assert!(!sender.is_closed());
            handle.yield_now().await;
            if is_cancelled {
                std::future::pending::<()>().await;
            }
            drop(sender);
        });
        world.turn();
        world.turn();
        world.turn();
        world.cancel(sender.task());
        assert_eq!(world.run(), Rest::Empty);
        assert_eq!(log.take(), [Err(RecvError::Closed)]);
    }
}

/// A request with the slot for its reply: the task that asks may be cancelled before any turn.
#[test]
fn who_asks_may_leave_at_any_time() {
    for when in 0..5 {
        let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
        let handle = Handle::new(&run_context);
        let requests =
            Rc::new(Channel::<(u32, OneshotSender<'_, u32, Rc<Oneshot<'_, u32>>>), 1>::new(handle));
        let mut world = World::new(handle);
        let alive = Rc::new(());
        let (still, same) = (Rc::clone(&alive), Rc::clone(&requests));
        let asks = world.spawn(async move {
            let _still = still;
            let reply = Rc::new(Oneshot::new(handle));
            same.send((21, OneshotSender::new(Rc::clone(&reply)))).await.ok();
            log.add(reply.recv().await.ok());
        });
        world.spawn(async move {
            let (number, reply) = requests.recv().await.unwrap();
            yields(handle, 2).await;
            let is_there = !reply.is_closed();
            assert_eq!(reply.send(2 * number).is_ok(), is_there);
        });
        for _ in 0..when {
            world.turn();
        }
        world.cancel(asks.task());
        let rest = world.run();
        assert!(asks.is_over() && Rc::strong_count(&alive) == 1);
        // The worker waits on if the request never came.
        assert_eq!(rest, if when == 0 { Rest::Stalled } else { Rest::Empty });
        let reply = log.take().into_iter().flatten().next();
        // A task that is cancelled as the reply comes has the reply.
        assert_eq!(reply, (when >= 2).then_some(42), "before turn {when}");
    }
}

#[test]
fn a_value_that_is_granted_to_one_who_leaves_is_the_next_ones() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let oneshot = Oneshot::new(handle);
    let mut world = World::new(handle);
    world.spawn(async { select(yields(handle, 2), oneshot.recv()).await });
    world.spawn(async { log.add(oneshot.recv().await) });
    world.spawn(async {
        handle.yield_now().await;
        oneshot.send(1).unwrap();
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(1)]);
}

#[test]
fn outside_a_task_nothing_is_sent() {
    let run_context = RunContext::new(&NoWakers);
    let oneshot = Oneshot::new(Handle::new(&run_context));
    assert_eq!(oneshot.send(1), Err(SendError::Wait(WaitError::Elsewhere, 1)));
    assert_eq!(oneshot.close(), Err(WaitError::Elsewhere));
    assert_eq!(oneshot.try_recv(), Err(RecvError::Wait(WaitError::Elsewhere)));
    drop(oneshot.sender());
    assert!(!oneshot.is_closed());
}
