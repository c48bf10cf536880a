//! Channels, signals and selections of other crates.

use std::rc::Rc;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use futures_channel::oneshot;
use futures_util::future::join_all;
use sinbin_core::task::{JoinErrorKind, WaitError};

use crate::loopback::run;

#[test]
fn an_embassy_channel_hands_on_between_tasks() {
    let said = run(async |handle| {
        let channel = Rc::new(embassy_sync::channel::Channel::<NoopRawMutex, u32, 2>::new());
        let to = Rc::clone(&channel);
        // Both tasks wait in turn, since the channel holds two values.
        let mut sender = handle.spawn(async move {
            for n in 0..100 {
                to.send(n).await;
            }
        })?;
        let mut said = Vec::new();
        while said.len() < 100 {
            said.push(channel.receive().await);
        }
        sender.join().await.expect("no task cancels it");
        Ok::<_, WaitError>(said)
    });
    assert_eq!(said, Ok((0..100).collect()));
}

#[test]
fn an_embassy_signal_reaches_who_waits_and_who_comes_later() {
    run(async |handle| {
        let signal = Rc::new(embassy_sync::signal::Signal::<NoopRawMutex, &str>::new());
        let from = Rc::clone(&signal);
        let mut waiting = handle.spawn(async move { from.wait().await }).expect("the limit is not reached");
        handle.yield_now().await;
        signal.signal("first");
        assert_eq!(waiting.join().await.expect("no task cancels it"), "first");
        signal.signal("second");
        assert_eq!(signal.wait().await, "second");
    });
}

#[test]
fn an_async_channel_hands_on_between_tasks() {
    run(async |handle| {
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
            sums.push(handle.spawn(sum).expect("the limit is not reached"));
        }
        for n in 1..=100 {
            sender.send(n).await.expect("they listen");
        }
        drop((sender, receiver));
        let mut all = 0;
        for sum in &mut sums {
            all += sum.join().await.expect("no task cancels it");
        }
        assert_eq!(all, 5050);
    });
}

#[test]
fn who_is_cancelled_drops_the_foreign_future() {
    run(async |handle| {
        let (sender, receiver) = oneshot::channel::<()>();
        let mut task = handle.spawn(receiver).expect("the limit is not reached");
        handle.yield_now().await;
        assert!(!sender.is_canceled());
        task.cancel();
        assert_eq!(task.join().await.expect_err("it was cancelled").why, JoinErrorKind::Cancelled);
        assert!(sender.is_canceled(), "and its waker was given back");
    });
}

#[test]
fn up_to_thirty_futures_are_joined_by_the_tasks_own_waker() {
    run(async |handle| {
        // With more than 30 futures, `join_all` uses an executor of its own.
        let tasks: Vec<_> =
            (0..5).map(|n| handle.spawn(async move { n }).expect("the limit is not reached")).collect();
        let joined = join_all(tasks.into_iter().map(|mut task| async move { task.join().await.ok() })).await;
        assert_eq!(joined, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
    });
}
