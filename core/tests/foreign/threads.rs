//! Wakes from other threads.

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;

use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;
use futures_util::future::{Either, select};

use crate::MANY;
use crate::inbox::Inbox;
use crate::loopback::{run, run_with, wire};

#[test]
fn another_thread_wakes_a_task_while_all_wait() {
    let inbox = Inbox::default();
    let (sender, receiver) = oneshot::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            inbox.all_wait();
            sender.send(42).expect("a task waits");
        });
        // The main task waits for the other, which waits for the thread. The loop is not stalled.
        let answer = run_with(&inbox, async |handle| {
            let mut task = handle.spawn(receiver).expect("the limit is not reached");
            task.join().await.expect("no task cancels it")
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
        let heard = run_with(&inbox, async |handle| {
            let conn = wire(handle).await;
            let mut buffer = [0; 4];
            let Either::Left((answer, _)) = select(receiver, conn.recv(&mut buffer)).await else {
                panic!("no byte was sent");
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
        let all = run_with(&inbox, async |handle| {
            // Two tasks share one receiver, and a third task has the other one.
            let count = |receiver: async_channel::Receiver<(usize, u32)>| async move {
                let mut count = 0;
                while let Ok((_, n)) = receiver.recv().await {
                    assert_eq!(n % 2, 0);
                    count += 1;
                }
                count
            };
            let mut first = handle.spawn(count(limited.clone())).expect("the limit is not reached");
            let mut second = handle.spawn(count(limited)).expect("the limit is not reached");
            let mut next = [0; 4];
            while let Some((thread, n)) = receiver.next().await {
                assert_eq!(n, next[thread], "in the order of thread {thread}");
                next[thread] += 1;
            }
            let even = first.join().await.expect("no task cancels it")
                + second.join().await.expect("no task cancels it");
            (next, even)
        });
        assert_eq!(all, Ok(([MANY; 4], 4 * MANY.div_ceil(2))));
    });
}

#[test]
fn a_waker_can_be_lent_to_a_thread_for_a_step() {
    let counted = AtomicUsize::new(0);
    run(async |handle| {
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            if polls == 10 {
                return Poll::Ready(());
            }
            let waker = context.waker();
            thread::scope(|scope| {
                // The waker is used in turn by reference, through a clone, and through a clone that is returned to this
                // thread.
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
        handle.yield_now().await;
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
