//! Loops within tasks of the same loop, started from every place that calls the user's code. The state of the outer
//! step is unchanged after the inner loop has ended. These tests are also run under miri.

use std::cell::Cell;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sinbin_core::group::Group;
use sinbin_core::task::{
    Async, AsyncHost, Handle, JoinHandle, NoWakers, Pool, RunContext, WaitError, Wakers,
};
use sinbin_core::{Executor, Fixed, Host, Instant, Rest, TaskId, WaitTarget};
use sinbin_testkit::memory_host::{Falls, Log, World};
use sinbin_testkit::no_io;

/// A host without I/O.
struct Idle<'d>(PhantomData<Async<'d>>);

impl<'d> Host for Idle<'d> {
    type Storage = Fixed<8, 0, 0>;
    type Task = Async<'d>;

    no_io!();
}

impl<'d> AsyncHost<'d> for Idle<'d> {}

/// Runs a loop to its end whose task uses this run context. The task uses up its budget, waits, is cancelled, and is
/// dropped.
fn nest(handle: Handle<'_>) {
    let mut executor = Box::new(Executor::<Idle<'_>>::new(&Fixed));
    let mut spawn = |task| assert!(executor.spawn(task).is_ok());
    // Spawns other tasks first, so that the ids differ from those of the outer loop.
    for _ in 0..3 {
        spawn(Async::new(handle, async {}).0);
    }
    let (task, join_handle) = Async::new(handle, async move {
        let group = Group::<(), ()>::new(handle);
        group.spawn(on_and_on(handle)).ok().unwrap();
        let lock = sinbin_core::sync::Lock::new(handle, 0);
        for _ in 0..50 {
            *lock.lock().await.unwrap() += 1;
        }
        assert_eq!(handle.wait_named().await, Err(WaitError::Cancelled));
        handle.timeout(Duration::from_secs(1), poll_fn(|_| Poll::<()>::Pending)).await.ok();
    });
    spawn(task);
    for turn in 0..8 {
        executor.turn(Instant::ZERO, &mut Idle(PhantomData));
        if turn == 3 || turn == 5 {
            executor.kernel.cancel(join_handle.task());
        }
    }
    assert!(join_handle.is_over());
}

async fn on_and_on(handle: Handle<'_>) -> Result<(), ()> {
    handle.wait_named().await.map_err(drop)
}

/// Runs a nested loop when it is dropped.
struct Nests<'d>(Handle<'d>);

impl Drop for Nests<'_> {
    fn drop(&mut self) {
        nest(self.0);
    }
}

/// Checks that the running task is still `task`, also after freed memory has been reused.
fn knows(handle: Handle<'_>, task: TaskId) {
    // Reuses and overwrites the memory that may just have been freed.
    let other: Vec<_> = (0..64).map(|_| vec![0x41_u8; 150]).collect();
    assert_eq!(handle.current(), Ok(task));
    drop(other);
}

#[test]
fn from_the_step_itself() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let task = world.spawn(async move {
        let me = handle.current().unwrap();
        let mut nested = pin!(async {
            nest(handle);
            knows(handle, me);
            conn.readable().await
        });
        // The waits registered in the run context before the nested loop remain, and none of the inner tasks' waits is
        // added.
        let mut hangup = conn.hangup();
        let mut sleep = handle.sleep(Duration::from_secs(7));
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
    assert_eq!(waits, [WaitTarget::Hangup(source), WaitTarget::Recv(source)]);
    assert_eq!(view.deadline, Instant::ZERO + Duration::from_secs(7));
    world.peer(source).inbox.push_back(1);
    world.turn();
    world.turn();
    assert!(task.is_over());
}

/// Runs the inner loop within `RunContext::with`, which has borrowed the host.
#[test]
fn from_a_callback_that_takes_what_was_received() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    world.peer(conn.source()).inbox.extend(b"ab");
    let task = world.spawn(async move {
        let me = handle.current().unwrap();
        assert!(conn.try_recv_with(|bytes| (nest(handle), bytes.len()).1).is_ok());
        knows(handle, me);
        let taken = conn.recv_with(|bytes| {
            nest(handle);
            assert_eq!(handle.current(), Err(WaitError::Elsewhere), "the callback borrows the host");
            bytes.len()
        });
        let shut = handle.timeout(Duration::ZERO, taken).await;
        knows(handle, me);
        assert!(shut.is_err(), "all bytes were received before");
        handle.yield_now().await;
        knows(handle, me);
    });
    assert_eq!(world.run(), Rest::Empty);
    assert!(task.is_over());
}

/// Runs the inner loop while these are dropped: a future, a result, a result without a receiver, and the rest of a
/// group.
#[test]
fn from_a_destructor() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::<_, _>::fixed::<2>());
    let pool = pool.as_ref();
    let mut world = World::new(handle);
    let waits = async move |nests: Nests<'_>| {
        let _nests = nests;
        handle.wait_named().await
    };
    let (pooled, pooled_handle) = pool.put(handle, waits(Nests(handle))).unwrap();
    let pooled = world.start(pooled.erase());
    let mut task = world.spawn(async move {
        let me = handle.current().unwrap();
        drop(Nests(handle));
        knows(handle, me);
        let result = handle.spawn(async move { Nests(handle) }).unwrap();
        handle.spawn(async move { Nests(handle) }).unwrap();
        let group = Group::<Nests<'_>, ()>::new(handle);
        group.spawn(async move { Ok(Nests(handle)) }).unwrap();
        group
            .spawn(async move {
                let _nests = Nests(handle);
                std::future::pending().await
            })
            .unwrap();
        handle.yield_now().await;
        handle.yield_now().await;
        drop(result);
        knows(handle, me);
        drop(group);
        knows(handle, me);
        Nests(handle)
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
    static INNER: Cell<Option<&'static RunContext<'static>>> = const { Cell::new(None) };
}

/// Wakers that run a loop with the same run context when they are created, woken and dropped.
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
    // Must not recurse: the tasks of the inner loop have such wakers too.
    if let Some(run_context) = INNER.take() {
        nest(Handle::new(run_context));
        INNER.set(Some(run_context));
    }
}

#[test]
fn from_a_waker() {
    let leaked: *mut RunContext<'static> = Box::into_raw(Box::new(RunContext::new(&Nesting)));
    // SAFETY: the box is freed only at the end of this test.
    let run_context: &'static RunContext<'static> = unsafe { &*leaked };
    let handle = Handle::new(run_context);
    let log = std::rc::Rc::new(Log::new());
    let ended = log.clone();
    let mut world = World::new(handle);
    INNER.set(Some(run_context));
    let mut kept = Vec::new();
    let task = world.spawn(async move {
        let me = handle.current().unwrap();
        for _ in 0..3 {
            poll_fn(|context| {
                let waker = context.waker().clone();
                knows(handle, me);
                waker.wake_by_ref();
                kept.push(waker);
                // A yield wakes the waker of an executor within the task.
                let part = Waker::from(Arc::new(NestingWaker));
                assert!(pin!(handle.yield_now()).poll(&mut Context::from_waker(&part)).is_pending());
                knows(handle, me);
                drop(part);
                knows(handle, me);
                Poll::Ready(())
            })
            .await;
            handle.yield_now().await;
        }
        kept.clear();
        knows(handle, me);
        ended.add("end");
    });
    for _ in 0..20 {
        world.turn();
    }
    INNER.set(None);
    assert!(task.is_over());
    assert_eq!(log.take(), ["end"]);
    drop((world, task));
    // SAFETY: the box was leaked above, and everything that borrowed from it has been dropped.
    drop(unsafe { Box::from_raw(leaked) });
}

/// A panic within the inner loop does not change the state of the outer one.
#[test]
fn an_inner_loop_that_panics_is_forgotten() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let task = world.spawn(async move {
        let me = handle.current().unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut executor = Box::new(Executor::<Idle<'_>>::new(&Fixed));
            let (task, _) = Async::new(handle, async { panic!("it is meant to") });
            assert!(executor.spawn(task).is_ok());
            executor.turn(Instant::ZERO, &mut Idle(PhantomData));
        }));
        assert!(caught.is_err());
        knows(handle, me);
        log.add("goes on");
        conn.recv(&mut [0]).await.ok();
        log.add("told");
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["goes on", "told"]);
}

/// A panic out of a shielded future ends the shield: the next operation outside of it is refused.
#[test]
fn a_panic_within_a_shield_does_not_take_the_shield_along() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let task = world.spawn(async move {
        assert!(handle.wait_named().await.is_err());
        let mut shielded = Box::pin(handle.shield(async { panic!("it is meant to") }));
        poll_fn(|context| {
            let polled =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shielded.as_mut().poll(context)));
            assert!(polled.is_err());
            Poll::Ready(())
        })
        .await;
        log.add(handle.wait_named().await);
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(WaitError::Cancelled)]);
}

/// A task can be spawned in a destructor, and a handle dropped, while the future around it is being dropped.
#[test]
fn who_spawns_while_it_is_dropped() {
    struct Spawns<'d>(Handle<'d>, &'d Log<&'static str>, Cell<Option<JoinHandle<'d, ()>>>);
    impl Drop for Spawns<'_> {
        fn drop(&mut self) {
            let (handle, log) = (self.0, self.1);
            drop(self.2.take());
            if let Ok(child) = handle.spawn(async move { log.add("spawned") }) {
                self.2.set(Some(child));
            }
            log.add("dropped");
        }
    }
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let task = world.spawn(async move {
        let child = handle.spawn(async move { drop(Falls(log, "child")) }).unwrap();
        let _spawns = Spawns(handle, log, Cell::new(Some(child)));
        std::future::pending::<()>().await;
    });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["child", "dropped", "spawned"]);
}

/// Connections, locks and tasks that are dropped within a callback, which borrows the host, are released when the
/// callback ends, also if it ends by a panic.
#[test]
fn what_is_dropped_in_a_callback_is_not_lost() {
    for way in ["try_recv_with", "recv_with", "panic"] {
        let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
        let handle = Handle::new(&run_context);
        let lock = &sinbin_core::sync::Lock::new(handle, 0);
        let mut world = World::new(handle);
        let [conn, other, third] = [(); 3].map(|()| world.connect());
        let sources = [&other, &third].map(|conn| conn.source());
        world.peer(conn.source()).inbox.extend(b"ab");
        world.spawn(async move {
            let guard = lock.lock().await.unwrap();
            let job = handle.job(|| ());
            let mut job = Box::pin(job);
            assert!(poll_fn(|context| Poll::Ready(job.as_mut().poll(context))).await.is_pending());
            let group = Group::<(), ()>::new(handle);
            group
                .spawn(async move {
                    third.recv(&mut [0]).await.ok();
                    Ok(())
                })
                .unwrap();
            let named = handle.spawn(handle.wait_named()).unwrap();
            handle.yield_now().await;
            let drops = move |_: &[u8]| {
                drop((guard, job, group, other));
                handle.wake(named.task());
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
        assert!(sources.iter().all(|source| !world.host.peers.contains_key(source)), "{way}: all are closed");
        assert!(world.host.jobs.is_empty(), "{way}: no job is left");
    }
}
