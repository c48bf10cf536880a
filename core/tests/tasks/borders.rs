use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sinbin_core::Rest;
use sinbin_core::sync::{Channel, Event, Lock, RecvError};
use sinbin_core::task::{
    Either, Error, Handle, JoinErrorKind, NoWakers, RunContext, WaitError, join, race, select,
};
use sinbin_testkit::memory_host::{Log, World};

/// Polls the future once with a waker that the loop does not know, as an executor within a task would.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn outside_a_task_everything_is_elsewhere() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let elsewhere = |result: Poll<Result<usize, Error>>| match result {
        Poll::Ready(Err(Error::Wait(refused))) => Some(refused),
        _ => None,
    };
    for _ in 0..2 {
        assert_eq!(elsewhere(poll_once(pin!(conn.recv(&mut [0])))), Some(WaitError::Elsewhere));
        assert_eq!(elsewhere(poll_once(pin!(conn.send(b"x")))), Some(WaitError::Elsewhere));
        assert_eq!(poll_once(pin!(conn.readable())), Poll::Ready(Err(Error::Wait(WaitError::Elsewhere))));
        assert_eq!(poll_once(pin!(handle.wait_named())), Poll::Ready(Err(WaitError::Elsewhere)));
        assert_eq!(handle.current(), Err(WaitError::Elsewhere));
        assert!(handle.spawn(async {}).is_err());
        let mut child = world.spawn(std::future::pending::<()>());
        let Poll::Ready(Err(error)) = poll_once(pin!(child.join())) else { panic!("it fails") };
        assert_eq!(error.why, JoinErrorKind::Wait(WaitError::Elsewhere));
        assert!(!handle.wake(child.task()) && !handle.cancel(child.task()) && !child.cancel());
        // Operations fail in this way also after a task has used up the budget of its step.
        world.spawn(async move {
            let channel = Channel::<_, 1>::new(handle);
            for n in 0..100 {
                channel.send(n).await.unwrap();
                channel.recv().await.unwrap();
            }
        });
        world.turn();
    }
}

/// A used connection also refuses operations outside of a task. An operation that would have to wait is refused instead
/// of left pending.
#[test]
fn a_connection_that_was_read_empty_is_elsewhere_too() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    world.peer(conn.source()).inbox.push_back(1);
    let mut task = world.spawn(async move {
        assert_eq!(conn.recv(&mut [0; 2]).await, Ok(1));
        conn
    });
    assert_eq!(world.run(), Rest::Empty);
    let conn = task.take().unwrap();
    let elsewhere = Error::Wait(WaitError::Elsewhere);
    assert_eq!(poll_once(pin!(conn.recv(&mut [0; 2]))), Poll::Ready(Err(elsewhere)));
    assert_eq!(poll_once(pin!(conn.hangup())), Poll::Ready(Err(elsewhere)));
    assert_eq!(conn.try_send(b"x"), Err(elsewhere));
}

#[test]
fn what_is_of_another_loop_is_elsewhere() {
    let (run_context, other_door) = (RunContext::new(&NoWakers), RunContext::new(&NoWakers));
    let (handle, other) = (Handle::new(&run_context), Handle::new(&other_door));
    let channel = Channel::<u32, 1>::new(other);
    let (mut world, mut other_world) = (World::new(handle), World::new(other));
    let conn = other_world.connect();
    let mut task = other_world.spawn(other.wait_named());
    let mut foreign = world.spawn(async move {
        assert_eq!(conn.recv(&mut [0]).await, Err(Error::Wait(WaitError::Elsewhere)));
        assert_eq!(channel.recv().await, Err(RecvError::Wait(WaitError::Elsewhere)));
        assert_eq!(other.wait_named().await, Err(WaitError::Elsewhere));
        assert_eq!(other.current(), Err(WaitError::Elsewhere));
        assert!(other.spawn(async {}).is_err() && !other.wake(task.task()) && !task.cancel());
        assert_eq!(task.join().await.unwrap_err().why, JoinErrorKind::Wait(WaitError::Elsewhere));
        "done"
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(other_world.run(), Rest::Stalled);
    world.spawn(async move { assert_eq!(foreign.join().await.unwrap(), "done") });
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn a_loop_within_a_task_of_another() {
    let (run_context, inner_door) = (RunContext::new(&NoWakers), RunContext::new(&NoWakers));
    let (handle, inner) = (Handle::new(&run_context), Handle::new(&inner_door));
    let event = Event::new(handle);
    let mut inner_world = World::new(inner);
    inner_world.spawn(async move {
        inner.yield_now().await;
        // The outer loop's run context is open, but its running task is not the one that waits.
        assert_eq!(handle.stopping().await, Err(WaitError::Wrapped));
        let late = select(event.wait(), inner.sleep(Duration::from_secs(1))).await;
        assert_eq!(late, Either::Second(()));
    });
    let mut world = World::new(handle);
    world.spawn(async move {
        handle.yield_now().await;
        assert_eq!(inner_world.run(), Rest::Empty);
        handle.yield_now().await;
    });
    assert_eq!(world.run(), Rest::Empty);
}

/// An executor within a task. Each part is polled only after its own waker was woken.
struct Parts<F>(Vec<(Running<F>, Arc<Part>)>);

/// The future of a part, or none after it has completed.
type Running<F> = Option<Pin<Box<F>>>;

struct Part {
    is_woken: Mutex<bool>,
    of: Mutex<Option<Waker>>,
}

impl Wake for Part {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock().unwrap() = true;
        self.of.lock().unwrap().iter().for_each(Waker::wake_by_ref);
    }
}

impl<F: Future<Output = ()>> Parts<F> {
    fn new(parts: impl IntoIterator<Item = F>) -> Self {
        let part = || Arc::new(Part { is_woken: Mutex::new(true), of: Mutex::new(None) });
        Self(parts.into_iter().map(|future| (Some(Box::pin(future)), part())).collect())
    }

    async fn run(mut self) {
        poll_fn(|context| {
            for (place, part) in &mut self.0 {
                *part.of.lock().unwrap() = Some(context.waker().clone());
                if !std::mem::replace(&mut *part.is_woken.lock().unwrap(), false) {
                    continue;
                }
                let waker = Waker::from(part.clone());
                if let Some(future) = place
                    && future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
                {
                    *place = None;
                }
            }
            if self.0.iter().all(|(place, _)| place.is_none()) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[test]
fn a_wait_for_the_end_of_the_loop_within_an_executor_of_its_own_is_refused() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        Parts::new([async { log.add(handle.stopping().await) }]).run().await;
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(WaitError::Wrapped)]);
}

/// Parts wait for an event, a lock, a channel, the end of a task and a wake by name, each in its turn.
#[test]
fn waits_by_name_work_within_an_executor_of_their_own() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let (event, lock, channel) = (Event::new(handle), Lock::new(handle, 0), Channel::<u32, 1>::new(handle));
    let (event, lock, channel, waiting) = (&event, &lock, &channel, &Cell::new(None));
    let mut world = World::new(handle);
    world.spawn(async move {
        let held = lock.lock().await.unwrap();
        handle.sleep(Duration::from_secs(1)).await;
        channel.send(7).await.unwrap();
        handle.sleep(Duration::from_secs(1)).await;
        drop(held);
        handle.sleep(Duration::from_secs(1)).await;
        event.set().unwrap();
        handle.sleep(Duration::from_secs(2)).await;
        handle.wake(waiting.get().unwrap());
    });
    world.spawn(async move {
        waiting.set(handle.current().ok());
        let mut child = handle.spawn(handle.sleep(Duration::from_secs(4))).unwrap();
        let mut parts: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = vec![
            Box::pin(async { event.wait().await.unwrap() }),
            Box::pin(async { *lock.lock().await.unwrap() += 1 }),
            Box::pin(async { assert_eq!(channel.recv().await, Ok(7)) }),
            Box::pin(async { child.join().await.unwrap() }),
            Box::pin(async { handle.wait_named().await.unwrap() }),
        ];
        for (n, part) in parts.iter_mut().enumerate() {
            let plain = std::mem::replace(part, Box::pin(async {}));
            *part = Box::pin(async move {
                plain.await;
                log.add(n);
            });
        }
        Parts::new(parts).run().await;
    });
    assert_eq!(world.run(), Rest::Empty);
    let mut ends = log.take();
    // Any wake by name ends a wait for one.
    ends.retain(|n| *n != 4);
    assert_eq!(ends, [2, 1, 0, 3]);
}

/// More parts wait than the wakers that are kept without a check, and most parts are dropped again and again.
#[test]
fn many_parts_wait_by_name_and_those_that_are_dropped_are_forgotten() {
    const MANY: usize = if cfg!(miri) { 40 } else { 100 };
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let event = Event::new(handle);
    let event = &event;
    let mut world = World::new(handle);
    world.spawn(async move {
        let stay = async {
            let parts = (0..MANY).map(async |n| {
                event.wait().await.unwrap();
                log.add(n);
            });
            Parts::new(parts).run().await;
        };
        let come_and_go = async {
            for _ in 0..if cfg!(miri) { 40 } else { 1000 } {
                let parts = Parts::new([async { event.wait().await.unwrap() }]);
                race(parts.run(), handle.sleep(Duration::from_secs(1))).await;
            }
            event.set().unwrap();
        };
        join(stay, come_and_go).await;
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take().len(), MANY);
}

#[test]
fn there_what_need_not_wait_works_and_sleeps_do_and_who_is_out_of_budget_goes_on() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    world.peer(conn.source()).inbox.extend([0; 100]);
    world.spawn(async move {
        let part = async |n| {
            match n {
                0 => handle.sleep(Duration::from_millis(5)).await,
                1 => {
                    for _ in 0..100 {
                        conn.recv(&mut [0]).await.unwrap();
                    }
                }
                _ => {
                    let channel = Channel::<_, 1>::new(handle);
                    for n in 0..100 {
                        channel.send(n).await.unwrap();
                        channel.recv().await.unwrap();
                    }
                }
            }
            log.add(n);
        };
        Parts::new((0..3).map(part)).run().await;
    });
    for _ in 0..50 {
        world.turn();
    }
    world.now = world.now + Duration::from_millis(5);
    world.turn();
    world.turn();
    let mut done = log.take();
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2]);
}

/// Sleeps and timeouts within a nested executor wake the task only when they are due, and none is missed.
#[test]
fn moments_are_waited_for_within_an_executor_of_its_own() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let ms = Duration::from_millis;
    world.spawn(async move {
        let part = async |n: u64| {
            match n {
                0 => {
                    handle.sleep(ms(20)).await;
                    handle.sleep(ms(30)).await;
                }
                1 => assert!(handle.timeout(ms(30), std::future::pending::<()>()).await.is_err()),
                2 => {
                    let mut every = handle.every(ms(20));
                    every.tick().await;
                    every.tick().await;
                }
                // The earlier deadline takes effect, and the later one is dropped.
                3 => drop(handle.timeout(ms(9000), handle.sleep(ms(10))).await),
                _ => drop(handle.timeout(ms(5), handle.sleep(ms(9000))).await),
            }
            log.add((n, handle.now()));
        };
        let beside = async {
            handle.sleep(ms(15)).await;
            log.add((9, handle.now()));
        };
        join(Parts::new((0..5).map(part)).run(), beside).await;
        // A later sleep shows that the dropped sleeps and timeouts have left no timer behind.
        handle.sleep(ms(1)).await;
    });
    let mut steps = 0;
    let mut turns = 0;
    while world.executor.kernel.rest() != Rest::Empty {
        if let Rest::Until(deadline) = world.executor.kernel.rest() {
            world.now = deadline;
        }
        steps += world.turn();
        turns += 1;
        assert!(turns < 100);
    }
    let at = |millis| sinbin_core::Instant::ZERO + ms(millis);
    let expected = [(4, 5), (3, 10), (9, 15), (1, 30), (2, 40), (0, 50)].map(|(n, millis)| (n, at(millis)));
    assert_eq!(log.take(), expected);
    assert!(steps <= 20, "{steps} steps: the task must not spin");
    assert_eq!(world.now, at(51));
}

/// A dropped sleep has no timer any more. A sleep that the task polls with its own waker from some time on behaves like
/// any other sleep.
#[test]
fn a_moment_can_change_hands() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let ms = Duration::from_millis;
    struct Counts(Mutex<u32>);
    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let counts = Arc::new(Counts(Mutex::new(0)));
    let count = counts.clone();
    world.spawn(async move {
        let waker = Waker::from(counts.clone());
        let other = Waker::from(Arc::new(Counts(Mutex::new(0))));
        let mut sleep = handle.sleep(ms(10));
        let mut dropped = Box::pin(handle.sleep(ms(5)));
        for waker in [&other, &waker, &waker] {
            assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(waker)).is_pending());
            assert!(dropped.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
        drop(dropped);
        assert_eq!(Arc::strong_count(&counts), 4, "the dropped sleep releases its waker");
        drop(waker);
        handle.sleep(ms(20)).await;
        log.add(*counts.0.lock().unwrap());
        // From now on the task itself polls the sleep.
        let mut sleep = handle.sleep(ms(10));
        let waker = Waker::from(counts.clone());
        assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
        (&mut sleep).await;
        log.add(*counts.0.lock().unwrap());
        // The pending sleep moves to another task.
        let mut sleep = handle.sleep(ms(10));
        assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
        handle
            .spawn(async move {
                sleep.await;
                log.add(7);
            })
            .unwrap();
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [1, 1, 7]);
    assert_eq!(Arc::strong_count(&count), 1, "all wakers are dropped");
    assert_eq!(world.now, sinbin_core::Instant::ZERO + ms(40));
}
