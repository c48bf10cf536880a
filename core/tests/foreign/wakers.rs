//! Wakers that are kept, cloned, and used late or at once.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::thread;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use futures_util::future::select;

use crate::loopback::{TURN, run};

/// A gate that a task awaits, with the number of polls.
#[derive(Default)]
pub(crate) struct Gate {
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
    let old = run(async |handle| {
        let keep = poll_fn(|context| Poll::Ready(context.waker().clone()));
        let mut first = handle.spawn(keep).expect("the limit is not reached");
        let place = first.task().index();
        let old = first.join().await.expect("no task cancels it");
        let gate = Rc::new(Gate::default());
        let mut second = handle.spawn(Rc::clone(&gate).pass()).expect("the limit is not reached");
        assert_eq!(second.task().index(), place, "the second task has the slot of the first");
        handle.yield_now().await;
        assert_eq!(gate.polls.get(), 1);
        old.wake_by_ref();
        let there = old.clone();
        thread::spawn(move || there.wake()).join().expect("to wake is no panic");
        for _ in 0..3 {
            handle.yield_now().await;
        }
        assert_eq!(gate.polls.get(), 1, "the second task is not polled");
        gate.open.set(true);
        gate.waker.take().expect("it waits").wake();
        second.join().await.expect("no task cancels it");
        old
    });
    // The loop has been dropped as well.
    old.wake();
}

#[test]
fn a_task_that_registers_again_is_known() {
    // If a new waker would not wake the task of the registered one, `embassy-sync` wakes the registered one. Two tasks
    // at one signal would wake each other forever, and a task must not do that to itself.
    let polls = run(async |handle| {
        let signal = embassy_sync::signal::Signal::<NoopRawMutex, ()>::new();
        let mut wait = pin!(signal.wait());
        let mut polls = 0;
        let counted = poll_fn(|context| {
            polls += 1;
            wait.as_mut().poll(context)
        });
        let other = async {
            handle.yield_now().await;
            handle.sleep(100 * TURN).await;
        };
        select(counted, pin!(other)).await;
        polls
    });
    assert!(polls <= 4, "it was polled {polls} times, where nothing happened");
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
