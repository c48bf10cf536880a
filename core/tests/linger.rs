//! The end of a connection whose peer may still be sending: the peer sees an orderly close, and the host keeps the
//! connection for a limited time only.

use std::collections::VecDeque;

use sinbin_core::serve::Linger;
use sinbin_core::{Executor, Fixed, Host, Instant, Interest, IoError, Rest, SourceId};

/// A host with one connection, and the results of its next receives.
struct Peer {
    says: VecDeque<Result<usize, IoError>>,
    closed: Vec<SourceId>,
}

impl Host for Peer {
    type Storage = Fixed<1>;
    type Task = Linger;

    fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
        Err(IoError::WouldBlock)
    }

    fn recv(&mut self, _: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let said = self.says.pop_front().unwrap_or(Err(IoError::WouldBlock))?;
        Ok(said.min(buffer.len()))
    }

    fn send(&mut self, _: SourceId, _: &[u8]) -> Result<usize, IoError> {
        panic!("its own direction is shut")
    }

    fn close(&mut self, source: SourceId) {
        self.closed.push(source);
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> Linger {
        Linger::new(connection, Instant::ZERO)
    }
}

/// Creates a connection that lingers from `Instant::ZERO`, after its first turn.
fn lingering(says: &[Result<usize, IoError>]) -> (Executor<Peer>, Peer, SourceId) {
    let mut executor = Executor::new(&Fixed);
    let conn = executor.kernel.open().unwrap();
    let mut peer = Peer { says: says.iter().copied().collect(), closed: Vec::new() };
    let task = peer.serve(conn, conn);
    assert!(executor.spawn(task).is_ok());
    executor.turn(Instant::ZERO, &mut peer);
    (executor, peer, conn)
}

fn is_over(executor: &Executor<Peer>, peer: &Peer, conn: SourceId) -> bool {
    let rest = executor.kernel.rest();
    assert_eq!(
        rest == Rest::Empty,
        peer.closed == [conn],
        "the connection is closed exactly once, when lingering ends"
    );
    rest == Rest::Empty
}

#[test]
fn a_peer_that_closes_or_breaks_off_is_not_waited_for() {
    for last in [Ok(0), Err(IoError::Reset), Err(IoError::Stopping)] {
        let (executor, peer, conn) = lingering(&[last]);
        assert!(is_over(&executor, &peer, conn), "{last:?}");
    }
}

#[test]
fn what_still_comes_is_thrown_away_until_the_peer_closes() {
    let (mut executor, mut peer, conn) = lingering(&[Ok(9), Err(IoError::WouldBlock), Ok(1), Ok(0)]);
    for _ in 0..3 {
        assert!(!is_over(&executor, &peer, conn));
        executor.kernel.ready(conn, Interest::RECV);
        executor.turn(Instant::ZERO, &mut peer);
    }
    assert!(is_over(&executor, &peer, conn));
}

/// The time limit counts from the start of lingering, regardless of how much the peer sends and when.
#[test]
fn a_peer_that_never_closes_has_so_much_time_and_no_more() {
    let (mut executor, mut peer, conn) = lingering(&[]);
    let end = Instant::ZERO + Linger::PATIENCE;
    for part in 1..4 {
        peer.says.push_back(Ok(usize::MAX));
        executor.kernel.ready(conn, Interest::RECV);
        executor.turn(Instant::ZERO + Linger::PATIENCE / 4 * part, &mut peer);
        assert_eq!(executor.kernel.rest(), Rest::Until(end));
    }
    executor.turn(end, &mut peer);
    executor.turn(end, &mut peer);
    assert!(is_over(&executor, &peer, conn));
}

#[test]
fn one_that_is_cancelled_ends_at_once() {
    let (mut executor, mut peer, conn) = lingering(&[]);
    let task = executor.kernel.tasks().next().unwrap().id;
    assert!(executor.kernel.cancel(task));
    executor.turn(Instant::ZERO, &mut peer);
    assert!(is_over(&executor, &peer, conn));
}
