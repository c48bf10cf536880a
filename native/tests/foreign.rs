//! Tests of other crates' futures on the native loop: a wake from any thread ends the loop's wait.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sinbin::task::{Conn, Handle, join};

/// The time after which a test has failed, which only guards against hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs `test` on a separate thread, and panics after a timeout. A lost wake is then a failure, not a hang.
fn in_time<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, result) = mpsc::channel();
    let tested = thread::spawn(move || sender.send(test()));
    match result.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not within {PATIENCE:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match tested.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => unreachable!("it has sent nothing"),
        },
    }
}

fn run<T>(main: impl AsyncFnOnce(Handle<'_>) -> T) -> T {
    sinbin::run(main).expect("the loop does not stall")
}

#[test]
fn another_thread_ends_the_wait_of_a_loop_without_timers() {
    let (answer, late) = in_time(|| {
        let (sender, receiver) = oneshot::channel();
        let (asks, asked) = mpsc::channel();
        let thread = thread::spawn(move || {
            asked.recv().expect("the loop asks");
            // The pause is long enough that the loop waits by now. If it does not, the test proves less, but still
            // passes.
            thread::sleep(Duration::from_millis(50));
            sender.send(Instant::now()).expect("a task waits");
        });
        let answer = run(async |handle| {
            let mut task = handle.spawn(receiver).expect("there is room");
            asks.send(()).expect("the thread listens");
            let sent = task.join().await.expect("it is not cancelled");
            sent.map(|sent| sent.elapsed())
        });
        thread.join().expect("it only sends");
        (answer.is_ok(), answer.unwrap_or_default())
    });
    assert!(answer);
    assert!(late < PATIENCE / 15, "the wake is not delayed: {late:?} late");
}

#[test]
fn questions_and_answers_go_to_and_from_a_thread() {
    let sum = in_time(|| {
        let (ask, questions) = async_channel::bounded::<u64>(1);
        let (answer, answers) = async_channel::bounded(1);
        let thread = thread::spawn(move || {
            while let Ok(question) = questions.recv_blocking() {
                answer.send_blocking(question * 2).expect("the loop listens");
            }
        });
        let sum = run(async |_| {
            let mut sum = 0;
            for n in 0..1000 {
                ask.send(n).await.expect("the thread listens");
                sum += answers.recv().await.expect("the thread answers");
            }
            drop(ask);
            sum
        });
        thread.join().expect("it ends with the questions");
        sum
    });
    assert_eq!(sum, 999 * 1000);
}

#[test]
fn thousands_of_wakes_from_four_threads_lose_nothing() {
    const EACH: u32 = 20_000;
    let heard = in_time(|| {
        let (sender, mut receiver) = futures_channel::mpsc::unbounded();
        let (bounded, limited) = async_channel::bounded(3);
        let threads: Vec<_> = (0..4)
            .map(|thread: usize| {
                let (sender, bounded) = (sender.clone(), bounded.clone());
                thread::spawn(move || {
                    for n in 0..EACH {
                        sender.unbounded_send((thread, n)).expect("the receiver exists");
                        if n % 10 == 0 {
                            bounded.send_blocking(n).expect("the receiver exists");
                        }
                    }
                })
            })
            .collect();
        drop((sender, bounded));
        let heard = run(async |handle| {
            let count = |receiver: async_channel::Receiver<u32>| async move {
                let mut count = 0;
                while receiver.recv().await.is_ok() {
                    count += 1;
                }
                count
            };
            let mut tasks = [(); 3].map(|()| handle.spawn(count(limited.clone())).expect("there is room"));
            drop(limited);
            let mut next = [0; 4];
            while let Some((thread, n)) = receiver.next().await {
                assert_eq!(n, next[thread], "in the order of thread {thread}");
                next[thread] += 1;
            }
            let mut tenth = 0;
            for task in &mut tasks {
                tenth += task.join().await.expect("it is not cancelled");
            }
            (next, tenth)
        });
        threads.into_iter().for_each(|thread| thread.join().expect("they only send"));
        heard
    });
    assert_eq!(heard, ([EACH; 4], 4 * EACH / 10));
}

#[test]
fn a_waker_that_outlives_its_task_and_its_loop_wakes_nobody() {
    in_time(|| {
        let old: Waker = run(async |handle| {
            let keep = poll_fn(|context| Poll::Ready(context.waker().clone()));
            let mut first = handle.spawn(keep).expect("there is room");
            let place = first.task().index();
            let old = first.join().await.expect("it is not cancelled");
            // A second task, which counts its polls, occupies the same slot.
            let (opens, opened) = oneshot::channel::<()>();
            let mut opened = Box::pin(opened);
            let mut polls = 0;
            let counts = poll_fn(move |context| {
                polls += 1;
                opened.as_mut().poll(context).map(|_| polls)
            });
            let mut second = handle.spawn(counts).expect("there is room");
            assert_eq!(second.task().index(), place, "the second task occupies the first one's slot");
            handle.yield_now().await;
            let there = old.clone();
            thread::spawn(move || there.wake()).join().expect("waking does not panic");
            old.wake_by_ref();
            for _ in 0..3 {
                handle.yield_now().await;
            }
            opens.send(()).expect("it waits");
            assert_eq!(second.join().await.expect("it is not cancelled"), 2, "first, and when it was woken");
            old
        });
        old.wake_by_ref();
        thread::spawn(move || old.wake()).join().expect("waking does not panic");
    });
}

#[test]
fn receivers_wait_within_an_executor_too() {
    in_time(|| {
        run(async |handle| {
            let listener = handle.listen("127.0.0.1:0").expect("a free port");
            let (client, server) = join(handle.connect(listener.address()), listener.accept()).await;
            let (client, (server, _)) = (client.expect("a client"), server.expect("a server"));
            let receive = async |conn: &Conn<'_>| {
                let (mut all, mut buffer) = (Vec::new(), [0; 8]);
                while all.len() < 5 {
                    let count = conn.recv(&mut buffer).await.expect("a connection");
                    all.extend(&buffer[..count]);
                }
                all
            };
            for _ in 0..300 {
                let received: FuturesUnordered<_> =
                    [receive(&client), receive(&server)].into_iter().collect();
                let send = async {
                    handle.yield_now().await;
                    server.send_all(b"hello").await?;
                    client.send_all(b"hello").await
                };
                let (received, sent) = join(received.collect::<Vec<_>>(), send).await;
                assert_eq!((received, sent), (vec![b"hello".to_vec(); 2], Ok(())));
            }
            let mut other = [0; 8];
            // Receiving works again when each future has the task's own waker.
            let (heard, sent) = join(server.recv(&mut other), client.send_all(b"hello")).await;
            assert_eq!((heard, sent), (Ok(5), Ok(())));
        });
    });
}

#[test]
fn a_foreign_yield_lets_sockets_have_their_turn() {
    in_time(|| {
        run(async |handle| {
            let listener = handle.listen("127.0.0.1:0").expect("a free port");
            let (client, server) = join(handle.connect(listener.address()), listener.accept()).await;
            let (client, (server, _)) = (client.expect("a client"), server.expect("a server"));
            let mut heard = handle
                .spawn(async move {
                    let mut buffer = [0; 8];
                    server.recv(&mut buffer).await.expect("a connection")
                })
                .expect("there is room");
            let spins = Cell::new(0_u64);
            client.send_all(b"hello").await.expect("a connection");
            // This future is woken all the time, and must not starve the others.
            poll_fn(|context| {
                spins.set(spins.get() + 1);
                if heard.is_over() {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            assert_eq!(heard.join().await.expect("it is not cancelled"), 5);
            assert!(spins.get() > 1, "it had to wait");
        });
    });
}
