//! Messages that a peer receives in pieces.

use std::collections::VecDeque;
use std::pin::Pin;

use sinbin_core::kernel::{Failure, Op};
use sinbin_core::{Cx, Executor, Fixed, Host, Instant, Interest, IoError, SourceId, Step, Task, TaskId};

/// A host with one connection, the results of its next sends, and the end of its task.
#[derive(Default)]
struct Narrow {
    lets: VecDeque<Result<usize, IoError>>,
    sent: Vec<u8>,
    ended: Vec<Option<Failure>>,
}

/// A task that sends a message and completes.
struct Says {
    conn: SourceId,
    sent: usize,
}

impl Task<Narrow> for Says {
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, Narrow>) -> Step {
        match cx.send_all(self.conn, b"lift-off", &mut self.sent, Instant::NEVER) {
            Ok(()) => Step::Done,
            Err(step) => step,
        }
    }
}

impl Host for Narrow {
    type Storage = Fixed<1>;
    type Task = Says;

    fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
        Err(IoError::Unsupported)
    }

    fn recv(&mut self, _: SourceId, _: &mut [u8]) -> Result<usize, IoError> {
        Err(IoError::Unsupported)
    }

    fn send(&mut self, _: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let count = self.lets.pop_front().unwrap_or(Err(IoError::WouldBlock))?.min(bytes.len());
        self.sent.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn close(&mut self, _: SourceId) {}

    fn serve(&mut self, _: SourceId, conn: SourceId) -> Says {
        Says { conn, sent: 0 }
    }

    fn ended(&mut self, _: TaskId, failure: Option<Failure>) {
        self.ended.push(failure);
    }
}

/// Lets sends have these results, reports readiness after each turn, and returns the host and the connection.
fn says(lets: &[Result<usize, IoError>]) -> (Narrow, SourceId) {
    let mut host = Narrow { lets: lets.iter().copied().collect(), ..Narrow::default() };
    let mut executor = Executor::new(&Fixed);
    let conn = executor.kernel.open().unwrap();
    let task = host.serve(conn, conn);
    assert!(executor.spawn(task).is_ok());
    for _ in 0..=lets.len() {
        executor.turn(Instant::ZERO, &mut host);
        executor.kernel.ready(conn, Interest::SEND);
    }
    (host, conn)
}

#[test]
fn a_message_is_sent_in_as_many_pieces_as_it_takes() {
    let whole = says(&[Ok(100)]).0;
    assert_eq!((whole.sent, whole.ended), (b"lift-off".to_vec(), vec![None]));
    let pieces =
        says(&[Ok(1), Ok(4), Err(IoError::WouldBlock), Ok(0), Ok(2), Err(IoError::WouldBlock), Ok(1)]).0;
    assert_eq!((pieces.sent, pieces.ended), (b"lift-off".to_vec(), vec![None]));
}

#[test]
fn a_message_that_is_stuck_waits_and_one_to_a_peer_that_is_gone_ends_the_task() {
    let stuck = says(&[Ok(4), Err(IoError::WouldBlock)]).0;
    assert_eq!((stuck.sent, stuck.ended), (b"lift".to_vec(), vec![]));
    let (gone, source) = says(&[Ok(4), Err(IoError::Reset)]);
    let failure = Failure { op: Op::Send, source, error: IoError::Reset };
    assert_eq!((gone.sent, gone.ended), (b"lift".to_vec(), vec![Some(failure)]));
}
