//! Executors within a task, and tasks that wait for each other.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sinbin_core::task::{Error, JoinErrorKind, JoinHandle, WaitError};

use crate::inbox::Inbox;
use crate::loopback::{Stalled, run, run_with, wire};

#[test]
fn an_executor_within_the_task_is_told_that_it_is_one() {
    run(async |handle| {
        let conn = wire(handle).await;
        let (mut one, mut other) = ([0; 4], [0; 4]);
        let mut received: FuturesUnordered<_> =
            [conn.recv(&mut one), conn.recv(&mut other)].into_iter().collect();
        for _ in 0..2 {
            assert_eq!(received.next().await, Some(Err(Error::Wait(WaitError::Wrapped))));
        }
        assert_eq!(received.next().await, None);
        drop(received);

        let mut ready: FuturesUnordered<_> = [conn.readable()].into_iter().collect();
        assert_eq!(ready.next().await, Some(Err(Error::Wait(WaitError::Wrapped))));
        drop(ready);

        // An operation that does not have to wait works here too.
        conn.send_all(b"here").await.expect("a wire");
        let mut received: FuturesUnordered<_> = [conn.recv(&mut one)].into_iter().collect();
        assert_eq!(received.next().await, Some(Ok(4)));
        drop(received);

        let mut task =
            handle.spawn(async move { handle.yield_now().await }).expect("the limit is not reached");
        let mut joined: FuturesUnordered<_> = [task.join()].into_iter().collect();
        let refused = joined.next().await.map(|joined| joined.map_err(|error| error.why));
        assert_eq!(refused, Some(Err(JoinErrorKind::Wait(WaitError::Wrapped))));
        drop(joined);
        task.join().await.expect("it can be waited for by us, as ever");
    });
}

#[test]
fn sleeps_and_foreign_futures_may_be_in_an_executor_within_the_task() {
    run(async |handle| {
        let sleeps = (1..=5).rev().map(|n| async move {
            handle.sleep(Duration::from_millis(n)).await;
            n
        });
        let slept: Vec<_> = sleeps.collect::<FuturesUnordered<_>>().collect().await;
        assert_eq!(slept, [1, 2, 3, 4, 5]);

        let (senders, receivers): (Vec<_>, Vec<_>) = (0..5).map(|_| oneshot::channel()).unzip();
        let mut task = handle
            .spawn(async move {
                for (n, sender) in (0..).zip(senders) {
                    handle.yield_now().await;
                    sender.send(n).expect("a task waits");
                }
            })
            .expect("the limit is not reached");
        let heard: Vec<_> = receivers.into_iter().collect::<FuturesUnordered<_>>().collect().await;
        assert_eq!(heard, [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)]);
        task.join().await.expect("no task cancels it");
    });
}

#[test]
fn tasks_that_wait_for_each_other_are_stalled_even_here() {
    let stalled = run_with(&Inbox::default(), async |handle| {
        let handles = Rc::new(RefCell::new(Vec::<JoinHandle<'_, ()>>::new()));
        let wait = |index: usize| {
            let handles = Rc::clone(&handles);
            async move {
                let mut other = handles.borrow_mut().remove(index);
                other.join().await.ok();
            }
        };
        let first = handle.spawn(wait(1)).expect("the limit is not reached");
        let second = handle.spawn(wait(0)).expect("the limit is not reached");
        handles.borrow_mut().extend([first, second]);
    });
    assert_eq!(stalled, Err(Stalled));
}
