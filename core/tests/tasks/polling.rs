use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sinbin_core::kernel::{Failure, Op};
use sinbin_core::task::{Conn, Error, Handle, NoWakers, RunContext, WaitError, join, select};
use sinbin_core::{Instant, IoError, Rest, TaskId, WaitTarget};
use sinbin_testkit::memory_host::{Log, World, yields};

fn waits(world: &World<'_>, task: TaskId) -> Vec<WaitTarget> {
    world.view(task).waits.into_iter().flatten().collect()
}

/// Receives by a new future at each poll, as adapters of other crates' traits do.
async fn recv_by_polls(conn: &Conn<'_>, buffer: &mut [u8]) -> Result<usize, Error> {
    poll_fn(|context| {
        let mut once = pin!(poll_fn(|context| conn.poll_recv(context, buffer)));
        once.as_mut().poll(context)
    })
    .await
}

async fn send_by_polls(conn: &Conn<'_>, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        let sent = poll_fn(|context| conn.poll_send(context, bytes)).await?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

#[test]
fn both_directions_of_a_connection_are_polled_in_one_task() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.peer(source).room = 3;
    let mut task = world.spawn(async move {
        let mut buffer = [0; 8];
        let (received, sent) = join(recv_by_polls(&conn, &mut buffer), send_by_polls(&conn, b"hello")).await;
        assert_eq!((received, sent), (Ok(2), Ok(())));
        assert_eq!(recv_by_polls(&conn, &mut []).await, Ok(0), "an empty buffer does not wait");
        assert_eq!(recv_by_polls(&conn, &mut buffer).await, Ok(0));
    });
    world.turn();
    world.turn();
    assert_eq!(waits(&world, task.task()), [WaitTarget::Recv(source), WaitTarget::Send(source)]);
    world.peer(source).inbox.extend(b"hi");
    world.turn();
    world.turn();
    assert_eq!(waits(&world, task.task()), [WaitTarget::Send(source)]);
    world.peer(source).room = 9;
    world.turn();
    assert_eq!(world.run(), Rest::Until(Instant::NEVER));
    assert_eq!(waits(&world, task.task()), [WaitTarget::Recv(source)]);
    assert_eq!(world.peer(source).outbox, b"hello");
    world.peer(source).finished = true;
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(()));
}

/// Crates above the traits of others poll a connection several times in a step. The event that woke the task leads to one
/// read, after which further polls in the step wait.
#[test]
fn an_event_is_used_up_by_one_read() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let mut task = world.spawn(async move {
        let (mut buffer, mut received) = ([0; 8], Vec::new());
        poll_fn(|context| {
            // The last of these polls in a step waits for more.
            for _ in 0..3 {
                if let Poll::Ready(count) = conn.poll_recv(context, &mut buffer) {
                    received.extend_from_slice(&buffer[..count.unwrap()]);
                }
            }
            if received.len() < 4 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        received
    });
    world.turn();
    assert_eq!(world.host.receives, 1, "nothing has come");
    for (number, bytes) in [(2, b"ab"), (3, b"cd")] {
        world.peer(source).inbox.extend(bytes);
        world.turn();
        world.turn();
        assert_eq!(world.host.receives, number, "one read for each event");
    }
    assert_eq!(task.take(), Some(b"abcd".to_vec()));
}

/// A poll attempts to receive when its wait has ended, and not whenever the task runs. After a read that received all
/// available bytes, the next poll waits first.
#[test]
fn a_poll_continues_the_wait_of_the_poll_before() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let mut task = world.spawn(async move {
        let mut buffer = [0; 8];
        let reads = async {
            let first = recv_by_polls(&conn, &mut buffer).await?;
            Ok::<_, Error>((first, recv_by_polls(&conn, &mut buffer).await?))
        };
        join(reads, yields(handle, 2)).await.0
    });
    for _ in 0..3 {
        world.turn();
    }
    assert_eq!(world.host.receives, 1, "the task has run for other reasons since the first attempt");
    for bytes in [b"one", b"two"] {
        world.peer(source).inbox.extend(bytes);
        world.turn();
        world.turn();
    }
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Ok((3, 3))));
    assert_eq!(world.host.receives, 3, "each of the short reads was the only attempt");
}

/// A source that is always reported after another one is polled in the end.
#[test]
fn a_poll_is_attempted_after_several_wakes_for_other_reasons() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.spawn(async move {
        let recv = async {
            assert_eq!(recv_by_polls(&conn, &mut [0; 8]).await, Ok(1));
            log.add("received");
        };
        join(recv, yields(handle, 9)).await;
    });
    // The first step leaves the wait. The bytes that arrive afterwards are not reported as long as the task yields.
    world.executor.turn(world.now, &mut world.host);
    world.peer(source).inbox.push_back(1);
    for _ in 0..3 {
        assert_eq!(log.take(), [""; 0]);
        world.executor.turn(world.now, &mut world.host);
    }
    assert_eq!(log.take(), ["received"]);
    world.run();
}

#[test]
fn readiness_is_polled_without_an_attempt() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.peer(source).room = 0;
    let mut task = world.spawn(async move {
        let recv = poll_fn(|context| conn.poll_recv_ready(context));
        let send = poll_fn(|context| conn.poll_send_ready(context));
        assert_eq!(join(recv, send).await, (Ok(()), Ok(())));
        (conn.try_recv(&mut [0; 4]), conn.try_send(b"?"))
    });
    world.turn();
    assert_eq!(waits(&world, task.task()), [WaitTarget::Recv(source), WaitTarget::Send(source)]);
    world.peer(source).inbox.push_back(1);
    world.turn();
    world.turn();
    assert_eq!(waits(&world, task.task()), [WaitTarget::Send(source)]);
    assert_eq!(world.host.receives, 0);
    world.peer(source).room = 1;
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some((Ok(1), Ok(1))));
}

#[test]
fn a_poll_is_refused_in_the_middle_of_an_operation() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.peer(source).room = 1;
    let mut task = world.spawn(async move {
        let polls = async {
            (recv_by_polls(&conn, &mut [0; 4]).await, poll_fn(|context| conn.poll_send(context, b"?")).await)
        };
        let (mut buffer, mut other) = ([0; 4], [0; 4]);
        let operations = join(conn.recv(&mut buffer), conn.send_all(b"hello"));
        let refused = select(operations, polls).await;
        assert!(matches!(refused, sinbin_core::task::Either::Second((Err(_), Err(_)))), "{refused:?}");
        // The dropped operations no longer block the polls. In the other order, the operation has the connection.
        let both = join(recv_by_polls(&conn, &mut buffer), conn.recv(&mut other)).await;
        assert_eq!(both, (Err(WaitError::Busy.into()), Ok(2)));
    });
    world.turn();
    world.peer(source).inbox.extend(b"ab");
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(()));
}

#[test]
fn a_poll_fails_as_an_operation_does() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let outside = world.connect();
    let source = conn.source();
    world.peer(source).room = 0;
    let mut task = world.spawn(async move {
        let broken = join(recv_by_polls(&conn, &mut [0; 4]), send_by_polls(&conn, b"hello")).await;
        let failed = |op| Err(Error::Failed(Failure { op, source, error: IoError::Reset }));
        assert_eq!(broken, (failed(Op::Recv).map(|()| 0), failed(Op::Send)));
        // A waker that is not the task's own is one that a proxy wakes.
        assert!(conn.poll_recv_ready(&Context::from_waker(Waker::noop())).is_pending());
    });
    world.turn();
    world.peer(source).fails = Some(IoError::Reset);
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(()));
    let context = Context::from_waker(Waker::noop());
    let elsewhere = Poll::Ready(Err(WaitError::Elsewhere.into()));
    assert_eq!(outside.poll_recv(&context, &mut [0; 4]), elsewhere);
    assert_eq!(outside.poll_send(&context, b"?"), elsewhere);
}

#[test]
fn a_poll_of_a_cancelled_task_is_refused() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let mut task = world.spawn(async move { recv_by_polls(&conn, &mut [0; 4]).await });
    world.turn();
    task.cancel();
    world.cancel(task.task());
    world.run();
    assert_eq!(task.take(), Some(Err(WaitError::Cancelled.into())));
}

/// The bytes are passed from the buffer of the loop, up to the limit of each poll.
#[test]
fn polls_can_pass_the_bytes_of_the_loops_buffer() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let mut task = world.spawn(async move {
        let mut heard = Vec::new();
        loop {
            let poll = |context: &mut Context<'_>| conn.poll_recv_with(context, 3, <[u8]>::to_vec);
            match poll_fn(poll).await? {
                end if end.is_empty() => break,
                piece => heard.push(piece),
            }
        }
        let refused = poll_fn(|context| conn.poll_recv_with(context, 3, |_| conn.try_recv(&mut [0])));
        assert_eq!(refused.await?, Err(WaitError::Elsewhere.into()), "a callback has no loop");
        Ok::<_, Error>(heard)
    });
    world.turn();
    world.turn();
    assert_eq!(waits(&world, task.task()), [WaitTarget::Recv(source)]);
    world.peer(source).inbox.extend(b"hello");
    world.turn();
    world.turn();
    world.peer(source).finished = true;
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Ok(vec![b"hel".to_vec(), b"lo".to_vec()])));
}

/// The bytes that one operation did not receive are available to the next, whether it polls or awaits.
#[test]
fn polls_and_operations_alternate() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let mut task = world.spawn(async move {
        let mut heard = Vec::new();
        for round in 0..6 {
            let mut buffer = [0; 2];
            let count = match round % 3 {
                0 => recv_by_polls(&conn, &mut buffer).await?,
                1 => conn.recv(&mut buffer).await?,
                _ => {
                    select(recv_by_polls(&conn, &mut buffer), handle.yield_now()).await;
                    recv_by_polls(&conn, &mut buffer).await?
                }
            };
            heard.extend_from_slice(&buffer[..count]);
        }
        Ok::<_, Error>(heard)
    });
    for byte in 0..6 {
        world.turn();
        world.turn();
        world.peer(source).inbox.push_back(byte);
        world.turn();
        world.run();
    }
    assert!(task.take().is_some_and(|heard| heard.is_ok_and(|heard| heard.starts_with(&[0, 1]))));
}

#[test]
fn an_empty_buffer_is_received_and_sent_at_once() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let mut task = world.spawn(async move {
        let received = poll_fn(|context| conn.poll_recv(context, &mut [])).await;
        (received, poll_fn(|context| conn.poll_send(context, &[])).await)
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some((Ok(0), Ok(0))));
}

/// A task that could always send gives other tasks a turn when it has spent its budget.
#[test]
fn a_task_that_sends_without_end_lets_others_run() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let mut task = world.spawn(async move { send_by_polls(&conn, &[0; 100]).await });
    world.peer(source).room = 0;
    let grows = world.spawn(async move { yields(handle, 50).await });
    for _ in 0..200 {
        if let Some(peer) = world.host.peers.get_mut(&source) {
            peer.room += 1;
        }
        world.executor.kernel.ready(source, sinbin_core::Interest::SEND);
        world.turn();
    }
    assert!(grows.is_over());
    assert_eq!((world.run(), task.take()), (Rest::Empty, Some(Ok(()))));
}

/// Many small sends in one step spend the budget of the step.
#[test]
fn polls_that_send_count_towards_the_budget() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let mut task = world.spawn(async move {
        for _ in 0..100 {
            poll_fn(|context| conn.poll_send(context, b"x")).await?;
        }
        Ok::<_, Error>(())
    });
    let mut turns = 0;
    while !task.is_over() {
        world.turn();
        turns += 1;
    }
    assert!(turns > 2, "100 operations take several steps");
    assert_eq!(task.take(), Some(Ok(())));
}
