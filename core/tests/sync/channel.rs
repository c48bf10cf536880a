use std::rc::Rc;

use sinbin_core::Rest;
use sinbin_core::sync::{Channel, RecvError, SendError};
use sinbin_core::task::{Handle, NoWakers, RunContext, WaitError, select};
use sinbin_testkit::memory_host::{Log, World, yields};

#[test]
fn who_sends_too_much_waits() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let channel = Channel::<_, 2>::new(handle);
    let mut world = World::new(handle);
    world.spawn(async {
        for n in 0..5 {
            channel.send(n).await.unwrap();
            log.add(n);
        }
    });
    assert_eq!(world.run(), Rest::Stalled);
    assert_eq!(log.take(), [0, 1]);
    assert_eq!((channel.len(), channel.capacity(), channel.is_empty()), (2, 2, false));
    world.spawn(async {
        for n in 0..5 {
            assert_eq!(channel.recv().await, Ok(n));
        }
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [2, 3, 4]);
    assert!(channel.is_empty());
}

#[test]
fn a_capacity_can_be_chosen_at_run_time() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let channel = Channel::with_capacity(handle, 3);
    let mut world = World::new(handle);
    world.spawn(async {
        for n in 0..100 {
            channel.send(n).await.unwrap();
            log.add(channel.len());
        }
        channel.close().unwrap();
    });
    assert_eq!(world.run(), Rest::Stalled);
    assert_eq!(log.take(), [1, 2, 3]);
    world.spawn(async {
        for n in 0..100 {
            assert_eq!(channel.recv().await, Ok(n));
        }
        assert_eq!(channel.recv().await, Err(RecvError::Closed));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert!(log.take().into_iter().all(|len| len <= 3));
}

#[test]
fn a_capacity_that_is_chosen_at_run_time_is_one_at_least() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    for (asked, capacity) in [(0, 1), (1, 1), (7, 7), (usize::MAX, u32::MAX as usize)] {
        let channel = Channel::<u8>::named_with_capacity(handle, "numbers", asked);
        assert_eq!((channel.capacity(), channel.name()), (capacity, "numbers"));
    }
}

#[test]
fn several_on_both_sides_each_in_its_turn() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let channel = Channel::<_, 1>::new(handle);
    let mut world = World::new(handle);
    for task in 0..3 {
        let (channel, log) = (&channel, &log);
        world.spawn(async move {
            for _ in 0..2 {
                let value = channel.recv().await.unwrap();
                log.add((task, value));
            }
        });
    }
    world.run();
    for task in 0..3 {
        let channel = &channel;
        world.spawn(async move {
            for n in 0..2 {
                channel.send(10 * task + n).await.unwrap();
            }
        });
    }
    assert_eq!(world.run(), Rest::Empty);
    let (tasks, values): (Vec<_>, Vec<_>) = log.take().into_iter().unzip();
    assert_eq!(tasks, [0, 1, 2, 0, 1, 2]);
    assert_eq!(
        values,
        [0, 1, 10, 20, 11, 21],
        "the second value of the first task precedes the first values of the others"
    );
}

#[test]
fn nobody_overtakes_who_waits() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let channel = Channel::<_, 1>::new(handle);
    let mut world = World::new(handle);
    world.spawn(async { log.add(channel.recv().await) });
    world.run();
    world.spawn(async {
        channel.try_send(1).unwrap();
        assert_eq!(channel.try_recv(), Ok(None), "the value is granted to the other task");
        assert_eq!(channel.len(), 1);
        assert_eq!(channel.try_send(2), Err(SendError::Full(2)));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(1)]);
}

#[test]
fn what_was_sent_can_be_received_after_closing() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let channel = Channel::<_, 2>::new(handle);
    let mut world = World::new(handle);
    let sender = world.spawn(async {
        channel.send(1).await.unwrap();
        channel.send(2).await.unwrap();
        log.add(channel.send(3).await.map_err(SendError::into_value));
    });
    world.run();
    world.spawn(async {
        channel.close().unwrap();
        assert!(channel.is_closed());
        assert_eq!(channel.send(4).await, Err(SendError::Closed(4)));
        assert_eq!(channel.try_send(5), Err(SendError::Closed(5)));
        assert_eq!(channel.recv().await, Ok(1));
        assert_eq!(channel.try_recv(), Ok(Some(2)));
        assert_eq!(channel.recv().await, Err(RecvError::Closed));
        assert_eq!(channel.try_recv(), Err(RecvError::Closed));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert!(sender.is_over());
    assert_eq!(log.take(), [Err(3)], "a waiting sender gets its value back");
}

#[test]
fn closing_wakes_all_who_receive() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let channel = Channel::<u32, 2>::new(handle);
    let mut world = World::new(handle);
    for _ in 0..3 {
        world.spawn(async { log.add(channel.recv().await) });
    }
    world.run();
    world.spawn(async { channel.close().unwrap() });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(RecvError::Closed); 3]);
}

#[test]
fn who_was_given_room_before_closing_gets_its_value_back_too() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let channel = Channel::<_, 1>::new(handle);
    let mut world = World::new(handle);
    world.spawn(async {
        channel.send(1).await.unwrap();
        log.add(channel.send(2).await);
    });
    world.run();
    world.spawn(async {
        assert_eq!(channel.recv().await, Ok(1));
        channel.close().unwrap();
        assert_eq!(channel.recv().await, Err(RecvError::Closed));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(SendError::Closed(2))]);
}

#[test]
fn nobody_hears_of_the_end_while_a_value_may_be_left_to_it() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let channel = Channel::<_, 1>::new(handle);
    let mut world = World::new(handle);
    // The first task is granted the value in the second turn and drops its future in the third one, before polling it.
    world.spawn(async { select(yields(handle, 2), channel.recv()).await });
    world.spawn(async { log.add(channel.recv().await) });
    world.spawn(async {
        handle.yield_now().await;
        channel.send(1).await.unwrap();
        channel.close().unwrap();
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(1)]);
}

#[test]
fn who_is_cancelled_gets_its_value_back() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let value = Rc::new(());
    let mut world = World::new(handle);
    let task = world.spawn(async {
        let channel = Channel::<_, 1>::new(handle);
        channel.send(value.clone()).await.unwrap();
        let Err(SendError::Wait(WaitError::Cancelled, back)) = channel.send(value.clone()).await else {
            panic!("it is cancelled");
        };
        log.add(Rc::strong_count(&back));
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [3]);
    assert_eq!(Rc::strong_count(&value), 1, "what is in a channel is dropped with it");
}

#[test]
fn a_send_that_is_dropped_has_not_sent() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let channel = Channel::<_, 1>::new(handle);
    let mut world = World::new(handle);
    world.spawn(async {
        channel.send(1).await.unwrap();
        // Capacity becomes free in its last turn.
        select(yields(handle, 2), channel.send(2)).await;
        channel.send(3).await.unwrap();
    });
    world.spawn(async {
        handle.yield_now().await;
        assert_eq!(channel.recv().await, Ok(1));
        assert_eq!(channel.recv().await, Ok(3));
    });
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn one_who_sends_to_itself_lets_the_others_run() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let channel = Channel::<_, 1>::new(handle);
    let mut world = World::new(handle);
    world.spawn(async {
        for n in 0.. {
            channel.send(n).await.unwrap();
            assert_eq!(channel.recv().await, Ok(n));
        }
    });
    world.spawn(async { log.add("other") });
    world.turn();
    assert_eq!(log.take(), ["other"]);
}

#[test]
fn outside_a_task_nothing_is_sent_received_or_closed() {
    let run_context = RunContext::new(&NoWakers);
    let channel = Channel::<_, 1>::new(Handle::new(&run_context));
    assert_eq!(channel.try_send(1), Err(SendError::Wait(WaitError::Elsewhere, 1)));
    assert_eq!(channel.try_recv(), Err(RecvError::Wait(WaitError::Elsewhere)));
    assert_eq!(channel.close(), Err(WaitError::Elsewhere));
    assert!(!channel.is_closed() && channel.is_empty());
}
