//! The executor without a kernel: order, wakes, and the ends of tasks, with futures and wakers of any origin.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::task::{Poll, Waker};
use std::thread;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use futures_util::task::AtomicWaker;
use proptest::prelude::*;
use sinbin_core::task::{RoundRobin, WakeFlag};
use sinbin_testkit::cases::cases;

use crate::MANY;

type Task<'t> = Pin<&'t mut dyn Future<Output = ()>>;

/// Lets the other tasks run once.
async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn tasks_that_yield_run_in_turn() {
    static FLAGS: [WakeFlag; 3] = [const { WakeFlag::new() }; 3];
    let order = RefCell::new(Vec::new());
    let count = async |number: usize, steps: usize| {
        for _ in 0..steps {
            order.borrow_mut().push(number);
            yield_now().await;
        }
    };
    let tasks = [pin!(count(0, 3)), pin!(count(1, 1)), pin!(count(2, 2))];
    let mut executor = RoundRobin::new(&FLAGS, tasks);
    assert!(executor.is_woken(), "the first step of each task is to be run");
    let mut rounds = 0;
    while executor.round() {
        assert!(executor.is_woken());
        rounds += 1;
    }
    assert_eq!((rounds, order.take()), (3, vec![0, 1, 2, 0, 2, 0]));
    assert!(!executor.is_woken());
    assert!(!executor.round());
}

#[test]
fn tasks_wait_for_each_other_by_channels_of_other_crates() {
    static FLAGS: [WakeFlag; 2] = [const { WakeFlag::new() }; 2];
    let channel = Channel::<NoopRawMutex, u32, 1>::new();
    let sum = Cell::new(0);
    let sends = pin!(async {
        for n in 1..=10 {
            channel.send(n).await;
        }
    });
    let receives = pin!(async {
        for _ in 0..10 {
            sum.set(sum.get() + channel.receive().await);
        }
    });
    let tasks: [Task<'_>; 2] = [sends, receives];
    let mut executor = RoundRobin::new(&FLAGS, tasks);
    while executor.round() {
        assert!(executor.is_woken(), "a wake was lost");
    }
    assert_eq!(sum.get(), 55);
}

#[test]
fn a_task_that_has_ended_is_not_polled_whatever_wakes_it() {
    static FLAGS: [WakeFlag; 2] = [const { WakeFlag::new() }; 2];
    let kept = RefCell::new(None::<Waker>);
    let steps = Cell::new(0);
    let ends = pin!(async {
        poll_fn(|context| Poll::Ready(kept.replace(Some(context.waker().clone())))).await;
        steps.set(steps.get() + 1);
    });
    let tasks: [Task<'_>; 2] = [ends, pin!(pending())];
    let mut executor = RoundRobin::new(&FLAGS, tasks);
    for _ in 0..3 {
        assert!(executor.round());
        assert!(!executor.is_woken(), "a board would not sleep");
        kept.borrow().as_ref().expect("the task has run").wake_by_ref();
    }
    assert_eq!(steps.get(), 1);
}

#[test]
fn the_wakers_of_a_task_are_equal_and_those_of_another_are_not() {
    static FLAGS: [WakeFlag; 2] = [const { WakeFlag::new() }; 2];
    let wakers = RefCell::new(Vec::new());
    let keep = async || {
        for _ in 0..2 {
            let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
            wakers.borrow_mut().push(waker);
            yield_now().await;
        }
    };
    let tasks = [pin!(keep()), pin!(keep())];
    let mut executor = RoundRobin::new(&FLAGS, tasks);
    while executor.round() {}
    let wakers = wakers.take();
    assert!(wakers[0].will_wake(&wakers[2]) && wakers[1].will_wake(&wakers[3]));
    assert!(!wakers[0].will_wake(&wakers[1]));
}

#[test]
fn no_wake_from_another_thread_is_lost() {
    static FLAGS: [WakeFlag; 1] = [const { WakeFlag::new() }; 1];
    static WAKER: AtomicWaker = AtomicWaker::new();
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    static SEEN: AtomicU32 = AtomicU32::new(0);
    let task = pin!(poll_fn(|context| {
        WAKER.register(context.waker());
        let given = GIVEN.load(Ordering::Acquire);
        SEEN.store(given, Ordering::Release);
        if given == MANY { Poll::Ready(()) } else { Poll::Pending }
    }));
    let mut executor = RoundRobin::new(&FLAGS, [task]);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=MANY {
                GIVEN.store(n, Ordering::Release);
                WAKER.wake();
                // A lost wake would make this wait forever.
                while SEEN.load(Ordering::Acquire) < n {
                    thread::yield_now();
                }
            }
        });
        while executor.round() {
            while !executor.is_woken() {
                thread::yield_now();
            }
        }
    });
}

const TASKS: usize = 5;

/// An action of a task in a step: the tasks that it wakes, and true if it ends.
type Act = (Vec<usize>, bool);

/// Returns the tasks in the order in which an executor must run them, round by round, until no task is woken.
fn model(scripts: &[Vec<Act>]) -> Vec<usize> {
    let (mut woken, mut at, mut order) = ([true; TASKS], [0; TASKS], Vec::new());
    let mut ended = [false; TASKS];
    while (0..TASKS).any(|task| woken[task] && !ended[task]) {
        for task in 0..TASKS {
            if !woken[task] || ended[task] {
                continue;
            }
            woken[task] = false;
            order.push(task);
            let Some((wakes, ends)) = scripts[task].get(at[task]) else { continue };
            at[task] += 1;
            wakes.iter().for_each(|other| woken[*other] = true);
            ended[task] = *ends;
        }
    }
    order
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn the_order_is_that_of_the_model(
        scripts in prop::collection::vec(
            prop::collection::vec((prop::collection::vec(0..TASKS, 0..4), prop::bool::weighted(0.1)), 0..8), TASKS,
        )
    ) {
        // A static of its own for each case.
        let flags: &'static [WakeFlag; TASKS] = Box::leak(Box::new([const { WakeFlag::new() }; TASKS]));
        // Each run has flags of its own, which a tool that looks for leaks finds here.
        static KEPT: Mutex<Vec<&'static [WakeFlag; TASKS]>> = Mutex::new(Vec::new());
        KEPT.lock().expect("no other thread panics").push(flags);
        let wakers = RefCell::new(vec![None::<Waker>; TASKS]);
        let order = RefCell::new(Vec::new());
        let mut tasks: Vec<_> = (0..TASKS).map(|number| {
            let (wakers, order, script) = (&wakers, &order, &scripts[number]);
            let mut acts = script.iter();
            Box::pin(poll_fn(move |context| {
                order.borrow_mut().push(number);
                let own = wakers.borrow_mut()[number].replace(context.waker().clone());
                assert!(own.is_none_or(|own| own.will_wake(context.waker())));
                let Some((wakes, ends)) = acts.next() else { return Poll::Pending };
                for other in wakes {
                    // A task without a waker has its first step still before it.
                    if let Some(waker) = &wakers.borrow()[*other] {
                        waker.wake_by_ref();
                    }
                }
                if *ends { Poll::Ready(()) } else { Poll::Pending }
            }))
        }).collect();
        let mut tasks = tasks.iter_mut().map(|task| -> Task<'_> { task.as_mut() });
        let mut executor = RoundRobin::new(flags, std::array::from_fn(|_| tasks.next().expect("a task")));
        while executor.round() && executor.is_woken() {}
        prop_assert_eq!(order.into_inner(), model(&scripts));
    }
}

/// The flags need not be made by the compiler.
#[test]
fn flags_can_be_made_at_run_time() {
    static FLAGS: OnceLock<[WakeFlag; 2]> = OnceLock::new();
    let flags = FLAGS.get_or_init(|| std::array::from_fn(|_| WakeFlag::default()));
    let steps = Cell::new(0);
    let count = async || {
        for _ in 0..3 {
            steps.set(steps.get() + 1);
            yield_now().await;
        }
    };
    let tasks = [pin!(count()), pin!(count())];
    let mut executor = RoundRobin::new(flags, tasks);
    while executor.round() {}
    assert_eq!(steps.get(), 6);
}
