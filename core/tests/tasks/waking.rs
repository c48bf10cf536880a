use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::task::{Poll, Waker};
use std::thread;

use sinbin_core::task::{Bell, Handle, NoWakers, RunContext, Signal, Signals};
use sinbin_core::{Instant, Rest};
use sinbin_testkit::memory_host::{Log, TASKS, World};

/// A value that a thread or an interrupt passes to a task, as the channels of other crates do.
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
    let (run_context, log) = (RunContext::new(&wakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
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
            assert_eq!(world.executor.kernel.rest(), Rest::Until(Instant::NEVER), "the loop is not stalled");
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
    let run_context = RunContext::new(&wakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
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
    // A new task in the same slot is not woken either.
    world.spawn(handle.wait_named());
    world.run();
    assert_eq!(world.run(), Rest::Stalled);
}

/// Signals can be created at run time, when the program knows the number of its tasks.
#[test]
fn signals_can_be_made_at_any_time() {
    static RINGS: AtomicUsize = AtomicUsize::new(0);
    static BELL: OnceLock<Bell> = OnceLock::new();
    static SIGNALS: OnceLock<Vec<Signal>> = OnceLock::new();

    let bell = BELL.get_or_init(|| Bell::new(|| _ = RINGS.fetch_add(1, Ordering::SeqCst)));
    let signals = SIGNALS.get_or_init(|| (0..TASKS).map(|_| Signal::new(bell)).collect());
    let wakers = Signals::new(bell, signals);
    let mailbox = Mailbox::default();
    let run_context = RunContext::new(&wakers);
    let mut world = World::new(Handle::new(&run_context));
    let mut task = world.spawn(mailbox.take());
    assert_eq!(world.run(), Rest::Until(Instant::NEVER));
    wakers.deliver(&mut world.executor.kernel);
    assert_eq!(world.run(), Rest::Until(Instant::NEVER), "no signal was given");
    mailbox.put(7);
    assert_eq!(RINGS.load(Ordering::SeqCst), 1);
    wakers.deliver(&mut world.executor.kernel);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(7));
}

/// A task without a signal would never be woken. A debug build reports this mistake at once.
#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "a task has a signal")]
fn a_task_without_a_signal_stops_a_debug_build() {
    static BELL: Bell = Bell::new(|| {});
    let wakers = Signals::new(&BELL, &[]);
    let mailbox = Mailbox::default();
    let run_context = RunContext::new(&wakers);
    let mut world = World::new(Handle::new(&run_context));
    world.spawn(mailbox.take());
    world.run();
}

#[test]
fn who_wakes_itself_runs_again() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
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
