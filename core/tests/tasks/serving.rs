use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use sinbin_core::kernel::{Failure, Op};
use sinbin_core::task::{
    Conn, Error, Handle, JoinHandle, NoWakers, Reports, RunContext, UnjoinedFailure, WaitError,
};
use sinbin_core::{Instant, IoError, Rest};
use sinbin_testkit::memory_host::{Log, Peer, World};

/// The state in which all tasks wait for events.
const WAITS: Rest = Rest::Until(Instant::NEVER);

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

fn peer(says: &[u8]) -> Peer {
    Peer { inbox: says.iter().copied().collect(), room: usize::MAX, ..Peer::default() }
}

/// Starts a program that serves with `service`.
fn serve<'d, E: core::fmt::Display + 'static>(
    world: &mut World<'d>,
    handle: Handle<'d>,
    service: impl AsyncFn(Conn<'d>) -> Result<(), E> + 'd,
) -> JoinHandle<'d, Result<(), Error>> {
    let program = async move {
        let listener = handle.listen(address())?;
        handle.serve(listener, service).await
    };
    let task = world.spawn(program);
    assert_eq!(world.run(), WAITS);
    task
}

/// Each connection is a task, all of which share the state that the service has captured.
#[test]
fn connections_are_served_beside_each_other_until_the_loop_stops() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let (log, visits) = (Rc::new(Log::new()), Cell::new(0));
    let mut world = World::new(handle);
    let mut task = serve(&mut world, handle, {
        let log = Rc::clone(&log);
        async move |conn: Conn<'_>| {
            visits.set(visits.get() + 1);
            let visit = visits.get();
            let said = conn.recv_with(<[u8]>::to_vec).await?;
            log.add((visit, said));
            Ok::<_, Error>(())
        }
    });
    world.arrive(Ok(peer(b"")));
    world.arrive(Ok(peer(b"two")));
    assert_eq!(world.run(), WAITS);
    assert_eq!(log.take(), [(2, b"two".to_vec())], "the first client has said nothing yet");
    // A client in the backlog is served after the request to stop; the one without a request is waited for.
    world.spawn(async move { handle.stop() });
    world.host.listeners.values_mut().next().expect("it listens").push_back(Ok(peer(b"three")));
    assert_eq!(world.run(), WAITS);
    assert!(world.host.listeners.is_empty(), "the listener is closed");
    assert_eq!(log.take(), [(3, b"three".to_vec())]);
    assert!(!task.is_over());
    let first = *world.host.peers.keys().next().expect("one is left");
    world.peer(first).inbox.extend(b"one");
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!((log.take(), task.take()), (vec![(1, b"one".to_vec())], Some(Ok(()))));
}

/// Receives the reports of failures.
#[derive(Default)]
struct Failures(std::sync::Mutex<Vec<String>>);

impl Reports for Failures {
    fn failed(&self, failed: &UnjoinedFailure<'_>) {
        self.0.lock().unwrap().push(failed.error.to_string());
    }
}

/// A connection that fails is reported and affects no other. An error that only says that the loop stops is no failure.
#[test]
fn a_failed_connection_is_reported_and_ends_alone() {
    let failures = Failures::default();
    let run_context = RunContext::reporting(&NoWakers, &failures);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let mut task = serve(&mut world, handle, async |conn: Conn<'_>| {
        let said = conn.recv_with(<[u8]>::to_vec).await?;
        if said == b"stop" {
            let failure = Failure { op: Op::Recv, source: conn.source(), error: IoError::Stopping };
            return Err(Error::Failed(failure).into());
        }
        Err(Box::<dyn std::error::Error>::from(String::from_utf8_lossy(&said)))
    });
    for says in ["one", "stop", "two"] {
        world.arrive(Ok(peer(says.as_bytes())));
    }
    assert_eq!(world.run(), WAITS);
    assert_eq!(*failures.0.lock().unwrap(), ["one", "two"]);
    world.host.is_stopping = true;
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Ok(())));
}

/// A program that is cancelled cancels the connections that it serves.
#[test]
fn cancelling_the_program_cancels_its_connections() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let ends = Rc::new(RefCell::new(Vec::new()));
    let mut world = World::new(handle);
    let mut task = serve(&mut world, handle, {
        let ends = Rc::clone(&ends);
        async move |conn: Conn<'_>| {
            let ended = conn.recv(&mut [0]).await;
            ends.borrow_mut().push(ended);
            Ok::<_, Error>(())
        }
    });
    world.arrive(Ok(peer(b"")));
    world.arrive(Ok(peer(b"")));
    assert_eq!(world.run(), WAITS);
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(*ends.borrow(), [Err(WaitError::Cancelled.into()), Err(WaitError::Cancelled.into())]);
    assert_eq!(task.take(), Some(Err(WaitError::Cancelled.into())));
}

/// The errors of the listener end the program, except that a listener which the host has closed ends it well.
#[test]
fn the_end_of_the_listener_is_the_end_of_serving() {
    for (error, ended) in [(IoError::Closed, None), (IoError::Unsupported, Some(IoError::Unsupported))] {
        let run_context = RunContext::new(&NoWakers);
        let handle = Handle::new(&run_context);
        let mut world = World::new(handle);
        let mut task = serve(&mut world, handle, async |_: Conn<'_>| Ok::<_, Error>(()));
        world.arrive(Err(error));
        assert_eq!(world.run(), Rest::Empty);
        assert_eq!(task.take().unwrap().map_err(|error| error.io()).err().flatten(), ended);
    }
}

/// Connections beyond the capacity of the kernel are closed, and the others are served.
#[test]
fn a_connection_without_capacity_for_its_task_is_closed() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let _task = serve(&mut world, handle, async |conn: Conn<'_>| conn.recv(&mut [0]).await.map(|_| ()));
    let idle: Vec<_> = (0..sinbin_testkit::memory_host::TASKS - 2)
        .map(|_| world.spawn(async move { handle.stopping().await.is_ok() }))
        .collect();
    for _ in 0..2 {
        world.arrive(Ok(peer(b"")));
    }
    assert_eq!(world.run(), WAITS);
    assert_eq!(world.host.peers.len(), 1, "one is served, and one is closed");
    drop(idle);
}

/// The backlog is accepted without waiting. Clients that have gone are skipped.
#[test]
fn the_backlog_can_be_accepted_without_waiting() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let mut task = world.spawn(async move {
        let listener = handle.listen(address()).unwrap();
        assert!(matches!(listener.try_accept(), Ok(None)));
        handle.stopping().await.unwrap();
        let mut results = Vec::new();
        for _ in 0..3 {
            results.push(listener.try_accept().map(|accepted| accepted.map(|(_, from)| from.is_some())));
        }
        results.push(listener.try_accept().map(|_| None));
        results
    });
    assert_eq!(world.run(), WAITS);
    for arrival in [Err(IoError::Reset), Ok(peer(b"")), Err(IoError::NoRoom), Err(IoError::Unsupported)] {
        world.arrive(arrival);
    }
    world.host.is_stopping = true;
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    let results = task.take().unwrap();
    assert_eq!(results[..2], [Ok(Some(true)), Ok(None)]);
    assert_eq!(results[2].unwrap_err().io(), Some(IoError::Unsupported));
    assert_eq!(results[3], Ok(None));
}

/// A host takes a connection of a type that it knows, and refuses others.
#[test]
fn a_connection_that_was_made_elsewhere_is_adopted() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let mut task = world.spawn(async move {
        let refused = handle.adopt("no connection").map(|_| ()).unwrap_err();
        assert_eq!(refused.io(), Some(IoError::Unsupported));
        handle.adopt(peer(b"hello")).unwrap().recv_with(<[u8]>::to_vec).await
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Ok(b"hello".to_vec())));
}

/// A task that must not wait learns why, and a host that never stops lets it wait.
#[test]
fn waiting_for_the_stop_can_be_refused() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let mut task = world.spawn(async move { handle.stopping().await });
    assert_eq!(world.run(), WAITS);
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(Err(WaitError::Cancelled)));
}
