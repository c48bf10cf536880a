//! Futures of other crates in our tasks: whatever wakes them, on whatever thread, wakes the task.
//!
//! The host here has wires for sockets, and no clock: what should be woken and is not would wait forever, and is
//! given up after [`PATIENCE`].

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{pending, poll_fn};
use std::hint;
use std::marker::PhantomData;
use std::mem;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;
use futures_util::future::{Either, join_all, select};
use futures_util::stream::FuturesUnordered;
use sinbin_core::task::{
    Async, AsyncHost, Bell, Conn, Door, Error, JoinHandle, Loop, Refused, Signal, Signals, Wakers, Why, join,
};
use sinbin_core::{Executor, Fixed, Host, Instant, Interest, IoError, Rest, SourceId, TaskId};

const PATIENCE: Duration = Duration::from_secs(60);

/// How long a turn takes, where there is no clock.
const TURN: Duration = Duration::from_micros(100);

/// How many of something that is to be many.
const MANY: u32 = if cfg!(miri) { 100 } else { 10_000 };

/// A host whose connections are wires, which give back what is sent. A wire holds four bytes.
struct Loopback<'d> {
    wires: Vec<(SourceId, VecDeque<u8>)>,
    tasks: PhantomData<Async<'d>>,
}

impl Loopback<'_> {
    fn wire(&mut self, source: SourceId) -> Result<&mut VecDeque<u8>, IoError> {
        let wire = self.wires.iter_mut().find(|(id, _)| *id == source);
        wire.map(|(_, bytes)| bytes).ok_or(IoError::Closed)
    }
}

impl<'d> Host for Loopback<'d> {
    type Storage = Fixed<16, 8, 0>;
    type Task = Async<'d>;

    fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
        Err(IoError::Unsupported)
    }

    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let wire = self.wire(source)?;
        let count = wire.len().min(buffer.len());
        if count == 0 {
            return Err(IoError::WouldBlock);
        }
        for (byte, there) in buffer.iter_mut().zip(wire.drain(..count)) {
            *byte = there;
        }
        Ok(count)
    }

    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let wire = self.wire(source)?;
        let count = bytes.len().min(4 - wire.len());
        if count == 0 {
            return Err(IoError::WouldBlock);
        }
        wire.extend(&bytes[..count]);
        Ok(count)
    }

    fn close(&mut self, source: SourceId) {
        self.wires.retain(|(id, _)| *id != source);
    }

    fn serve(&mut self, _: SourceId, _: SourceId) -> Async<'d> {
        unreachable!("nothing is accepted")
    }
}

impl<'d> AsyncHost<'d> for Loopback<'d> {
    fn connect(&mut self, _: SocketAddr, new: SourceId) -> Result<(), IoError> {
        self.wires.push((new, VecDeque::new()));
        Ok(())
    }

    fn connected(&mut self, source: SourceId) -> Result<(), IoError> {
        self.wire(source).map(|_| ())
    }
}

/// Wakes from outside.
#[derive(Clone, Default)]
struct Inbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// One for each task, so that it knows itself again.
    wakers: BTreeMap<TaskId, Arc<TaskWaker>>,
    woken: Vec<TaskId>,
    /// The loop has nothing to do until somebody wakes a task.
    rests: bool,
}

impl Inbox {
    /// Waits, in another thread, until all tasks wait.
    fn all_wait(&self) {
        let state = self.0.state.lock().unwrap();
        let waited = self.0.changed.wait_timeout_while(state, PATIENCE, |state| !state.rests).unwrap().1;
        assert!(!waited.timed_out(), "the loop never rests");
    }

    fn take(&self) -> Vec<TaskId> {
        mem::take(&mut self.0.state.lock().unwrap().woken)
    }

    /// Waits for a wake.
    fn rest(&self) {
        let mut state = self.0.state.lock().unwrap();
        state.rests = true;
        self.0.changed.notify_all();
        let wait = self.0.changed.wait_timeout_while(state, PATIENCE, |state| state.woken.is_empty());
        let (mut state, waited) = wait.unwrap();
        assert!(!waited.timed_out(), "nobody woke a task");
        state.rests = false;
    }
}

impl Wakers for Inbox {
    fn waker(&self, task: TaskId) -> Waker {
        let make = || Arc::new(TaskWaker { inbox: Arc::downgrade(&self.0), task });
        let mut state = self.0.state.lock().unwrap();
        Arc::clone(state.wakers.entry(task).or_insert_with(make)).into()
    }
}

struct TaskWaker {
    inbox: Weak<Shared>,
    task: TaskId,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(inbox) = self.inbox.upgrade() {
            inbox.state.lock().unwrap().woken.push(self.task);
            inbox.changed.notify_all();
        }
    }
}

#[derive(Debug, PartialEq)]
struct Stalled;

/// Runs `main` and what it spawns to the end. Whoever is at `inbox` may know when all wait.
fn run_with<T>(inbox: &Inbox, main: impl AsyncFnOnce(Loop<'_>) -> T) -> Result<T, Stalled> {
    let result = RefCell::new(None);
    let door = Door::new(inbox);
    let on = Loop::new(&door);
    let mut host = Loopback { wires: Vec::new(), tasks: PhantomData };
    let mut executor = Executor::new(&Fixed);
    let (task, _) = Async::new(on, async { *result.borrow_mut() = Some(main(on).await) });
    assert!(executor.spawn(task).is_ok(), "the first one");
    let mut now = Instant::ZERO;
    loop {
        executor.turn(now, &mut host);
        for (source, bytes) in &host.wires {
            if !bytes.is_empty() {
                executor.kernel.ready(*source, Interest::RECV);
            }
            if bytes.len() < 4 {
                executor.kernel.ready(*source, Interest::SEND);
            }
        }
        for task in inbox.take() {
            executor.kernel.wake(task);
        }
        match executor.kernel.rest() {
            Rest::Empty => break,
            Rest::Stalled => return Err(Stalled),
            Rest::Ready => now = now + TURN,
            Rest::Until(Instant::NEVER) => inbox.rest(),
            Rest::Until(moment) => now = moment,
        }
    }
    Ok(result.take().expect("all tasks are over"))
}

fn run<T>(main: impl AsyncFnOnce(Loop<'_>) -> T) -> T {
    run_with(&Inbox::default(), main).expect("the tasks don't wait for each other")
}

async fn wire(on: Loop<'_>) -> Conn<'_> {
    on.connect(SocketAddr::from(([127, 0, 0, 1], 1))).await.expect("a host gives wires")
}

/// Yields as one does who knows no loop.
async fn foreign_yield() {
    let mut yielded = false;
    poll_fn(|context| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn an_embassy_channel_hands_on_between_tasks() {
    let said = run(async |on| {
        let channel = Rc::new(embassy_sync::channel::Channel::<NoopRawMutex, u32, 2>::new());
        let to = Rc::clone(&channel);
        // Both wait in turn: there is room for two.
        let mut sender = on.spawn(async move {
            for n in 0..100 {
                to.send(n).await;
            }
        })?;
        let mut said = Vec::new();
        while said.len() < 100 {
            said.push(channel.receive().await);
        }
        sender.join().await.expect("nobody cancels it");
        Ok::<_, Refused>(said)
    });
    assert_eq!(said, Ok((0..100).collect()));
}

#[test]
fn an_embassy_signal_reaches_who_waits_and_who_comes_later() {
    run(async |on| {
        let signal = Rc::new(embassy_sync::signal::Signal::<NoopRawMutex, &str>::new());
        let from = Rc::clone(&signal);
        let mut waiting = on.spawn(async move { from.wait().await }).expect("there is room");
        on.yield_now().await;
        signal.signal("first");
        assert_eq!(waiting.join().await.expect("nobody cancels it"), "first");
        signal.signal("second");
        assert_eq!(signal.wait().await, "second");
    });
}

#[test]
fn an_async_channel_hands_on_between_tasks() {
    run(async |on| {
        let (sender, receiver) = async_channel::bounded(1);
        let mut sums = Vec::new();
        for _ in 0..3 {
            let receiver = receiver.clone();
            let sum = async move {
                let mut sum = 0;
                while let Ok(n) = receiver.recv().await {
                    sum += n;
                }
                sum
            };
            sums.push(on.spawn(sum).expect("there is room"));
        }
        for n in 1..=100 {
            sender.send(n).await.expect("they listen");
        }
        drop((sender, receiver));
        let mut all = 0;
        for sum in &mut sums {
            all += sum.join().await.expect("nobody cancels it");
        }
        assert_eq!(all, 5050);
    });
}

#[test]
fn another_thread_wakes_a_task_while_all_wait() {
    let inbox = Inbox::default();
    let (sender, receiver) = oneshot::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            inbox.all_wait();
            sender.send(42).expect("a task waits");
        });
        // One waits for the other, and that for the thread: nobody is stalled.
        let answer = run_with(&inbox, async |on| {
            let mut task = on.spawn(receiver).expect("there is room");
            task.join().await.expect("nobody cancels it")
        });
        assert_eq!(answer, Ok(Ok(42)));
    });
}

#[test]
fn a_task_that_awaits_both_a_wire_and_a_thread_hears_both() {
    let inbox = Inbox::default();
    let (sender, receiver) = oneshot::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            inbox.all_wait();
            sender.send(42).expect("a task waits");
        });
        let heard = run_with(&inbox, async |on| {
            let conn = wire(on).await;
            let mut buffer = [0; 4];
            let Either::Left((answer, _)) = select(receiver, conn.recv(&mut buffer)).await else {
                panic!("nobody has sent");
            };
            conn.send_all(b"ping").await.expect("a wire");
            let Either::Left((received, _)) = select(conn.recv(&mut buffer), pending::<()>()).await else {
                panic!("what is pending stays so");
            };
            (answer, received, buffer)
        });
        assert_eq!(heard, Ok((Ok(42), Ok(4), *b"ping")));
    });
}

#[test]
fn who_is_cancelled_drops_the_foreign_future() {
    run(async |on| {
        let (sender, receiver) = oneshot::channel::<()>();
        let mut task = on.spawn(receiver).expect("there is room");
        on.yield_now().await;
        assert!(!sender.is_canceled());
        task.cancel();
        assert_eq!(task.join().await.expect_err("it was cancelled").why, Why::Cancelled);
        assert!(sender.is_canceled(), "and its waker was given back");
    });
}

/// What somebody awaits, and how often that was asked for.
#[derive(Default)]
struct Gate {
    open: Cell<bool>,
    polls: Cell<u32>,
    waker: Cell<Option<Waker>>,
}

impl Gate {
    async fn pass(self: Rc<Self>) {
        poll_fn(|context| {
            self.polls.set(self.polls.get() + 1);
            if self.open.get() {
                return Poll::Ready(());
            }
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

#[test]
fn a_waker_that_outlives_its_task_wakes_nobody() {
    let old = run(async |on| {
        let keep = poll_fn(|context| Poll::Ready(context.waker().clone()));
        let mut first = on.spawn(keep).expect("there is room");
        let place = first.task().index();
        let old = first.join().await.expect("nobody cancels it");
        let gate = Rc::new(Gate::default());
        let mut second = on.spawn(Rc::clone(&gate).pass()).expect("there is room");
        assert_eq!(second.task().index(), place, "the second has the first one's place");
        on.yield_now().await;
        assert_eq!(gate.polls.get(), 1);
        old.wake_by_ref();
        let there = old.clone();
        thread::spawn(move || there.wake()).join().expect("to wake is no panic");
        for _ in 0..3 {
            on.yield_now().await;
        }
        assert_eq!(gate.polls.get(), 1, "the second one is not disturbed");
        gate.open.set(true);
        gate.waker.take().expect("it waits").wake();
        second.join().await.expect("nobody cancels it");
        old
    });
    // Now the loop is gone, too.
    old.wake();
}

#[test]
fn thousands_of_wakes_from_four_threads_lose_nothing() {
    let inbox = Inbox::default();
    let (sender, mut receiver) = mpsc::unbounded();
    let (bounded, limited) = async_channel::bounded(3);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (sender, bounded) = (sender.clone(), bounded.clone());
            scope.spawn(move || {
                for n in 0..MANY {
                    sender.unbounded_send((thread, n)).expect("they listen");
                    if n % 2 == 0 {
                        bounded.send_blocking((thread, n)).expect("they listen");
                    }
                }
            });
        }
        drop((sender, bounded));
        let all = run_with(&inbox, async |on| {
            // Two tasks share a receiver, and a third has the other.
            let count = |receiver: async_channel::Receiver<(usize, u32)>| async move {
                let mut count = 0;
                while let Ok((_, n)) = receiver.recv().await {
                    assert_eq!(n % 2, 0);
                    count += 1;
                }
                count
            };
            let mut first = on.spawn(count(limited.clone())).expect("there is room");
            let mut second = on.spawn(count(limited)).expect("there is room");
            let mut next = [0; 4];
            while let Some((thread, n)) = receiver.next().await {
                assert_eq!(n, next[thread], "in the order of thread {thread}");
                next[thread] += 1;
            }
            let even = first.join().await.expect("nobody cancels it")
                + second.join().await.expect("nobody cancels it");
            (next, even)
        });
        assert_eq!(all, Ok(([MANY; 4], 4 * MANY.div_ceil(2))));
    });
}

#[test]
fn an_executor_within_the_task_is_told_that_it_is_one() {
    run(async |on| {
        let conn = wire(on).await;
        let (mut one, mut other) = ([0; 4], [0; 4]);
        let mut received: FuturesUnordered<_> =
            [conn.recv(&mut one), conn.recv(&mut other)].into_iter().collect();
        for _ in 0..2 {
            assert_eq!(received.next().await, Some(Err(Error::Refused(Refused::Wrapped))));
        }
        assert_eq!(received.next().await, None);
        drop(received);

        let mut ready: FuturesUnordered<_> = [conn.readable()].into_iter().collect();
        assert_eq!(ready.next().await, Some(Err(Error::Refused(Refused::Wrapped))));
        drop(ready);

        // What need not wait can be had even so.
        conn.send_all(b"here").await.expect("a wire");
        let mut received: FuturesUnordered<_> = [conn.recv(&mut one)].into_iter().collect();
        assert_eq!(received.next().await, Some(Ok(4)));
        drop(received);

        let mut task = on.spawn(async move { on.yield_now().await }).expect("there is room");
        let mut joined: FuturesUnordered<_> = [task.join()].into_iter().collect();
        let refused = joined.next().await.map(|joined| joined.map_err(|error| error.why));
        assert_eq!(refused, Some(Err(Why::Refused(Refused::Wrapped))));
        drop(joined);
        task.join().await.expect("it can be waited for by us, as ever");
    });
}

#[test]
fn sleeps_and_foreign_futures_may_be_in_an_executor_within_the_task() {
    run(async |on| {
        let sleeps = (1..=5).rev().map(|n| async move {
            on.sleep(Duration::from_millis(n)).await;
            n
        });
        let slept: Vec<_> = sleeps.collect::<FuturesUnordered<_>>().collect().await;
        assert_eq!(slept, [1, 2, 3, 4, 5]);

        let (senders, receivers): (Vec<_>, Vec<_>) = (0..5).map(|_| oneshot::channel()).unzip();
        let mut task = on
            .spawn(async move {
                for (n, sender) in (0..).zip(senders) {
                    on.yield_now().await;
                    sender.send(n).expect("somebody waits");
                }
            })
            .expect("there is room");
        let heard: Vec<_> = receivers.into_iter().collect::<FuturesUnordered<_>>().collect().await;
        assert_eq!(heard, [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)]);
        task.join().await.expect("nobody cancels it");
    });
}

#[test]
fn up_to_thirty_futures_are_joined_by_the_tasks_own_waker() {
    run(async |on| {
        // Beyond that, `join_all` is an executor of its own.
        let tasks: Vec<_> = (0..5).map(|n| on.spawn(async move { n }).expect("there is room")).collect();
        let joined = join_all(tasks.into_iter().map(|mut task| async move { task.join().await.ok() })).await;
        assert_eq!(joined, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
    });
}

#[test]
fn a_foreign_yield_lets_the_others_run() {
    let said = run(async |on| {
        let said = Rc::new(RefCell::new(String::new()));
        let say = |name: char| {
            let said = Rc::clone(&said);
            async move {
                for _ in 0..3 {
                    said.borrow_mut().push(name);
                    foreign_yield().await;
                }
            }
        };
        let mut tasks = ['a', 'b', 'c'].map(|name| on.spawn(say(name)).expect("there is room"));
        for task in &mut tasks {
            task.join().await.expect("nobody cancels it");
        }
        said.take()
    });
    assert_eq!(said, "abcabcabc");
}

#[test]
fn a_foreign_yield_keeps_no_wait_of_the_same_step() {
    run(async |on| {
        let conn = wire(on).await;
        let mut buffer = [0; 4];
        let (received, ()) = join(conn.recv(&mut buffer), async {
            foreign_yield().await;
            foreign_yield().await;
            conn.send_all(b"late").await.expect("a wire");
        })
        .await;
        assert_eq!((received, &buffer), (Ok(4), b"late"));
    });
}

#[test]
fn a_task_that_registers_again_is_known() {
    // Who registers a waker that would not wake the same task as the one before, has that one woken by
    // `embassy-sync`: two tasks at one signal would fight. A task must not fight itself.
    let polls = run(async |on| {
        let signal = embassy_sync::signal::Signal::<NoopRawMutex, ()>::new();
        let mut wait = pin!(signal.wait());
        let mut polls = 0;
        let counted = poll_fn(|context| {
            polls += 1;
            wait.as_mut().poll(context)
        });
        let other = async {
            on.yield_now().await;
            on.sleep(100 * TURN).await;
        };
        select(counted, pin!(other)).await;
        polls
    });
    assert!(polls <= 4, "it was polled {polls} times, where nothing happened");
}

#[test]
fn what_is_ready_is_seen_beside_a_future_that_never_rests() {
    async fn never_rests() {
        for _ in 0..1000 {
            foreign_yield().await;
        }
    }
    run(async |on| {
        let conn = wire(on).await;
        let mut buffer = [0; 4];
        let received = select(conn.recv(&mut buffer), Box::pin(never_rests()));
        let (received, ()) = join(received, async { conn.send_all(b"1").await.expect("a wire") }).await;
        assert!(matches!(received, Either::Left((Ok(1), _))), "received");
        conn.send_all(b"2").await.expect("a wire");
        let readable = select(conn.readable(), Box::pin(never_rests())).await;
        assert!(matches!(readable, Either::Left((Ok(()), _))), "readable");
        let writable = select(conn.writable(), Box::pin(never_rests())).await;
        assert!(matches!(writable, Either::Left((Ok(()), _))), "writable");
    });
}

#[test]
fn a_waker_that_is_cloned_and_used_at_once_wakes_the_same_task_again() {
    run(async |_| {
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            if polls > 100 {
                return Poll::Ready(());
            }
            let kept = context.waker().clone();
            kept.wake();
            Poll::Pending
        })
        .await;
    });
}

#[test]
fn a_waker_can_be_lent_to_a_thread_for_a_step() {
    let counted = AtomicUsize::new(0);
    run(async |on| {
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            if polls == 10 {
                return Poll::Ready(());
            }
            let waker = context.waker();
            thread::scope(|scope| {
                // By turns it is used there as it is, cloned and used, and cloned to be used here.
                let there = scope.spawn(|| match polls % 3 {
                    0 => {
                        waker.wake_by_ref();
                        None
                    }
                    1 => {
                        let kept = waker.clone();
                        kept.wake();
                        None
                    }
                    _ => Some(waker.clone()),
                });
                let other = scope.spawn(|| {
                    drop(waker.clone());
                    counted.fetch_add(1, Ordering::Relaxed);
                });
                other.join().expect("a waker can be dropped anywhere");
                if let Some(waker) = there.join().expect("a waker can be used anywhere") {
                    waker.wake();
                }
            });
            Poll::Pending
        })
        .await;
        on.yield_now().await;
    });
    assert_eq!(counted.into_inner(), 9);
}

#[test]
fn a_clone_that_a_thread_keeps_wakes_after_the_step() {
    let inbox = Inbox::default();
    thread::scope(|scope| {
        let mut polls = 0;
        let woken = run_with(&inbox, async |_| {
            poll_fn(|context| {
                polls += 1;
                if polls == 2 {
                    return Poll::Ready(());
                }
                let (waker, inbox) = (context.waker().clone(), &inbox);
                scope.spawn(move || {
                    inbox.all_wait();
                    waker.wake();
                });
                Poll::Pending
            })
            .await;
        });
        assert_eq!((woken, polls), (Ok(()), 2));
    });
}

#[test]
fn tasks_that_wait_for_each_other_are_stalled_even_here() {
    let stalled = run_with(&Inbox::default(), async |on| {
        let handles = Rc::new(RefCell::new(Vec::<JoinHandle<'_, ()>>::new()));
        let wait = |index: usize| {
            let handles = Rc::clone(&handles);
            async move {
                let mut other = handles.borrow_mut().remove(index);
                other.join().await.ok();
            }
        };
        let first = on.spawn(wait(1)).expect("there is room");
        let second = on.spawn(wait(0)).expect("there is room");
        handles.borrow_mut().extend([first, second]);
    });
    assert_eq!(stalled, Err(Stalled));
}

static BELL: Bell = Bell::new(|| {});
static SIGNALS: [Signal; 4] = [const { Signal::new(&BELL) }; 4];

#[test]
fn signals_in_statics_do_for_foreign_futures() {
    let wakers = Signals::new(&BELL, &SIGNALS);
    let channel = embassy_sync::channel::Channel::<NoopRawMutex, u32, 1>::new();
    let heard = Cell::new(0);
    let door = Door::new(&wakers);
    let on = Loop::new(&door);
    let mut host = Loopback { wires: Vec::new(), tasks: PhantomData };
    let mut executor = Executor::new(&Fixed);
    let sends = async {
        for n in 1..=10 {
            channel.send(n).await;
        }
    };
    let hears = async {
        for _ in 0..10 {
            heard.set(heard.get() + channel.receive().await);
        }
    };
    let (sends, _) = Async::new(on, sends);
    let (hears, _) = Async::new(on, hears);
    assert!(executor.spawn(sends).is_ok() && executor.spawn(hears).is_ok());
    let mut turns = 0;
    while executor.kernel.rest() != Rest::Empty {
        executor.turn(Instant::ZERO, &mut host);
        wakers.deliver(&mut executor.kernel);
        turns += 1;
        assert!(turns < 100, "a wake was lost");
    }
    assert_eq!(heard.get(), 55);
}

static OTHER_BELL: Bell = Bell::new(|| {});
static OTHER_SIGNALS: [Signal; 2] = [const { Signal::new(&OTHER_BELL) }; 2];

#[test]
#[cfg_attr(miri, ignore = "it wants cores, and many rounds")]
fn signals_that_another_core_gives_are_not_lost() {
    /// How long it is tried.
    const TRIAL: Duration = Duration::from_secs(1);
    const LAST: usize = usize::MAX;
    let (given, seen) = ([const { AtomicUsize::new(0) }; 2], [const { AtomicUsize::new(0) }; 2]);
    let kept = [const { Cell::new(None) }; 2];
    let lost = AtomicBool::new(false);
    let wakers = Signals::new(&OTHER_BELL, &OTHER_SIGNALS);
    let door = Door::new(&wakers);
    let on = Loop::new(&door);
    let mut host = Loopback { wires: Vec::new(), tasks: PhantomData };
    let mut executor = Executor::new(&Fixed);
    for task in 0..2 {
        let (given, seen, kept) = (&given[task], &seen[task], &kept[task]);
        let sees = poll_fn(move |context| {
            let round = given.load(Ordering::SeqCst);
            if round == 0 {
                kept.set(Some(context.waker().clone()));
            }
            seen.store(round, Ordering::SeqCst);
            if round == LAST { Poll::Ready(()) } else { Poll::Pending }
        });
        assert!(executor.spawn(Async::new(on, sees).0).is_ok(), "there is room");
    }
    executor.turn(Instant::ZERO, &mut host);
    let kept: Vec<Waker> = kept.iter().map(|kept| kept.take().expect("it ran")).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let begun = std::time::Instant::now();
            let mut round = 0;
            while round < LAST && !lost.load(Ordering::Relaxed) {
                round = if begun.elapsed() < TRIAL { round + 1 } else { LAST };
                for (given, waker) in given.iter().zip(&kept) {
                    given.store(round, Ordering::SeqCst);
                    waker.wake_by_ref();
                }
                let is_seen = || seen.iter().all(|seen| seen.load(Ordering::SeqCst) == round);
                while !is_seen() && !lost.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            }
        });
        let mut last_seen = ([0; 2], std::time::Instant::now());
        while executor.kernel.rest() != Rest::Empty {
            wakers.deliver(&mut executor.kernel);
            executor.turn(Instant::ZERO, &mut host);
            let now = [0, 1].map(|task| seen[task].load(Ordering::Relaxed));
            if now != last_seen.0 {
                last_seen = (now, std::time::Instant::now());
            } else if last_seen.1.elapsed() > PATIENCE / 6 {
                lost.store(true, Ordering::Relaxed);
                panic!("{given:?} were given, and only {now:?} are seen");
            }
        }
    });
}
