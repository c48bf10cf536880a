//! Loops within loops: whatever calls the user's code, that code may run another loop of the same door, spawn, cancel,
//! wake, and drop what it has.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sinbin_core::group::Group;
use sinbin_core::sync::{Lock, Semaphore};
use sinbin_core::task::{Conn, Door, JoinHandle, Loop, Wakers, race};
use sinbin_core::{Rest, TaskId};

use crate::support::{TASKS, World};

/// How many loops run within each other at most.
const DEPTH: usize = 3;

/// How many inner loops a run has at most, so that it stays short.
const LOOPS: usize = 24;

thread_local! {
    /// The choices that are left. Callbacks of the user's have no argument that could bring them.
    static CHOICES: RefCell<VecDeque<u8>> = const { RefCell::new(VecDeque::new()) };
    /// Wakers that outlive the task which they wake, perhaps.
    static WAKERS: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
    /// Values that run the user's code when they are dropped, and are not dropped yet.
    static ALIVE: Cell<usize> = const { Cell::new(0) };
    static NESTED: Cell<usize> = const { Cell::new(0) };
    static STARTED: Cell<usize> = const { Cell::new(0) };
}

/// The user's code is called from everywhere that a loop calls any: steps of tasks, destructors of futures, results and
/// jobs, callbacks that see received bytes, and wakers. Each time it may run a loop of the same door to the end, spawn,
/// cancel, wake or drop. The running task is the same before and after, every kernel passes its audit, and all values
/// are dropped once. A sanitizer or miri tells the rest.
///
/// # Panics
///
/// If that is not so.
pub fn nesting(bytes: &[u8]) {
    CHOICES.set(bytes.iter().copied().collect());
    STARTED.set(0);
    let door = Door::new(&Deeds);
    run(Loop::new(&door));
    WAKERS.take();
    assert_eq!(ALIVE.get(), 0, "values that nothing has dropped");
}

/// Returns one of so many choices: the first, where they are over.
fn choose(choices: u8) -> u8 {
    CHOICES.with_borrow_mut(VecDeque::pop_front).unwrap_or(0) % choices
}

/// Runs a loop with a few tasks for some turns, cancels what is left, and drops it with what does not end.
fn run(on: Loop<'_>) {
    let mut world = World::new(on);
    let mut handles: Vec<_> = (0..=choose(4)).filter_map(|_| start(&mut world, on)).collect();
    for _ in 0..4 + choose(12) {
        step(&mut world);
        match choose(8) {
            1 => drop(handles.pop()),
            2 => cancel(&mut world, handles.first()),
            3 => drop(handles.iter_mut().find_map(JoinHandle::take)),
            4 => handles.extend(start(&mut world, on)),
            _ => {}
        }
    }
    if choose(4) > 0 {
        world.executor.kernel.cancel_all();
        (0..8).for_each(|_| step(&mut world));
    }
    if choose(2) == 0 {
        handles.clear();
    }
    drop(world);
}

/// Runs a turn, a slice of each job, and time if all wait for it.
fn step(world: &mut World<'_>) {
    world.turn();
    world.compute();
    if let Rest::Until(deadline) = world.executor.kernel.rest()
        && deadline < sinbin_core::Instant::NEVER
    {
        world.now = world.now.max(deadline);
    }
}

fn cancel<T>(world: &mut World<'_>, handle: Option<&JoinHandle<'_, T>>) {
    if let Some(handle) = handle {
        world.cancel(handle.task());
    }
}

/// Starts a task with a connection, if there is room for both.
fn start<'d>(world: &mut World<'d>, on: Loop<'d>) -> Option<JoinHandle<'d, Acts<'d>>> {
    let has_room = world.executor.kernel.count() < TASKS && world.host.peers.len() < 8;
    has_room.then(|| {
        let conn = world.connect();
        world.peer(conn.source()).inbox.extend(b"received");
        world.spawn(live(on, conn))
    })
}

/// The user's code, wherever it is called.
fn act(on: Loop<'_>) {
    let running = on.current();
    match choose(12) {
        1 => nest(on),
        2 => drop(on.spawn(linger(on))),
        3 => cancel_itself(running.ok(), on),
        4 => wake_all(),
        5 => WAKERS.with_borrow_mut(Vec::pop).into_iter().for_each(Waker::wake),
        6 => drop(WAKERS.take()),
        7 => drop(Acts::new(on)),
        8 => poll_once(linger(on)),
        9 => grouped(on),
        10 => poll_once(on.sleep(Duration::from_millis(choose(4).into()))),
        _ => {}
    }
    assert_eq!(on.current(), running, "the task that runs is the one that ran before");
}

fn nest(on: Loop<'_>) {
    if NESTED.get() < DEPTH && STARTED.get() < LOOPS {
        NESTED.set(NESTED.get() + 1);
        STARTED.set(STARTED.get() + 1);
        run(on);
        NESTED.set(NESTED.get() - 1);
    }
}

fn cancel_itself(task: Option<TaskId>, on: Loop<'_>) {
    if let Some(task) = task {
        on.cancel(task);
    }
}

/// Wakes by every waker that is kept, and keeps it.
fn wake_all() {
    let kept = WAKERS.take();
    kept.iter().for_each(Waker::wake_by_ref);
    WAKERS.with_borrow_mut(|wakers| wakers.extend(kept));
}

/// Fills a group, and drops it.
fn grouped(on: Loop<'_>) {
    let group = Group::<Acts<'_>, ()>::new(on);
    for _ in 0..choose(3) {
        drop(group.spawn(async move { Ok(linger(on).await) }));
    }
    if choose(2) == 1 {
        group.cancel();
    }
}

/// Polls a future with a waker of no task, and drops it.
fn poll_once(future: impl Future) {
    let waker = Waker::from(Arc::new(Woken));
    let _ = pin!(future).poll(&mut Context::from_waker(&waker));
}

/// A value whose destructor is the user's code.
struct Acts<'d>(Loop<'d>);

impl<'d> Acts<'d> {
    fn new(on: Loop<'d>) -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self(on)
    }
}

impl Drop for Acts<'_> {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
        act(self.0);
    }
}

/// Makes wakers whose clones and ends are the user's code.
struct Deeds;

impl Wakers for Deeds {
    fn waker(&self, _: TaskId) -> Waker {
        within();
        Waker::from(Arc::new(Woken))
    }
}

struct Woken;

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        within();
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        within();
    }
}

/// The user's code where it has no loop at hand: it makes one of its own.
fn within() {
    if choose(16) == 1 {
        let door = Door::new(&Deeds);
        nest(Loop::new(&door));
    }
}

/// A task that waits for a while, and holds a value in the meantime.
async fn linger(on: Loop<'_>) -> Acts<'_> {
    let acts = Acts::new(on);
    match choose(4) {
        0 => on.yield_now().await,
        1 => on.sleep(Duration::from_millis(1)).await,
        2 => drop(on.wait_named().await),
        _ => pending().await,
    }
    acts
}

/// A task that does a few things with a connection, a lock, jobs and others' tasks.
async fn live<'d>(on: Loop<'d>, conn: Conn<'d>) -> Acts<'d> {
    let acts = Acts::new(on);
    let lock = Lock::new(on, Acts::new(on));
    let permits = Semaphore::new(on, 1);
    for _ in 0..=choose(8) {
        match choose(14) {
            0 => act(on),
            1 => drop(conn.try_recv_with(|_| act(on))),
            2 => drop(on.timeout(Duration::from_millis(1), conn.recv_with(|_| act(on))).await),
            3 => keep_a_waker().await,
            4 => drop(on.shield(linger(on)).await),
            5 => drop(race(linger(on), linger(on)).await),
            6 => drop(on.job(computed()).await),
            7 => poll_once(on.job(computed())),
            8 => held(&lock, on).await,
            9 => drop(permits.acquire(1).await.map(|_permit| act(on))),
            10 => scoped(on).await,
            11 => drop(joined(on).await),
            12 => poll_once(conn.recv_with(|_| act(on))),
            _ => polled(pin!(linger(on))).await,
        }
    }
    acts
}

/// Waits once, and keeps a waker of the task.
async fn keep_a_waker() {
    let mut has_waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        // To clone is the user's code too.
        let waker = context.waker().clone();
        WAKERS.with_borrow_mut(|wakers| wakers.push(waker));
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Acts while a lock is held.
async fn held<'d>(lock: &Lock<'d, Acts<'d>>, on: Loop<'d>) {
    if let Ok(_guard) = lock.lock().await {
        act(on);
        on.yield_now().await;
    }
}

/// Fails or waits in a scope, whose tasks hold values.
async fn scoped<'d>(on: Loop<'d>) {
    let body = async |group: &Group<'d, Acts<'d>, ()>| {
        for _ in 0..choose(4) {
            drop(group.spawn(async move { Ok(linger(on).await) }));
        }
        act(on);
        on.yield_now().await;
        if choose(2) == 1 { Err(()) } else { Ok(Acts::new(on)) }
    };
    drop(on.timeout(Duration::from_millis(2), sinbin_core::group::scope(on, body)).await);
}

/// Joins a task, or takes its result, or forgets it.
async fn joined(on: Loop<'_>) -> Option<Acts<'_>> {
    let mut child = on.spawn(linger(on)).ok()?;
    match choose(3) {
        0 => on.timeout(Duration::from_millis(2), child.join()).await.ok()?.ok(),
        1 => {
            on.yield_now().await;
            child.take()
        }
        _ => None,
    }
}

/// Polls a future twice with the task's waker, acting in between.
async fn polled(mut future: Pin<&mut impl Future<Output = Acts<'_>>>) {
    let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    within();
    if polled.is_pending() {
        let _ = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    }
}

/// A value that goes to a worker, and has no loop.
struct Travels;

impl Travels {
    fn new() -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self
    }
}

impl Drop for Travels {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
        within();
    }
}

/// A job that is the user's code, and so is what it comes to.
fn computed() -> impl FnOnce() -> Travels + Send + 'static {
    let argument = Travels::new();
    move || {
        within();
        drop(argument);
        Travels::new()
    }
}
