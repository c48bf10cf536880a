//! Loops within tasks of the same loop, started from wherever the user's code is called: what the outer step knows is
//! as before when the inner one is over. Run under miri.

use std::cell::Cell;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sinbin_core::group::Group;
use sinbin_core::task::{Async, AsyncHost, Door, JoinHandle, Loop, NoWakers, Pool, Refused, Wakers};
use sinbin_core::{Executor, Fixed, Host, Instant, Rest, TaskId, What};

use crate::support::{Falls, Log, World};

/// A host without any I/O.
struct Idle<'d>(PhantomData<Async<'d>>);

impl<'d> Host for Idle<'d> {
    type Storage = Fixed<8, 0, 0>;
    type Task = Async<'d>;

    no_io!();
}

impl<'d> AsyncHost<'d> for Idle<'d> {}

/// Runs a loop whose task has this door, to its end: the task uses up its budget, waits, is cancelled, and is dropped.
fn nest(on: Loop<'_>) {
    let mut executor = Box::new(Executor::<Idle<'_>>::new(&Fixed));
    let mut spawn = |task| assert!(executor.spawn(task).is_ok());
    // More tasks than the outer loop's first, so that the ids are others.
    for _ in 0..3 {
        spawn(Async::new(on, async {}).0);
    }
    let (task, handle) = Async::new(on, async move {
        let group = Group::<(), ()>::new(on);
        group.spawn(on_and_on(on)).ok().unwrap();
        let lock = sinbin_core::sync::Lock::new(on, 0);
        for _ in 0..50 {
            *lock.lock().await.unwrap() += 1;
        }
        assert_eq!(on.wait_named().await, Err(Refused::Cancelled));
        on.timeout(Duration::from_secs(1), poll_fn(|_| Poll::<()>::Pending)).await.ok();
    });
    spawn(task);
    for turn in 0..8 {
        executor.turn(Instant::ZERO, &mut Idle(PhantomData));
        if turn == 3 || turn == 5 {
            executor.kernel.cancel(handle.task());
        }
    }
    assert!(handle.is_over());
}

async fn on_and_on(on: Loop<'_>) -> Result<(), ()> {
    on.wait_named().await.map_err(drop)
}

/// Where a loop is run, when this is dropped.
struct Nests<'d>(Loop<'d>);

impl Drop for Nests<'_> {
    fn drop(&mut self) {
        nest(self.0);
    }
}

/// Checks that the running task is still known to be `task`, also when freed memory is in use again.
fn knows(on: Loop<'_>, task: TaskId) {
    // Takes the memory that may just have been freed, and overwrites it.
    let other: Vec<_> = (0..64).map(|_| vec![0x41_u8; 150]).collect();
    assert_eq!(on.current(), Ok(task));
    drop(other);
}

#[test]
fn from_the_step_itself() {
    let door = Door::new(&NoWakers);
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let conn = world.connect();
    let source = conn.source();
    let task = world.spawn(async move {
        let me = on.current().unwrap();
        let mut nested = pin!(async {
            nest(on);
            knows(on, me);
            conn.readable().await
        });
        // The waits that were left at the door before are there yet, and those that the inner tasks have left are not.
        let mut hangup = conn.hangup();
        let mut sleep = on.sleep(Duration::from_secs(7));
        poll_fn(|context| {
            assert!(pin!(&mut hangup).poll(context).is_pending());
            assert!(pin!(&mut sleep).poll(context).is_pending());
            nested.as_mut().poll(context).map(drop)
        })
        .await;
    });
    world.turn();
    let view = world.view(task.task());
    let waits: Vec<_> = view.waits.into_iter().flatten().collect();
    assert_eq!(waits, [What::Hangup(source), What::Recv(source)]);
    assert_eq!(view.deadline, Instant::ZERO + Duration::from_secs(7));
    world.peer(source).inbox.push_back(1);
    world.turn();
    world.turn();
    assert!(task.is_over());
}

/// Runs the inner loop within `Door::with`, which has taken the host out.
#[test]
fn from_a_callback_that_takes_what_was_received() {
    let door = Door::new(&NoWakers);
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let conn = world.connect();
    world.peer(conn.source()).inbox.extend(b"ab");
    let task = world.spawn(async move {
        let me = on.current().unwrap();
        assert!(conn.try_recv_with(|bytes| (nest(on), bytes.len()).1).is_ok());
        knows(on, me);
        let taken = conn.recv_with(|bytes| {
            nest(on);
            assert_eq!(on.current(), Err(Refused::Elsewhere), "the host is taken");
            bytes.len()
        });
        let shut = on.timeout(Duration::ZERO, taken).await;
        knows(on, me);
        assert!(shut.is_err(), "all was taken before");
        on.yield_now().await;
        knows(on, me);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert!(task.is_over());
}

/// Runs the inner loop when a future is dropped, a result, a result that nobody takes, and the rest of a group.
#[test]
fn from_a_destructor() {
    let door = Door::new(&NoWakers);
    let on = Loop::new(&door);
    let pool = pin!(Pool::<_, _>::fixed::<2>());
    let pool = pool.as_ref();
    let mut world = World::new(on);
    let waits = async move |nests: Nests<'_>| {
        let _nests = nests;
        on.wait_named().await
    };
    let (pooled, pooled_handle) = pool.put(on, waits(Nests(on))).unwrap();
    let pooled = world.start(pooled.erase());
    let mut task = world.spawn(async move {
        let me = on.current().unwrap();
        drop(Nests(on));
        knows(on, me);
        let result = on.spawn(async move { Nests(on) }).unwrap();
        on.spawn(async move { Nests(on) }).unwrap();
        let group = Group::<Nests<'_>, ()>::new(on);
        group.spawn(async move { Ok(Nests(on)) }).unwrap();
        group
            .spawn(async move {
                let _nests = Nests(on);
                std::future::pending().await
            })
            .unwrap();
        on.yield_now().await;
        on.yield_now().await;
        drop(result);
        knows(on, me);
        drop(group);
        knows(on, me);
        Nests(on)
    });
    world.turn();
    world.turn();
    world.turn();
    world.cancel(pooled);
    assert_eq!(world.run(), Rest::Empty);
    drop(pooled_handle);
    drop(task.take());
    drop(world);
}

thread_local! {
    static INNER: Cell<Option<&'static Door<'static>>> = const { Cell::new(None) };
}

/// Wakers that run a loop of the same door wherever they are made, woken and dropped.
struct Nesting;

struct NestingWaker;

impl Wake for NestingWaker {
    fn wake(self: Arc<Self>) {
        nest_inner();
    }
}

impl Drop for NestingWaker {
    fn drop(&mut self) {
        nest_inner();
    }
}

impl Wakers for Nesting {
    fn waker(&self, _: TaskId) -> Waker {
        nest_inner();
        Waker::from(Arc::new(NestingWaker))
    }
}

fn nest_inner() {
    // Not within itself: the inner loop's tasks have wakers too.
    if let Some(door) = INNER.take() {
        nest(Loop::new(door));
        INNER.set(Some(door));
    }
}

#[test]
fn from_a_waker() {
    let leaked: *mut Door<'static> = Box::into_raw(Box::new(Door::new(&Nesting)));
    // SAFETY: it stays until the end of this test.
    let door: &'static Door<'static> = unsafe { &*leaked };
    let on = Loop::new(door);
    let log = std::rc::Rc::new(Log::new());
    let ended = log.clone();
    let mut world = World::new(on);
    INNER.set(Some(door));
    let mut kept = Vec::new();
    let task = world.spawn(async move {
        let me = on.current().unwrap();
        for _ in 0..3 {
            poll_fn(|context| {
                let waker = context.waker().clone();
                knows(on, me);
                waker.wake_by_ref();
                kept.push(waker);
                // An executor within the task is told that it goes on.
                let part = Waker::from(Arc::new(NestingWaker));
                assert!(pin!(on.yield_now()).poll(&mut Context::from_waker(&part)).is_pending());
                knows(on, me);
                drop(part);
                knows(on, me);
                Poll::Ready(())
            })
            .await;
            on.yield_now().await;
        }
        kept.clear();
        knows(on, me);
        ended.add("end");
    });
    for _ in 0..20 {
        world.turn();
    }
    INNER.set(None);
    assert!(task.is_over());
    assert_eq!(log.take(), ["end"]);
    drop((world, task));
    // SAFETY: the box was leaked above, and all that borrowed from it is gone.
    drop(unsafe { Box::from_raw(leaked) });
}

/// A panic within the inner loop leaves the outer one as it was.
#[test]
fn an_inner_loop_that_panics_is_forgotten() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let conn = world.connect();
    let task = world.spawn(async move {
        let me = on.current().unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut executor = Box::new(Executor::<Idle<'_>>::new(&Fixed));
            let (task, _) = Async::new(on, async { panic!("it is meant to") });
            assert!(executor.spawn(task).is_ok());
            executor.turn(Instant::ZERO, &mut Idle(PhantomData));
        }));
        assert!(caught.is_err());
        knows(on, me);
        log.add("goes on");
        conn.recv(&mut [0]).await.ok();
        log.add("told");
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["goes on", "told"]);
}

/// A panic that the task catches leaves a shield: an operation outside of the shield is still refused.
#[test]
fn a_panic_within_a_shield_does_not_take_the_shield_along() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let task = world.spawn(async move {
        assert!(on.wait_named().await.is_err());
        let mut shielded = Box::pin(on.shield(async { panic!("it is meant to") }));
        poll_fn(|context| {
            let polled =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shielded.as_mut().poll(context)));
            assert!(polled.is_err());
            Poll::Ready(())
        })
        .await;
        log.add(on.wait_named().await);
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(Refused::Cancelled)]);
}

/// A task can be spawned and joined in a destructor, while the future around it is being dropped.
#[test]
fn who_spawns_while_it_is_dropped() {
    struct Spawns<'d>(Loop<'d>, &'d Log<&'static str>, Cell<Option<JoinHandle<'d, ()>>>);
    impl Drop for Spawns<'_> {
        fn drop(&mut self) {
            let (on, log) = (self.0, self.1);
            drop(self.2.take());
            if let Ok(child) = on.spawn(async move { log.add("spawned") }) {
                self.2.set(Some(child));
            }
            log.add("dropped");
        }
    }
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let task = world.spawn(async move {
        let child = on.spawn(async move { drop(Falls(log, "child")) }).unwrap();
        let _spawns = Spawns(on, log, Cell::new(Some(child)));
        std::future::pending::<()>().await;
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["child", "dropped", "spawned"]);
}

/// A connection, lock or task given back within a callback, where the host is borrowed, is given back when the callback
/// is over, by panic too.
#[test]
fn what_is_dropped_in_a_callback_is_not_lost() {
    for way in ["try_recv_with", "recv_with", "panic"] {
        let (door, log) = (Door::new(&NoWakers), &Log::new());
        let on = Loop::new(&door);
        let lock = &sinbin_core::sync::Lock::new(on, 0);
        let mut world = World::new(on);
        let [conn, other, third] = [(); 3].map(|()| world.connect());
        let sources = [&other, &third].map(|conn| conn.source());
        world.peer(conn.source()).inbox.extend(b"ab");
        world.spawn(async move {
            let guard = lock.lock().await.unwrap();
            let job = on.job(|| ());
            let mut job = Box::pin(job);
            assert!(poll_fn(|context| Poll::Ready(job.as_mut().poll(context))).await.is_pending());
            let group = Group::<(), ()>::new(on);
            group
                .spawn(async move {
                    third.recv(&mut [0]).await.ok();
                    Ok(())
                })
                .unwrap();
            let named = on.spawn(on.wait_named()).unwrap();
            on.yield_now().await;
            let drops = move |_: &[u8]| {
                drop((guard, job, group, other));
                on.wake(named.task());
                assert!(way != "panic", "it is meant to");
            };
            match way {
                "recv_with" => conn.recv_with(drops).await.unwrap(),
                "try_recv_with" => conn.try_recv_with(drops).unwrap(),
                _ => {
                    let act = std::panic::AssertUnwindSafe(|| conn.try_recv_with(drops));
                    assert!(std::panic::catch_unwind(act).is_err());
                }
            }
            log.add("done");
        });
        world.spawn(async move {
            lock.lock().await.unwrap();
            log.add("locked");
        });
        world.turn();
        world.turn();
        world.turn();
        world.turn();
        assert_eq!(world.run(), Rest::Empty, "{way}: {}", world.list());
        assert_eq!(log.take(), ["done", "locked"], "{way}");
        assert!(
            sources.iter().all(|source| !world.host.peers.contains_key(source)),
            "{way}: they are closed"
        );
        assert!(world.host.jobs.is_empty(), "{way}: nobody computes it");
    }
}
