//! Signals in statics, for hosts without a heap.

use std::cell::Cell;
use std::future::poll_fn;
use std::hint;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use sinbin_core::task::{Async, Bell, Handle, RunContext, Signal, Signals};
use sinbin_core::{Executor, Fixed, Instant, Rest};

use crate::inbox::PATIENCE;
use crate::loopback::Loopback;

static BELL: Bell = Bell::new(|| {});
static SIGNALS: [Signal; 4] = [const { Signal::new(&BELL) }; 4];

#[test]
fn signals_in_statics_do_for_foreign_futures() {
    let wakers = Signals::new(&BELL, &SIGNALS);
    let channel = embassy_sync::channel::Channel::<NoopRawMutex, u32, 1>::new();
    let heard = Cell::new(0);
    let run_context = RunContext::new(&wakers);
    let handle = Handle::new(&run_context);
    let mut host = Loopback::default();
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
    let (sends, _) = Async::new(handle, sends);
    let (hears, _) = Async::new(handle, hears);
    assert!(executor.spawn(sends).is_ok() && executor.spawn(hears).is_ok());
    let mut turns = 0;
    assert!(!wakers.are_pending());
    while executor.kernel.rest() != Rest::Empty {
        executor.turn(Instant::ZERO, &mut host);
        // A host that sleeps must not do it now, unless no task can run before a task of its own wakes it.
        assert!(wakers.are_pending() || executor.kernel.rest() != Rest::Until(Instant::NEVER));
        wakers.deliver(&mut executor.kernel);
        assert!(!wakers.are_pending());
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
    /// The duration of the trial.
    const TRIAL: Duration = Duration::from_secs(1);
    const LAST: usize = usize::MAX;
    let (given, seen) = ([const { AtomicUsize::new(0) }; 2], [const { AtomicUsize::new(0) }; 2]);
    let kept = [const { Cell::new(None) }; 2];
    let lost = AtomicBool::new(false);
    let wakers = Signals::new(&OTHER_BELL, &OTHER_SIGNALS);
    let run_context = RunContext::new(&wakers);
    let handle = Handle::new(&run_context);
    let mut host = Loopback::default();
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
        assert!(executor.spawn(Async::new(handle, sees).0).is_ok(), "the limit is not reached");
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
