use std::rc::Rc;

use sinbin_core::kernel::{Failure, Op};
use sinbin_core::task::{Conn, Error, Handle, JobError, NoWakers, RunContext, WaitError, join, select};
use sinbin_core::{Instant, Interest, IoError, Rest, SourceId};
use sinbin_testkit::memory_host::{Log, Peer, World};

fn failed<T>(op: Op, source: SourceId, error: IoError) -> Result<T, Error> {
    Err(Error::Failed(Failure { op, source, error }))
}

/// A host may report readiness that does not exist, for example because another task has consumed it.
#[test]
fn false_readiness_ends_no_wait() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conns = [(); 3].map(|()| world.connect());
    let sources = conns.each_ref().map(Conn::source);
    sources.iter().for_each(|source| world.peer(*source).room = 0);
    let [first, second, third] = conns;
    world.spawn(async move { log.add(first.recv(&mut [0; 9]).await.unwrap()) });
    world.spawn(async move { log.add(second.recv_with(<[u8]>::len).await.unwrap()) });
    world.spawn(async move { log.add(third.send(b"hello").await.unwrap()) });
    world.turn();
    for _ in 0..3 {
        for source in sources {
            world.executor.kernel.ready(source, Interest::RECV | Interest::SEND);
        }
        assert_eq!(world.turn(), 3);
        assert_eq!(world.run(), Rest::Until(Instant::NEVER));
        assert_eq!(log.take(), [0; 0]);
    }
    world.peer(sources[0]).inbox.push_back(1);
    world.peer(sources[1]).inbox.extend([1; 2]);
    world.peer(sources[2]).room = 3;
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [1, 2, 3]);
}

/// Each operation returns the error with its source, both when it fails immediately and when it fails after a wait.
#[test]
fn a_connection_that_breaks_in_the_middle_is_an_error_to_whoever_uses_it() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    for waits in [false, true] {
        let mut world = World::new(handle);
        let conns = [(); 2].map(|()| world.connect());
        let [at_one, at_other] = conns.each_ref().map(Conn::source);
        let mut task = world.spawn(async move {
            let [one, other] = conns;
            assert!(one.handle().current().is_ok());
            let mut buffer = [0; 4];
            let (received, sent) = join(one.recv(&mut buffer), one.send_all(b"hello")).await;
            assert_eq!(received, failed(Op::Recv, at_one, IoError::Reset));
            assert_eq!(sent, failed(Op::Send, at_one, IoError::Reset));
            assert_eq!(one.try_send(b"?"), failed(Op::Send, at_one, IoError::Reset));
            assert_eq!(one.try_recv_with(<[u8]>::len), failed(Op::Recv, at_one, IoError::Reset));
            other.recv_with(<[u8]>::len).await
        });
        world.peer(at_one).room = 0;
        if waits {
            assert_eq!((world.turn(), task.is_over()), (1, false));
            assert_eq!(world.run(), Rest::Until(Instant::NEVER));
        }
        for source in [at_one, at_other] {
            *world.peer(source) = Peer { fails: Some(IoError::Reset), ..Peer::default() };
        }
        world.turn();
        assert_eq!(world.run(), Rest::Empty);
        assert_eq!(task.take(), Some(failed(Op::Recv, at_other, IoError::Reset)));
        assert!(world.host.peers.is_empty(), "both are closed");
    }
}

/// The end of a job wakes no waiter for the source of equal index, and the end of a source wakes no waiter for such a
/// job.
#[test]
fn a_job_that_is_gone_ends_no_wait_for_a_source_of_the_same_number() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conns = [(); 2].map(|()| world.connect());
    let sources = conns.each_ref().map(Conn::source);
    for (conn, n) in conns.into_iter().zip(1..) {
        world.spawn(async move {
            join(
                async {
                    let lost: Result<(), _> = handle.job(|| panic!("the job is not computed")).await;
                    log.add((n, "job", lost.is_err_and(|lost| lost == JobError::Failed)));
                },
                async {
                    let ready = conn.readable().await;
                    log.add((n, "readable", ready.is_ok()));
                },
            )
            .await;
        });
    }
    world.turn();
    world.turn();
    let jobs: Vec<_> = world.host.jobs.keys().copied().collect();
    assert_eq!(jobs.iter().map(|job| job.index()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(sources.map(SourceId::index), [0, 1]);
    assert!(world.executor.kernel.end_job(jobs[0]));
    assert!(world.executor.kernel.close(sources[1]));
    world.run();
    assert_eq!(log.take(), [(1, "job", true), (2, "readable", true)]);
    assert!(world.executor.kernel.end_job(jobs[1]));
    world.peer(sources[0]).inbox.push_back(1);
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    let mut said = log.take();
    said.sort_unstable();
    assert_eq!(said, [(1, "readable", true), (2, "job", true)]);
}

/// With an empty buffer, receiving and sending complete without a wait.
#[test]
fn nothing_is_received_into_nothing_and_nothing_sent_of_nothing() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    world.peer(conn.source()).room = 0;
    world.spawn(async move {
        assert_eq!(conn.recv(&mut []).await, Ok(0));
        assert_eq!(conn.send(b"").await, Ok(0));
        assert_eq!(conn.send_all(b"").await, Ok(()));
    });
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn who_is_cancelled_in_the_middle_of_receiving_or_sending_is_told() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.peer(source).room = 3;
    let mut task = world.spawn(async move {
        let mut buffer = [0];
        let (received, sent) = join(conn.recv(&mut buffer), conn.send_all(b"hello")).await;
        log.add((received, sent));
        log.add((conn.recv_with(<[u8]>::len).await, conn.writable().await));
        // Operations that never wait still work, so a cancelled task can send a last message.
        assert_eq!(conn.try_send(b"bye"), Ok(3));
        conn
    });
    world.turn();
    world.peer(source).room = 3;
    assert!(world.cancel(task.task()));
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(world.peer(source).outbox, b"helbye");
    assert!(task.take().is_some());
    let cancelled = Error::Wait(WaitError::Cancelled);
    assert_eq!(log.take(), [(Err(cancelled), Err(cancelled)); 2]);
}

/// While a message is under way, another send is refused before its first byte, in another task or in another future of
/// this task.
#[test]
fn messages_are_sent_whole_or_refused_before_their_first_byte() {
    let rooms = (1..40_usize).step_by(if cfg!(miri) { 19 } else { 1 });
    for (room, ways) in rooms.flat_map(|room| [(room, "tasks"), (room, "join"), (room, "both")]) {
        let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        let conn = Rc::new(world.connect());
        let source = conn.source();
        world.peer(source).room = room;
        for name in *b"abc" {
            let conn = conn.clone();
            world.spawn(async move {
                let send = async |letter: u8| {
                    for _ in 0..3 {
                        let message = [letter; 10];
                        match conn.send_all(&message).await {
                            Ok(()) => log.add(letter),
                            Err(error) => assert_eq!(error, Error::Wait(WaitError::Busy)),
                        }
                        match conn.try_send(&message[..1]) {
                            Ok(1) => log.add(letter.to_ascii_uppercase()),
                            Ok(sent) => assert_eq!(sent, 0),
                            Err(error) => assert_eq!(error, Error::Wait(WaitError::Busy)),
                        }
                        handle.yield_now().await;
                    }
                };
                match ways {
                    "tasks" => send(name).await,
                    "join" if name != b'a' => {}
                    _ => drop(join(send(name), send(name + 10)).await),
                }
            });
        }
        for _ in 0..400 {
            if world.executor.kernel.rest() == Rest::Empty {
                break;
            }
            world.turn();
            world.peer(source).room = room;
        }
        assert_eq!(world.run(), Rest::Empty);
        let (sent, letters) = (world.peer(source).outbox.clone(), log.take());
        let whole = letters.iter().flat_map(|letter: &u8| {
            let count = if letter.is_ascii_uppercase() { 1 } else { 10 };
            std::iter::repeat_n(letter.to_ascii_lowercase(), count)
        });
        assert!(!letters.is_empty() && whole.eq(sent), "{room}, {ways}");
    }
}

/// The sent bytes are those of whole messages, with nothing in between.
#[test]
fn nothing_lands_inside_of_a_message() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = Rc::new(world.connect());
    let source = conn.source();
    world.peer(source).room = 0;
    for letter in *b"abcd" {
        let conn = conn.clone();
        world.spawn(async move {
            for _ in 0..20 {
                match conn.send_all(&[letter; 10]).await {
                    Ok(()) => log.add(letter),
                    Err(error) => assert_eq!(error, Error::Wait(WaitError::Busy)),
                }
                handle.yield_now().await;
            }
            std::future::pending::<()>().await;
        });
    }
    for room in [3, 10, 1, 0, 7, 25, 4, 0, 0, 13].repeat(40) {
        world.peer(source).room += room;
        world.turn();
    }
    let (sent, letters) = (world.peer(source).outbox.clone(), log.take());
    assert!(!letters.is_empty());
    let whole: Vec<u8> = letters.iter().flat_map(|letter| [*letter; 10]).collect();
    assert_eq!(sent, whole, "in the order of their ends, and nothing between");
}

/// A partly sent message that was given up does not block later operations.
#[test]
fn who_gives_up_sending_leaves_the_connection_to_others() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.peer(source).room = 3;
    world.spawn(async move {
        select(conn.send_all(b"hello"), handle.yield_now()).await;
        assert_eq!(conn.try_send(b"x"), Ok(0), "the buffer is full, but no other send is under way");
        select(conn.recv(&mut [0]), handle.yield_now()).await;
        select(conn.recv_with(<[u8]>::len), handle.yield_now()).await;
        let nothing = Err(Error::Failed(Failure { op: Op::Recv, source, error: IoError::WouldBlock }));
        assert_eq!(conn.try_recv(&mut [0]), nothing);
    });
    assert_eq!(world.run(), Rest::Empty);
}

async fn receive(conn: &Conn<'_>, way: &str) -> Result<usize, Error> {
    let mut buffer = [0; 8];
    match way {
        "recv" => conn.recv(&mut buffer).await,
        "recv_with" => conn.recv_with(<[u8]>::len).await,
        "try_recv" => conn.try_recv(&mut buffer),
        _ => conn.try_recv_with(<[u8]>::len),
    }
}

/// Bytes that one future waits for are not received by another one, in the same task or in another, by any method.
#[test]
fn what_one_waits_to_receive_nobody_else_takes() {
    for first in ["recv", "recv_with"] {
        for second in ["recv", "recv_with", "try_recv", "try_recv_with"] {
            for in_one_task in [false, true] {
                let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
                let handle = Handle::new(&run_context);
                let mut world = World::new(handle);
                let conn = Rc::new(world.connect());
                let source = conn.source();
                let (mine, other) = (conn.clone(), conn);
                let waits = async move { log.add((first, receive(&mine, first).await)) };
                // This future runs when the bytes have arrived and the first future has not run yet.
                let takes = async move {
                    handle.wait_named().await.unwrap();
                    log.add((second, receive(&other, second).await));
                };
                let busy = Err(Error::Wait(WaitError::Busy));
                let expected = [(second, busy), (first, Ok(5))];
                if in_one_task {
                    let task = world.spawn(join(takes, waits));
                    world.turn();
                    world.executor.kernel.wake(task.task());
                } else {
                    let task = world.spawn(takes);
                    world.spawn(waits);
                    world.turn();
                    world.executor.kernel.wake(task.task());
                }
                world.peer(source).inbox.extend(b"hello");
                world.executor.kernel.ready(source, Interest::RECV);
                for _ in 0..4 {
                    world.turn();
                }
                assert_eq!(log.take(), expected, "{first}, then {second}; in one task: {in_one_task}");
            }
        }
    }
}

/// The kernel has one wait slot for the hangup of a connection, so a second task is refused.
#[test]
fn the_end_of_a_connection_is_waited_for_by_one_task() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = Rc::new(world.connect());
    let source = conn.source();
    for _ in 0..2 {
        let conn = Rc::clone(&conn);
        world.spawn(async move { log.add(conn.hangup().await) });
    }
    drop(conn);
    world.turn();
    world.turn();
    assert_eq!(log.take(), [Err(Error::Wait(WaitError::Busy))]);
    world.executor.kernel.ready(source, Interest::HANGUP);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(())]);
}

/// `recv_with` attempts to receive at once, and waits first only after a read that received all available bytes.
#[test]
fn recv_with_waits_only_if_nothing_more_is_expected() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    // The shared buffer of this host has 256 bytes.
    world.peer(source).inbox.extend([7; 512]);
    let mut task = world.spawn(async move {
        let mut counts = Vec::new();
        while counts.last() != Some(&0) {
            counts.push(conn.recv_with(<[u8]>::len).await.unwrap());
        }
        counts
    });
    world.turn();
    let before = world.host.receives;
    assert_eq!(before, 3, "two full reads in the first step, and an attempt that would block");
    for _ in 0..3 {
        world.peer(source).inbox.extend(b"ab");
        world.turn();
        world.run();
    }
    assert_eq!(world.host.receives, before + 3, "a short read is the only attempt for its bytes");
    world.peer(source).finished = true;
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(world.host.receives, before + 4);
    assert_eq!(task.take(), Some(vec![256, 256, 2, 2, 2, 0]));
}
