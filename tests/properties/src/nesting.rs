//! Nested loops: user code that a loop calls may run another loop of the same run context, spawn, cancel, wake, and
//! drop values.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sinbin_core::group::Group;
use sinbin_core::sync::{Lock, Semaphore};
use sinbin_core::task::{Conn, Handle, JoinHandle, RunContext, Wakers, race};
use sinbin_core::{Rest, TaskId};
use sinbin_testkit::memory_host::{TASKS, World};

/// The most loops that run within each other.
const DEPTH: usize = 3;

/// The most inner loops of a run, which keeps it short.
const LOOPS: usize = 24;

thread_local! {
    /// The remaining choices. They are thread-local because callbacks of the user have no argument for them.
    static CHOICES: RefCell<VecDeque<u8>> = const { RefCell::new(VecDeque::new()) };
    /// Wakers that may outlive the tasks that they wake.
    static WAKERS: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
    /// The number of values that run user code when they are dropped, and that are not dropped yet.
    static ALIVE: Cell<usize> = const { Cell::new(0) };
    static NESTED: Cell<usize> = const { Cell::new(0) };
    static STARTED: Cell<usize> = const { Cell::new(0) };
}

/// Checks loops whose user code runs loops. User code is called from every place from which a loop calls it: steps of
/// tasks, destructors of futures, results and jobs, callbacks for received bytes, and wakers. Each call may run a loop
/// of the same run context to the end, spawn, cancel, wake or drop. The running task is the same before and after,
/// every kernel passes its audit, and all values are dropped exactly once. A sanitizer or miri finds memory errors.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn nesting(bytes: &[u8]) {
    CHOICES.set(bytes.iter().copied().collect());
    STARTED.set(0);
    let run_context = RunContext::new(&Deeds);
    run(Handle::new(&run_context));
    WAKERS.take();
    assert_eq!(ALIVE.get(), 0, "values that were not dropped");
}

/// Returns a number below `choices`, which is 0 when no choices are left.
fn choose(choices: u8) -> u8 {
    CHOICES.with_borrow_mut(VecDeque::pop_front).unwrap_or(0) % choices
}

/// Runs a loop with a few tasks for some turns, usually cancels the remaining ones, and drops the loop with the tasks
/// that have not ended.
fn run(handle: Handle<'_>) {
    let mut world = World::new(handle);
    let mut handles: Vec<_> = (0..=choose(4)).filter_map(|_| start(&mut world, handle)).collect();
    for _ in 0..4 + choose(12) {
        step(&mut world);
        match choose(8) {
            1 => drop(handles.pop()),
            2 => cancel(&mut world, handles.first()),
            3 => drop(handles.iter_mut().find_map(JoinHandle::take)),
            4 => handles.extend(start(&mut world, handle)),
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

/// Runs a turn and a slice of each job, and advances the time if all tasks wait for it.
fn step(world: &mut World<'_>) {
    world.turn();
    world.compute();
    if let Rest::Until(deadline) = world.executor.kernel.rest()
        && deadline < sinbin_core::Instant::NEVER
    {
        world.now = world.now.max(deadline);
    }
}

fn cancel<T>(world: &mut World<'_>, join_handle: Option<&JoinHandle<'_, T>>) {
    if let Some(join_handle) = join_handle {
        world.cancel(join_handle.task());
    }
}

/// Starts a task with a connection, if there is capacity for both.
fn start<'d>(world: &mut World<'d>, handle: Handle<'d>) -> Option<JoinHandle<'d, Acts<'d>>> {
    let has_room = world.executor.kernel.count() < TASKS && world.host.peers.len() < 8;
    has_room.then(|| {
        let conn = world.connect();
        world.peer(conn.source()).inbox.extend(b"received");
        world.spawn(live(handle, conn))
    })
}

/// Acts as user code, wherever that is called.
fn act(handle: Handle<'_>) {
    let running = handle.current();
    match choose(12) {
        1 => nest(handle),
        2 => drop(handle.spawn(linger(handle))),
        3 => cancel_itself(running.ok(), handle),
        4 => wake_all(),
        5 => WAKERS.with_borrow_mut(Vec::pop).into_iter().for_each(Waker::wake),
        6 => drop(WAKERS.take()),
        7 => drop(Acts::new(handle)),
        8 => poll_once(linger(handle)),
        9 => grouped(handle),
        10 => poll_once(handle.sleep(Duration::from_millis(choose(4).into()))),
        _ => {}
    }
    assert_eq!(handle.current(), running, "the running task is unchanged");
}

fn nest(handle: Handle<'_>) {
    if NESTED.get() < DEPTH && STARTED.get() < LOOPS {
        NESTED.set(NESTED.get() + 1);
        STARTED.set(STARTED.get() + 1);
        run(handle);
        NESTED.set(NESTED.get() - 1);
    }
}

fn cancel_itself(task: Option<TaskId>, handle: Handle<'_>) {
    if let Some(task) = task {
        handle.cancel(task);
    }
}

/// Wakes by every waker, and keeps the wakers.
fn wake_all() {
    let kept = WAKERS.take();
    kept.iter().for_each(Waker::wake_by_ref);
    WAKERS.with_borrow_mut(|wakers| wakers.extend(kept));
}

/// Fills a group, and drops it.
fn grouped(handle: Handle<'_>) {
    let group = Group::<Acts<'_>, ()>::new(handle);
    for _ in 0..choose(3) {
        group.spawn(async move { Ok(linger(handle).await) }).ok();
    }
    if choose(2) == 1 {
        group.cancel();
    }
}

/// Polls a future with a waker of no task, and drops it.
fn poll_once(future: impl Future) {
    let waker = Waker::from(Arc::new(WakeReason));
    let _ = pin!(future).poll(&mut Context::from_waker(&waker));
}

/// A value whose destructor runs user code.
struct Acts<'d>(Handle<'d>);

impl<'d> Acts<'d> {
    fn new(handle: Handle<'d>) -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self(handle)
    }
}

impl Drop for Acts<'_> {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
        act(self.0);
    }
}

/// A source of wakers whose wakes and destructors run user code.
struct Deeds;

impl Wakers for Deeds {
    fn waker(&self, _: TaskId) -> Waker {
        within();
        Waker::from(Arc::new(WakeReason))
    }
}

struct WakeReason;

impl Wake for WakeReason {
    fn wake(self: Arc<Self>) {
        within();
    }
}

impl Drop for WakeReason {
    fn drop(&mut self) {
        within();
    }
}

/// Acts as user code that has no loop, and creates a run context of its own.
fn within() {
    if choose(16) == 1 {
        let run_context = RunContext::new(&Deeds);
        nest(Handle::new(&run_context));
    }
}

/// A task that waits for a while, and holds a value in the meantime.
async fn linger(handle: Handle<'_>) -> Acts<'_> {
    let acts = Acts::new(handle);
    match choose(4) {
        0 => handle.yield_now().await,
        1 => handle.sleep(Duration::from_millis(1)).await,
        2 => drop(handle.wait_named().await),
        _ => pending().await,
    }
    acts
}

/// A task that uses a connection, a lock, jobs and other tasks.
async fn live<'d>(handle: Handle<'d>, conn: Conn<'d>) -> Acts<'d> {
    let acts = Acts::new(handle);
    let lock = Lock::new(handle, Acts::new(handle));
    let permits = Semaphore::new(handle, 1);
    for _ in 0..=choose(8) {
        match choose(14) {
            0 => act(handle),
            1 => drop(conn.try_recv_with(|_| act(handle))),
            2 => drop(handle.timeout(Duration::from_millis(1), conn.recv_with(|_| act(handle))).await),
            3 => keep_a_waker().await,
            4 => drop(handle.shield(linger(handle)).await),
            5 => drop(race(linger(handle), linger(handle)).await),
            6 => drop(handle.job(computed()).await),
            7 => poll_once(handle.job(computed())),
            8 => held(&lock, handle).await,
            9 => drop(permits.acquire(1).await.map(|_permit| act(handle))),
            10 => scoped(handle).await,
            11 => drop(joined(handle).await),
            12 => poll_once(conn.recv_with(|_| act(handle))),
            _ => polled(pin!(linger(handle))).await,
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
        // Cloning may run user code too.
        let waker = context.waker().clone();
        WAKERS.with_borrow_mut(|wakers| wakers.push(waker));
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Acts while a lock is held.
async fn held<'d>(lock: &Lock<'d, Acts<'d>>, handle: Handle<'d>) {
    if let Ok(_guard) = lock.lock().await {
        act(handle);
        handle.yield_now().await;
    }
}

/// Fails or waits in a scope whose tasks hold values.
async fn scoped<'d>(handle: Handle<'d>) {
    let body = async |group: &Group<'d, Acts<'d>, ()>| {
        for _ in 0..choose(4) {
            group.spawn(async move { Ok(linger(handle).await) }).ok();
        }
        act(handle);
        handle.yield_now().await;
        if choose(2) == 1 { Err(()) } else { Ok(Acts::new(handle)) }
    };
    drop(handle.timeout(Duration::from_millis(2), sinbin_core::group::scope(handle, body)).await);
}

/// Joins a task, takes its result, or drops its handle.
async fn joined(handle: Handle<'_>) -> Option<Acts<'_>> {
    let mut child = handle.spawn(linger(handle)).ok()?;
    match choose(3) {
        0 => handle.timeout(Duration::from_millis(2), child.join()).await.ok()?.ok(),
        1 => {
            handle.yield_now().await;
            child.take()
        }
        _ => None,
    }
}

/// Polls a future twice with the task's waker, and acts in between.
async fn polled(mut future: Pin<&mut impl Future<Output = Acts<'_>>>) {
    let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    within();
    if polled.is_pending() {
        let _ = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    }
}

/// A value that is sent to a worker, and has no loop.
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

/// Returns a job that runs user code, and whose result does too.
fn computed() -> impl FnOnce() -> Travels + Send + 'static {
    let argument = Travels::new();
    move || {
        within();
        drop(argument);
        Travels::new()
    }
}
