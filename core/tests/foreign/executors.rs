//! Executors within a task, and tasks that wait for each other.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use proptest::collection;
use proptest::prelude::*;
use sinbin_core::sync::Event;
use sinbin_core::task::{Conn, Either, Error, Handle, JoinHandle, WaitError, join, select};

use crate::inbox::Inbox;
use crate::loopback::{Stalled, run, run_with, wire};

#[test]
fn sources_may_be_awaited_in_an_executor_within_the_task() {
    run(async |handle| {
        let mut conns = Vec::new();
        for _ in 0..6 {
            conns.push(Rc::new(wire(handle).await));
        }
        let senders = conns.clone();
        let receive = |at: usize| {
            let conn = Rc::clone(&conns[at]);
            async move {
                let mut buffer = [0; 4];
                let count = conn.recv(&mut buffer).await.expect("a wire");
                (at, buffer[0], count)
            }
        };
        let mut received: FuturesUnordered<_> = (0..6).map(receive).collect();
        let mut task = handle
            .spawn(async move {
                for at in [3, 0, 5, 1, 4, 2] {
                    handle.sleep(Duration::from_millis(1)).await;
                    senders[at].send_all(&[7, 7]).await.expect("a wire");
                }
            })
            .expect("the limit is not reached");
        for at in [3, 0, 5, 1, 4, 2] {
            assert_eq!(received.next().await, Some((at, 7, 2)));
        }
        assert_eq!(received.next().await, None);
        task.join().await.expect("no task cancels it");
    });
}

#[test]
fn both_directions_of_a_connection_may_be_in_an_executor_within_the_task() {
    run(async |handle| {
        let conn = wire(handle).await;
        let text: Vec<u8> = (0..200).collect();
        let send = async {
            conn.send_all(&text).await.expect("a wire");
            Vec::new()
        };
        let receive = async {
            let mut all = Vec::new();
            while all.len() < 200 {
                let mut buffer = [0; 3];
                let count = conn.recv(&mut buffer).await.expect("a wire");
                all.extend(&buffer[..count]);
            }
            all
        };
        let parts: [Pin<Box<dyn Future<Output = Vec<u8>>>>; 2] = [Box::pin(receive), Box::pin(send)];
        let all: Vec<_> = parts.into_iter().collect::<FuturesUnordered<_>>().collect().await;
        assert_eq!(all.concat(), text);
    });
}

/// Neither a part that was dropped nor one that was forgotten keeps another future from waiting, or the loop from ending.
#[test]
fn a_wait_in_an_executor_within_the_task_ends_with_its_future() {
    run(async |handle| {
        let conn = Rc::new(wire(handle).await);
        for _ in 0..3 {
            let mut buffer = [0; 4];
            let mut dropped: FuturesUnordered<_> = [conn.recv(&mut buffer)].into_iter().collect();
            let late = select(dropped.next(), handle.sleep(Duration::from_millis(1))).await;
            assert_eq!(late, Either::Second(()));
        }
        let mut buffer = [0; 4];
        assert_eq!(join(conn.recv(&mut buffer), conn.send_all(b"here")).await, (Ok(4), Ok(())));

        let forgetful = Rc::clone(&conn);
        let mut task = handle
            .spawn(async move {
                let receive = async move { forgetful.readable().await };
                let mut forgotten: FuturesUnordered<_> = [Box::pin(receive)].into_iter().collect();
                select(forgotten.next(), handle.sleep(Duration::from_millis(1))).await;
                // Miri reports memory that is forgotten.
                if cfg!(miri) { drop(forgotten) } else { std::mem::forget(forgotten) }
            })
            .expect("the limit is not reached");
        task.join().await.expect("no task cancels it");
        assert_eq!(join(conn.recv(&mut buffer), conn.send_all(b"here")).await, (Ok(4), Ok(())));
    });
}

/// Two parts wait for the same connection and are dropped before the proxy runs; and a part is dropped that has polled
/// the connection without a future, so that the outcome of its wait is left behind.
#[test]
fn waits_of_dropped_parts_leave_nothing_behind_that_matters() {
    run(async |handle| {
        let conn = wire(handle).await;
        let mut dropped: FuturesUnordered<_> = [conn.readable(), conn.readable()].into_iter().collect();
        select(dropped.next(), handle.yield_now()).await;
        drop(dropped);

        let mut polled: FuturesUnordered<_> =
            [poll_fn(|context| conn.poll_recv_ready(context))].into_iter().collect();
        select(polled.next(), handle.sleep(Duration::from_millis(1))).await;
        drop(polled);
        conn.send_all(b"one").await.expect("a wire");
        handle.sleep(Duration::from_millis(1)).await;

        let mut all = Vec::new();
        for text in [&b""[..], b"two"] {
            conn.send_all(text).await.expect("a wire");
            let receive = async {
                let mut buffer = [0; 4];
                let count = conn.recv(&mut buffer).await.expect("a wire");
                buffer[..count].to_vec()
            };
            let mut parts: FuturesUnordered<_> = [receive].into_iter().collect();
            all.extend(parts.next().await.expect("a part"));
        }
        assert_eq!(all, b"onetwo");
        // Waits by proxy, as the wire is empty.
        let receive = async { conn.recv(&mut [0; 4]).await };
        let parts: FuturesUnordered<_> = [receive].into_iter().collect();
        let send = async {
            handle.sleep(Duration::from_millis(1)).await;
            conn.send_all(b"more").await
        };
        assert_eq!(join(parts.collect::<Vec<_>>(), send).await, (vec![Ok(4)], Ok(())));
    });
}

#[test]
fn an_executor_within_a_cancelled_task_is_told() {
    run(async |handle| {
        let conn = Rc::new(wire(handle).await);
        let (inner, cleaned_up) = (Rc::clone(&conn), Rc::new(Cell::new(false)));
        let flag = Rc::clone(&cleaned_up);
        let mut task = handle
            .spawn(async move {
                let receive = async {
                    let mut buffer = [0; 4];
                    assert_eq!(
                        inner.recv(&mut buffer).await,
                        Err(Error::Wait(WaitError::Cancelled)),
                        "it is told where it waits"
                    );
                    // The cleanup waits for a source again, in the same executor.
                    let count = handle.shield(inner.recv(&mut buffer)).await;
                    flag.set(count == Ok(3));
                };
                let mut parts: FuturesUnordered<_> = [receive].into_iter().collect();
                parts.next().await
            })
            .expect("the limit is not reached");
        handle.sleep(Duration::from_millis(1)).await;
        task.cancel();
        handle.sleep(Duration::from_millis(1)).await;
        assert!(!cleaned_up.get());
        conn.send_all(b"now").await.expect("a wire");
        assert_eq!(task.join().await.expect("it ends in order"), Some(()));
        assert!(cleaned_up.get());
    });
}

#[test]
fn a_second_task_that_waits_for_the_same_is_refused_within_an_executor_too() {
    run(async |handle| {
        let conn = Rc::new(wire(handle).await);
        let first = Rc::clone(&conn);
        let mut task = handle
            .spawn(async move {
                let mut parts: FuturesUnordered<_> = [first.readable()].into_iter().collect();
                parts.next().await
            })
            .expect("the limit is not reached");
        handle.sleep(Duration::from_millis(1)).await;
        let mut parts: FuturesUnordered<_> = [conn.readable()].into_iter().collect();
        assert_eq!(parts.next().await, Some(Err(Error::Wait(WaitError::Busy))));
        drop(parts);
        assert_eq!(conn.readable().await, Err(Error::Wait(WaitError::Busy)));
        conn.send_all(b"x").await.expect("a wire");
        assert_eq!(task.join().await.expect("no task cancels it"), Some(Ok(())));

        // The other way round: the first task waits itself.
        let first = Rc::clone(&conn);
        let mut buffer = [0; 4];
        assert_eq!(conn.recv(&mut buffer).await, Ok(1));
        let mut task = handle.spawn(async move { first.readable().await }).expect("the limit is not reached");
        handle.sleep(Duration::from_millis(1)).await;
        let mut parts: FuturesUnordered<_> = [conn.readable()].into_iter().collect();
        assert_eq!(parts.next().await, Some(Err(Error::Wait(WaitError::Busy))));
        drop(parts);
        conn.send_all(b"x").await.expect("a wire");
        assert_eq!(task.join().await.expect("no task cancels it"), Ok(()));
    });
}

#[test]
fn tasks_may_be_joined_in_an_executor_within_the_task() {
    run(async |handle| {
        let sleeps = [3, 1, 2].map(|n| async move {
            handle.sleep(Duration::from_millis(n)).await;
            n
        });
        let tasks = sleeps.map(|sleep| handle.spawn(sleep).expect("the limit is not reached"));
        let join = async |mut task: JoinHandle<'_, u64>| task.join().await.expect("no task cancels it");
        let ended: Vec<_> = tasks.into_iter().map(join).collect::<FuturesUnordered<_>>().collect().await;
        assert_eq!(ended, [1, 2, 3]);
    });
}

#[test]
fn an_executor_within_the_task_cannot_wait_for_the_end_of_the_loop() {
    run(async |handle| {
        let mut parts: FuturesUnordered<_> = [handle.stopping()].into_iter().collect();
        assert_eq!(parts.next().await, Some(Err(WaitError::Wrapped)));
    });
}

/// The executor continues in another task, and the task that has polled it before ends.
#[test]
fn an_executor_may_move_to_another_task() {
    let moved = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&moved);
    run(async |handle| {
        let millis = Duration::from_millis;
        let (event, conn) = (Rc::new(Event::new(handle)), Rc::new(wire(handle).await));
        let (set, sender) = (Rc::clone(&event), Rc::clone(&conn));
        let mut first = handle
            .spawn(async move {
                let parts: [Pin<Box<dyn Future<Output = u8>>>; 3] = [
                    Box::pin(async move { event.wait().await.map_or(9, |()| 0) }),
                    Box::pin(
                        async move { handle.timeout(millis(5), pending::<()>()).await.map_or(1, |()| 9) },
                    ),
                    Box::pin(async move { conn.readable().await.map_or(9, |()| 2) }),
                ];
                let mut parts: FuturesUnordered<_> = parts.into_iter().collect();
                assert_eq!(select(parts.next(), handle.sleep(millis(1))).await, Either::Second(()));
                handle.spawn(async move {
                    while let Some(n) = parts.next().await {
                        log.borrow_mut().push(n);
                    }
                })
            })
            .expect("the limit is not reached");
        let mut second = first.join().await.expect("no task cancels it").expect("the limit is not reached");
        handle.sleep(millis(2)).await;
        set.set().expect("it is here");
        handle.sleep(millis(9)).await;
        sender.send_all(b"x").await.expect("a wire");
        second.join().await.expect("no task cancels it");
    });
    assert_eq!(*moved.borrow(), [0, 1, 2]);
}

/// The executor continues in another task before its waits end, and the first task lives on.
#[test]
fn an_executor_that_has_moved_may_poll_its_parts_at_any_time() {
    run(async |handle| {
        let conn = Rc::new(wire(handle).await);
        let (receiver, cancelled) = oneshot::channel::<()>();
        let receive = {
            let conn = Rc::clone(&conn);
            async move {
                let told = select(conn.readable(), cancelled).await;
                assert!(matches!(told, Either::Second(_)), "it is polled before it is told");
                conn.readable().await
            }
        };
        let mut parts: FuturesUnordered<_> = [receive].into_iter().collect();
        assert_eq!(select(parts.next(), handle.sleep(Duration::from_millis(1))).await, Either::Second(()));
        let mut task = handle.spawn(async move { parts.next().await }).expect("the limit is not reached");
        handle.sleep(Duration::from_millis(1)).await;
        receiver.send(()).expect("a part waits");
        handle.sleep(Duration::from_millis(1)).await;
        conn.send_all(b"x").await.expect("a wire");
        assert_eq!(task.join().await.expect("no task cancels it"), Some(Ok(())));
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

/// Receives from wires in an executor that is made anew after each byte and after each deadline, until `expected` bytes
/// have arrived. Returns the wires of the bytes with the bytes.
async fn receive_by_parts(
    handle: Handle<'_>,
    conns: &[(usize, Rc<Conn<'_>>)],
    expected: usize,
    patience: u64,
) -> Vec<(usize, u8)> {
    let mut all = Vec::new();
    while all.len() < expected {
        let receive = async |(at, conn): &(usize, Rc<Conn<'_>>)| {
            let mut buffer = [0; 1];
            assert_eq!(conn.recv(&mut buffer).await, Ok(1));
            (*at, buffer[0])
        };
        let mut parts: FuturesUnordered<_> = conns.iter().map(receive).collect();
        if let Ok(byte) = handle.timeout(Duration::from_micros(patience), parts.next()).await {
            all.extend(byte);
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 200 })
    })]

    /// Executors within executors within a task, each with waits that are dropped all the time, beside waits of the task
    /// itself: no byte is lost, and the order of each wire is kept.
    #[test]
    fn executors_within_a_task_lose_no_byte(
        sends in collection::vec((0..6_usize, 1..=4_u8, 0..400_u64), 0..40),
        count in 1..=3_usize,
        patience in 1..700_u64,
    ) {
        let sent = sends.iter().flat_map(|(at, len, _)| (0..*len).map(|n| (*at, n)));
        let sent: Vec<_> = sent.collect();
        let received = run(async |handle| {
            let mut conns = Vec::new();
            for at in 0..6 {
                conns.push((at, Rc::new(wire(handle).await)));
            }
            let senders = conns.clone();
            let mut sender = handle.spawn(async move {
                for (at, len, pause) in sends {
                    handle.sleep(Duration::from_micros(pause)).await;
                    let bytes: Vec<_> = (0..len).collect();
                    senders[at].1.send_all(&bytes).await.expect("a wire");
                }
            }).expect("the limit is not reached");
            let parts = (0..count).map(|part| {
                let mine: Vec<_> = conns.iter().filter(|(at, _)| at % count == part).cloned().collect();
                let expected = sent.iter().filter(|(at, _)| at % count == part).count();
                async move { receive_by_parts(handle, &mine, expected, patience).await }
            });
            let all: Vec<_> = parts.collect::<FuturesUnordered<_>>().collect().await;
            sender.join().await.expect("no task cancels it");
            all.concat()
        });
        for wire in 0..6 {
            let of = |all: &[(usize, u8)]| all.iter().filter(|(at, _)| *at == wire).map(|(_, n)| *n).collect::<Vec<_>>();
            prop_assert_eq!(of(&received), of(&sent));
        }
    }
}
