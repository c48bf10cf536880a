use std::net::SocketAddr;

use sinbin_core::kernel::{Failure, Op};
use sinbin_core::task::{Error, Handle, JobError, NoWakers, RunContext, WaitError};
use sinbin_core::{Interest, IoError, Rest, SourceId};
use sinbin_testkit::count::count;
use sinbin_testkit::memory_host::{Log, Peer, World};

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn peer(says: &[u8]) -> Peer {
    Peer { inbox: says.iter().copied().collect(), room: 3, ..Peer::default() }
}

/// Operations that never wait return what is available, and `WouldBlock` otherwise.
#[test]
fn who_tries_gets_what_is_there() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    *world.peer(source) = peer(b"abcdef");
    world.spawn(async move {
        let mut buffer = [0; 4];
        assert_eq!(conn.try_recv(&mut []), Ok(0));
        assert_eq!(conn.try_recv(&mut buffer), Ok(4));
        assert_eq!(conn.try_recv_with(<[u8]>::to_vec), Ok(b"ef".to_vec()));
        let nothing = Err(Error::Failed(Failure { op: Op::Recv, source, error: IoError::WouldBlock }));
        assert_eq!(conn.try_recv(&mut buffer), nothing);
        assert_eq!(conn.try_send(b"12345"), Ok(3));
        assert_eq!(conn.try_send(b"45"), Ok(0), "the buffer is full");
        assert_eq!(conn.peer(), Some(address(4000)));
        assert_eq!(conn.shutdown(), Ok(()));
        assert_eq!(conn.recv_with(<[u8]>::to_vec).await, Ok(b"later".to_vec()));
    });
    world.turn();
    assert!(world.peer(source).is_shut);
    assert_eq!(world.peer(source).outbox, b"123");
    world.peer(source).inbox.extend(b"later");
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
}

/// A listener skips clients that broke off before they were accepted, and tries again later if its host has no
/// capacity. Any other error is returned.
#[test]
fn a_listener_accepts_who_comes() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let mut task = world.spawn(async {
        assert!(matches!(
            handle.listen(address(1)),
            Err(error @ Error::Address { error: IoError::AddressInUse, .. })
                if error.to_string() == "listen on 127.0.0.1:1: address already in use"
        ));
        let listener = handle.listen(address(9)).unwrap();
        assert_eq!(listener.address(), address(9));
        assert_eq!(format!("{listener:?}"), "Listener { address: 127.0.0.1:9, .. }");
        assert_eq!(listener.handle().current(), handle.current());
        loop {
            match listener.accept().await {
                Ok((conn, from)) => log.add((conn.recv_with(<[u8]>::to_vec).await.unwrap(), from)),
                Err(error) => return error.io(),
            }
        }
    });
    world.turn();
    world.arrive(Ok(peer(b"one")));
    world.run();
    world.arrive(Err(IoError::Reset));
    world.arrive(Ok(peer(b"two")));
    world.run();
    world.arrive(Err(IoError::NoRoom));
    world.arrive(Ok(peer(b"three")));
    assert_eq!(world.run(), Rest::Until(sinbin_core::Instant::NEVER));
    let from = Some(address(4000));
    assert_eq!(log.take(), [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()].map(|said| (said, from)));
    world.arrive(Err(IoError::Closed));
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Some(IoError::Closed)));
    assert!(world.host.listeners.is_empty() && world.host.peers.is_empty(), "all are closed");
}

/// A listener lets other tasks run even if many clients broke off before they were accepted.
#[test]
fn a_listener_holds_up_nobody() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async {
        let listener = handle.listen(address(9)).unwrap();
        assert_eq!(listener.bound().await, Ok(listener.address()), "this host binds at once");
        log.add("listens");
        listener.accept().await.unwrap();
        log.add("accepted");
    });
    world.spawn(async {
        handle.wait_named().await.unwrap();
        handle.yield_now().await;
        log.add("the other");
    });
    world.turn();
    (0..40).for_each(|_| world.arrive(Err(IoError::Reset)));
    world.arrive(Ok(peer(b"hello")));
    let other = world.executor.kernel.tasks().last().unwrap().id;
    world.executor.kernel.wake(other);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["listens", "the other", "accepted"]);
}

/// The task asks its host again at each readiness, until the host reports a connection or an error.
#[test]
fn a_connection_that_is_made_is_there_when_its_host_says_so() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    for end in [Ok(()), Err(IoError::ConnectionRefused)] {
        let mut world = World::new(handle);
        world.spawn(async {
            match handle.connect(address(80)).await {
                Ok(conn) => log.add((conn.source(), conn.send(b"hello").await)),
                Err(error) => log.add((SourceId::from_bits(0), Err(error))),
            }
        });
        world.turn();
        let source = *world.host.peers.keys().next().expect("connecting has begun");
        for _ in 0..2 {
            world.host.dialled.push_back(Err(IoError::WouldBlock));
            world.executor.kernel.ready(source, Interest::SEND);
            world.turn();
            assert!(world.host.dialled.is_empty(), "the host was asked");
            assert_eq!(log.take(), []);
        }
        world.host.dialled.push_back(end);
        world.peer(source).room = 3;
        world.executor.kernel.ready(source, Interest::SEND);
        assert_eq!(world.run(), Rest::Empty);
        assert!(world.host.dialled.is_empty());
        let expected = match end {
            Ok(()) => (source, Ok(3)),
            Err(error) => {
                let failed = Error::Address { op: Op::Connect, address: address(80), error };
                assert_eq!(failed.to_string(), "connect to 127.0.0.1:80: connection refused");
                (SourceId::from_bits(0), Err(failed))
            }
        };
        assert_eq!(log.take(), [expected]);
        assert!(world.host.peers.is_empty(), "the connection is closed in either case");
    }
}

#[test]
fn a_job_is_computed_while_others_run() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async { log.add(handle.job(count(3)).await.unwrap()) });
    world.spawn(async { log.add(handle.job(|| 1).await.unwrap()) });
    world.spawn(async {
        handle.yield_now().await;
        let third = handle.job(|| ()).await;
        assert_eq!(third, Err(JobError::Wait(WaitError::Full)), "two jobs fit");
    });
    world.run();
    assert_eq!(log.take(), [0; 0]);
    assert_eq!([(); 3].map(|()| world.compute()), [1, 0, 1]);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [1, 3]);
}

/// A job is dropped together with the task that waits for it.
#[test]
fn a_job_of_a_task_that_is_cancelled_is_given_up() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let task = world.spawn(async { handle.job(count(9)).await });
    world.turn();
    assert_eq!(world.host.jobs.len(), 1);
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert!(world.host.jobs.is_empty());
}

/// In reports, a service has the name of the function that serves its connections.
#[test]
fn a_service_is_called_what_serves_its_connections() {
    async fn nobody(_: sinbin_core::task::Conn<'_>) {}
    let run_context = RunContext::new(&NoWakers);
    let pool = std::pin::pin!(sinbin_core::task::Pool::growing(1));
    let service = sinbin_core::task::AsyncService::new(Handle::new(&run_context), pool.as_ref(), nobody);
    let name = sinbin_core::Service::name(&service);
    assert_eq!(name, "tasks::hosting::a_service_is_called_what_serves_its_connections::nobody");
}
