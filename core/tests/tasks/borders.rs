use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use sinbin_core::sync::{Channel, Event, RecvError};
use sinbin_core::task::{Bell, Door, Error, Loop, NoWakers, Pool, Refused, Signal, Signals, Why};
use sinbin_core::{Instant, Rest};

use crate::support::{Log, TASKS, World, yields};

/// Polls once, as an executor of its own would.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn outside_a_task_everything_is_elsewhere() {
    let door = Door::new(&NoWakers);
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let conn = world.connect();
    let elsewhere = |result: Poll<Result<usize, Error>>| match result {
        Poll::Ready(Err(Error::Refused(refused))) => Some(refused),
        _ => None,
    };
    for _ in 0..2 {
        assert_eq!(elsewhere(poll_once(pin!(conn.recv(&mut [0])))), Some(Refused::Elsewhere));
        assert_eq!(elsewhere(poll_once(pin!(conn.send(b"x")))), Some(Refused::Elsewhere));
        assert_eq!(poll_once(pin!(conn.readable())), Poll::Ready(Err(Error::Refused(Refused::Elsewhere))));
        assert_eq!(poll_once(pin!(on.wait_named())), Poll::Ready(Err(Refused::Elsewhere)));
        assert_eq!(on.current(), Err(Refused::Elsewhere));
        assert!(on.spawn(async {}).is_err());
        let mut child = world.spawn(std::future::pending::<()>());
        let Poll::Ready(Err(error)) = poll_once(pin!(child.join())) else { panic!("it fails") };
        assert_eq!(error.why, Why::Refused(Refused::Elsewhere));
        assert!(!on.wake(child.task()) && !on.cancel(child.task()) && !child.cancel());
        // The same after a task has run, and has used up its step's budget.
        world.spawn(async move {
            let channel = Channel::<_, 1>::new(on);
            for n in 0..100 {
                channel.send(n).await.unwrap();
                channel.recv().await.unwrap();
            }
        });
        world.turn();
    }
}

/// Also what a task has used before, and what would wait at once as nothing is there.
#[test]
fn a_connection_that_was_read_empty_is_elsewhere_too() {
    let door = Door::new(&NoWakers);
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let conn = world.connect();
    world.peer(conn.source()).inbox.push_back(1);
    let mut task = world.spawn(async move {
        assert_eq!(conn.recv(&mut [0; 2]).await, Ok(1));
        conn
    });
    assert_eq!(world.run(), Rest::Empty);
    let conn = task.take().unwrap();
    let elsewhere = Error::Refused(Refused::Elsewhere);
    assert_eq!(poll_once(pin!(conn.recv(&mut [0; 2]))), Poll::Ready(Err(elsewhere)));
    assert_eq!(poll_once(pin!(conn.hangup())), Poll::Ready(Err(elsewhere)));
    assert_eq!(conn.try_send(b"x"), Err(elsewhere));
}

#[test]
fn what_is_of_another_loop_is_elsewhere() {
    let (door, other_door) = (Door::new(&NoWakers), Door::new(&NoWakers));
    let (on, other) = (Loop::new(&door), Loop::new(&other_door));
    let channel = Channel::<u32, 1>::new(other);
    let (mut world, mut other_world) = (World::new(on), World::new(other));
    let conn = other_world.connect();
    let mut task = other_world.spawn(other.wait_named());
    let mut foreign = world.spawn(async move {
        assert_eq!(conn.recv(&mut [0]).await, Err(Error::Refused(Refused::Elsewhere)));
        assert_eq!(channel.recv().await, Err(RecvError::Refused(Refused::Elsewhere)));
        assert_eq!(other.wait_named().await, Err(Refused::Elsewhere));
        assert_eq!(other.current(), Err(Refused::Elsewhere));
        assert!(other.spawn(async {}).is_err() && !other.wake(task.task()) && !task.cancel());
        assert_eq!(task.join().await.unwrap_err().why, Why::Refused(Refused::Elsewhere));
        "done"
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(other_world.run(), Rest::Stalled);
    world.spawn(async move { assert_eq!(foreign.join().await.unwrap(), "done") });
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn a_loop_within_a_task_of_another() {
    let (door, inner_door) = (Door::new(&NoWakers), Door::new(&NoWakers));
    let (on, inner) = (Loop::new(&door), Loop::new(&inner_door));
    let event = Event::new(on);
    let mut inner_world = World::new(inner);
    inner_world.spawn(async move {
        inner.yield_now().await;
        // The outer loop's door is open, but it is not its task that waits.
        assert_eq!(event.wait().await, Err(Refused::Wrapped));
        assert_eq!(on.wait_named().await, Err(Refused::Wrapped));
        inner.sleep(Duration::from_secs(1)).await;
    });
    let mut world = World::new(on);
    world.spawn(async move {
        on.yield_now().await;
        assert_eq!(inner_world.run(), Rest::Empty);
        on.yield_now().await;
    });
    assert_eq!(world.run(), Rest::Empty);
}

/// An executor within a task: it polls a part only when that part's own waker says so.
struct Parts<F>(Vec<(Running<F>, Arc<Part>)>);

/// None when it has ended.
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
fn a_wait_within_an_executor_of_its_own_is_refused() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let conn = world.connect();
    world.spawn(async move {
        let part = async |n| match n {
            0 => log.add(conn.recv(&mut [0]).await.err()),
            1 => log.add(on.wait_named().await.err().map(Error::from)),
            _ => log.add(Event::new(on).wait().await.err().map(Error::from)),
        };
        Parts::new((0..3).map(part)).run().await;
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Some(Error::Refused(Refused::Wrapped)); 3]);
}

#[test]
fn there_what_need_not_wait_works_and_sleeps_do_and_who_is_out_of_budget_goes_on() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let conn = world.connect();
    world.peer(conn.source()).inbox.extend([0; 100]);
    world.spawn(async move {
        let part = async |n| {
            match n {
                0 => on.sleep(Duration::from_millis(5)).await,
                1 => {
                    for _ in 0..100 {
                        conn.recv(&mut [0]).await.unwrap();
                    }
                }
                _ => {
                    let channel = Channel::<_, 1>::new(on);
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
    let mut done = log.take();
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2]);
}

#[test]
fn beyond_capacity_the_future_is_given_back() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let mut children = Vec::new();
        let refused = loop {
            match on.spawn(yields_and(on, 2)) {
                Ok(child) => children.push(child),
                Err(refused) => break refused,
            }
        };
        log.add(children.len());
        // It can be awaited here as well.
        log.add(refused.0.await);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [TASKS - 1, 2]);
}

async fn yields_and(on: Loop<'_>, times: usize) -> usize {
    yields(on, times).await;
    times
}

#[test]
fn a_full_pool_gives_it_back_and_takes_it_when_there_is_a_place() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let pool = pin!(Pool::<_, _>::fixed::<2>());
    let pool = pool.as_ref();
    let mut world = World::new(on);
    world.spawn(async move {
        let [mut first, second] = [1, 2].map(|times| {
            let (task, handle) = pool.put(on, yields_and(on, times)).unwrap();
            on.start(task.erase()).unwrap();
            handle
        });
        let refused = pool.put(on, yields_and(on, 3)).err().unwrap();
        log.add(first.join().await.unwrap());
        assert!(pool.put(on, yields_and(on, 3)).is_err(), "its result was there, and the handle is");
        drop(first);
        let (task, mut third) = pool.put(on, refused.0).unwrap();
        on.start(task.erase()).unwrap();
        // The handle goes, and the place with the task's end.
        drop(second);
        log.add(third.join().await.unwrap());
        drop(third);
        assert!(pool.put(on, yields_and(on, 3)).is_ok() && pool.put(on, yields_and(on, 3)).is_ok());
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [1, 3]);
}

#[test]
fn a_place_is_used_again_and_again() {
    let (door, count) = (Door::new(&NoWakers), &Cell::new(0));
    let on = Loop::new(&door);
    let pool = pin!(Pool::<_, _>::fixed::<3>());
    let pool = pool.as_ref();
    let child = &async move |n: usize| {
        yields(on, n % 3).await;
        count.set(count.get() + 1);
    };
    let mut world = World::new(on);
    world.spawn(async move {
        for n in 0..100 {
            while pool.put(on, child(n)).map(|(task, _)| on.start(task.erase()).unwrap()).is_err() {
                on.yield_now().await;
            }
        }
    });
    world.run();
    assert_eq!(count.get(), 100);
}

/// What another thread or an interrupt hands to a task: any crate's channel is like this.
#[derive(Default)]
struct Mailbox(Mutex<(Option<u32>, Option<Waker>)>);

impl Mailbox {
    fn put(&self, value: u32) {
        let waker = {
            let mut inside = self.0.lock().unwrap();
            inside.0 = Some(value);
            inside.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    async fn take(&self) -> u32 {
        poll_fn(|context| {
            let mut inside = self.0.lock().unwrap();
            match inside.0.take() {
                Some(value) => Poll::Ready(value),
                None => {
                    inside.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[test]
fn a_thread_wakes_a_task_by_its_signal() {
    static RINGS: AtomicUsize = AtomicUsize::new(0);
    static BELL: Bell = Bell::new(|| _ = RINGS.fetch_add(1, Ordering::SeqCst));
    static SIGNALS: [Signal; TASKS] = [const { Signal::new(&BELL) }; TASKS];

    let wakers = Signals::new(&BELL, &SIGNALS);
    let mailboxes = &[const { Mutex::new((None, None)) }; 2].map(Mailbox);
    let (door, log) = (Door::new(&wakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    for (task, mailbox) in mailboxes.iter().enumerate() {
        world.spawn(async move {
            for _ in 0..3 {
                log.add((task, mailbox.take().await));
            }
        });
    }
    thread::scope(|scope| {
        for value in 0..3 {
            world.run();
            assert_eq!(world.executor.kernel.rest(), Rest::Until(Instant::NEVER), "it is not stalled");
            let rings = RINGS.load(Ordering::SeqCst);
            scope.spawn(move || mailboxes.iter().for_each(|mailbox| mailbox.put(value)));
            while RINGS.load(Ordering::SeqCst) < rings + 2 {
                thread::yield_now();
            }
            wakers.deliver(&mut world.executor.kernel);
        }
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [0, 1, 2].map(|value| [(0, value), (1, value)]).concat());
}

#[test]
fn a_waker_of_a_task_that_is_gone_does_nothing() {
    static BELL: Bell = Bell::new(|| {});
    static SIGNALS: [Signal; TASKS] = [const { Signal::new(&BELL) }; TASKS];

    let wakers = Signals::new(&BELL, &SIGNALS);
    let kept = RefCell::new(None);
    let door = Door::new(&wakers);
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let task = world.spawn(poll_fn(|context| {
        kept.replace(Some(context.waker().clone()));
        Poll::<()>::Pending
    }));
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    kept.take().unwrap().wake();
    wakers.deliver(&mut world.executor.kernel);
    assert_eq!(world.run(), Rest::Empty);
    // Nor does it wake the next in its place.
    world.spawn(on.wait_named());
    world.run();
    assert_eq!(world.run(), Rest::Stalled);
}

/// A program that learns how many tasks there are when it starts makes its signals then.
#[test]
fn signals_can_be_made_at_any_time() {
    static RINGS: AtomicUsize = AtomicUsize::new(0);
    static BELL: OnceLock<Bell> = OnceLock::new();
    static SIGNALS: OnceLock<Vec<Signal>> = OnceLock::new();

    let bell = BELL.get_or_init(|| Bell::new(|| _ = RINGS.fetch_add(1, Ordering::SeqCst)));
    let signals = SIGNALS.get_or_init(|| (0..TASKS).map(|_| Signal::new(bell)).collect());
    let wakers = Signals::new(bell, signals);
    let mailbox = Mailbox::default();
    let door = Door::new(&wakers);
    let mut world = World::new(Loop::new(&door));
    let mut task = world.spawn(mailbox.take());
    assert_eq!(world.run(), Rest::Until(Instant::NEVER));
    wakers.deliver(&mut world.executor.kernel);
    assert_eq!(world.run(), Rest::Until(Instant::NEVER), "nobody has rung");
    mailbox.put(7);
    assert_eq!(RINGS.load(Ordering::SeqCst), 1);
    wakers.deliver(&mut world.executor.kernel);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(7));
}

/// Such a task would never be woken, which is better known early.
#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "a task has a signal")]
fn a_task_without_a_signal_stops_a_debug_build() {
    static BELL: Bell = Bell::new(|| {});
    let wakers = Signals::new(&BELL, &[]);
    let mailbox = Mailbox::default();
    let door = Door::new(&wakers);
    let mut world = World::new(Loop::new(&door));
    world.spawn(mailbox.take());
    world.run();
}

#[test]
fn who_wakes_itself_runs_again() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let mut polls = 0;
    world.spawn(poll_fn(move |context| {
        polls += 1;
        log.add(polls);
        context.waker().wake_by_ref();
        if polls < 3 { Poll::Pending } else { Poll::Ready(()) }
    }));
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [1, 2, 3]);
}

/// On the heap as elsewhere, places are used again, and there are so many and no more.
#[test]
fn a_pool_that_grows_has_a_limit() {
    let door = Door::new(&NoWakers);
    let on = Loop::new(&door);
    let pool = pin!(Pool::<_, _>::growing(20));
    let pool = pool.as_ref();
    let mut world = World::new(on);
    for _ in 0..2 {
        for _ in 0..20 {
            let (task, handle) = pool.put(on, on.yield_now()).unwrap();
            world.start(task.erase());
            assert!(!handle.is_over());
        }
        assert!(pool.put(on, on.yield_now()).is_err());
        assert_eq!(world.run(), Rest::Empty);
    }
}
