use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;

use sinbin_core::kernel::Op;
use sinbin_core::task::{Error, NoWakers, RunContext, WaitError, join};
use sinbin_core::{Instant, Interest, IoError, Rest};

use sinbin_testkit::memory_host::{Log, Peer, World};

/// Returns the number of bytes that have arrived, as an operation that does not take them.
fn arrived(object: &dyn Any) -> Result<usize, IoError> {
    let peer = object.downcast_ref::<Peer>().ok_or(IoError::Unsupported)?;
    if let Some(error) = peer.fails {
        return Err(error);
    }
    if peer.inbox.is_empty() { Err(IoError::WouldBlock) } else { Ok(peer.inbox.len()) }
}

/// Returns the capacity to send.
fn room(object: &dyn Any) -> Result<usize, IoError> {
    let peer = object.downcast_ref::<Peer>().ok_or(IoError::Unsupported)?;
    if peer.room == 0 { Err(IoError::WouldBlock) } else { Ok(peer.room) }
}

/// Both directions wait on their own, and false readiness ends no wait.
#[test]
fn operations_wait_for_readiness_and_are_repeated() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = sinbin_core::task::Handle::new(&run_context);
    let mut world = World::new(handle);
    let (conn, polled) = (world.connect(), world.connect());
    let [source, other] = [&conn, &polled].map(|conn| conn.source());
    world.peer(source).room = 0;
    world.spawn(async move {
        let receive = async { log.add(("recv", conn.recv_by(arrived).await)) };
        let send = async { log.add(("send", conn.send_by(room).await)) };
        join(receive, send).await;
        log.add(("inspect", conn.inspect(arrived)));
    });
    world.spawn(async move {
        log.add(("poll", poll_fn(|context| polled.poll_recv_by(context, arrived)).await));
    });
    for _ in 0..3 {
        world.turn();
        for source in [source, other] {
            world.executor.kernel.ready(source, Interest::RECV | Interest::SEND);
        }
    }
    assert_eq!(world.run(), Rest::Until(Instant::NEVER));
    assert_eq!(log.take(), []);
    world.peer(other).inbox.push_back(1);
    world.turn();
    world.run();
    assert_eq!(log.take(), [("poll", Ok(1))]);
    world.peer(source).room = 5;
    world.turn();
    world.run();
    assert_eq!(log.take(), [("send", Ok(5))]);
    world.peer(source).inbox.extend([1, 2]);
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [("recv", Ok(2)), ("inspect", Ok(2))]);
}

#[test]
fn errors_of_operations_are_those_of_the_caller() {
    let run_context = RunContext::new(&NoWakers);
    let handle = sinbin_core::task::Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    world.peer(conn.source()).fails = Some(IoError::Reset);
    let mut task = world.spawn(async move {
        let listener = handle.listen("127.0.0.1:9").unwrap();
        let is_listener = |object: &dyn Any| Ok(object.is::<VecDeque<Result<Peer, IoError>>>());
        assert_eq!(listener.inspect(is_listener), Ok(true));
        assert_eq!(conn.inspect(is_listener), Ok(false));
        let failed = |op| {
            Err(Error::Failed(sinbin_core::kernel::Failure {
                op,
                source: conn.source(),
                error: IoError::Reset,
            }))
        };
        assert_eq!(conn.recv_by(arrived).await, failed(Op::Recv));
        assert_eq!(conn.send_by(arrived).await, failed(Op::Send));
        assert_eq!(poll_fn(|context| conn.poll_recv_by(context, arrived)).await, failed(Op::Recv));
        assert_eq!(conn.inspect(arrived), failed(Op::Wait));
    });
    assert_eq!(world.run(), Rest::Empty);
    task.take().expect("it has ended");
}

/// Within an operation, the loop can't be used. What is dropped there is closed afterwards.
#[test]
fn what_is_dropped_within_an_operation_is_closed_behind_it() {
    let run_context = RunContext::new(&NoWakers);
    let handle = sinbin_core::task::Handle::new(&run_context);
    let mut world = World::new(handle);
    let (conn, other) = (world.connect(), Rc::new(Cell::new(Some(world.connect()))));
    let at_other = Rc::clone(&other);
    world.spawn(async move {
        let nested = conn.inspect(|_| {
            let nested = conn.inspect(arrived);
            at_other.take();
            Ok(nested)
        });
        assert_eq!(nested, Ok(Err(WaitError::Elsewhere.into())));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert!(world.host.peers.is_empty());
}

#[test]
fn an_operation_ends_when_the_host_stops() {
    let run_context = RunContext::new(&NoWakers);
    let handle = sinbin_core::task::Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let mut task = world.spawn(async move { conn.recv_by(arrived).await });
    world.turn();
    world.host.is_stopping = true;
    world.executor.kernel.ready(source, Interest::RECV);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take().and_then(|ended| ended.err()?.io()), Some(IoError::Stopping));
}
