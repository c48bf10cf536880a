use embedded_io_async::{Error as _, ErrorKind, Read, Write};
use sinbin_core::kernel::{Failure, Op};
use sinbin_core::task::{Conn, Error, Handle, JobError, NoWakers, RunContext, WaitError};
use sinbin_core::{IoError, Rest, SourceId};
use sinbin_testkit::memory_host::World;

/// Echoes a byte stream. The code uses only the traits and does not depend on connections.
async fn echo<S: Read + Write>(mut stream: S) -> Result<usize, S::Error> {
    let (mut buffer, mut count) = ([0; 4], 0);
    assert_eq!(stream.read(&mut []).await?, 0, "an empty read does not wait");
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(count),
            some => {
                let first = stream.write(&buffer[..some]).await?;
                stream.write_all(&buffer[first..some]).await?;
                stream.flush().await?;
                count += some;
            }
        }
    }
}

#[test]
fn what_is_written_for_byte_streams_runs_on_a_connection() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    for owned in [true, false] {
        let mut world = World::new(handle);
        let conn = world.connect();
        let source = conn.source();
        assert_eq!(format!("{conn:?}"), format!("Conn {{ source: {source:?}, .. }}"));
        let mut task = world.spawn(async move {
            let conn: Conn<'_> = conn;
            let count = if owned { echo(conn).await } else { echo(&conn).await };
            count.unwrap()
        });
        world.turn();
        world.peer(source).room = 3;
        world.peer(source).inbox.extend(b"abcdef");
        world.turn();
        world.run();
        assert_eq!(world.peer(source).outbox, b"abc");
        world.peer(source).room = usize::MAX;
        world.turn();
        world.run();
        assert_eq!(world.peer(source).outbox, b"abcdef");
        world.peer(source).finished = true;
        world.turn();
        assert_eq!(world.run(), Rest::Empty);
        assert_eq!(task.take(), Some(6));
    }
}

/// Code that is generic over the traits must not mistake the end of its task for an error to retry.
#[test]
fn errors_have_a_kind() {
    let failed = |error| Error::Failed(Failure { op: Op::Recv, source: SourceId::from_bits(0), error });
    let address = ([127, 0, 0, 1], 80).into();
    let kinds = [
        (Error::Wait(WaitError::Cancelled), ErrorKind::ConnectionAborted),
        (Error::Wait(WaitError::Full), ErrorKind::OutOfMemory),
        (Error::Wait(WaitError::Busy), ErrorKind::Other),
        (Error::Elapsed, ErrorKind::TimedOut),
        (Error::Closed, ErrorKind::BrokenPipe),
        (Error::Job(JobError::Failed), ErrorKind::Other),
        (Error::Lagged(3), ErrorKind::Other),
        (Error::TooLong { limit: 8 }, ErrorKind::InvalidData),
        (Error::Protocol, ErrorKind::InvalidData),
        (failed(IoError::Closed), ErrorKind::NotConnected),
        (failed(IoError::Reset), ErrorKind::ConnectionReset),
        (failed(IoError::Stopping), ErrorKind::ConnectionAborted),
        (failed(IoError::NoRoom), ErrorKind::OutOfMemory),
        (failed(IoError::ConnectionRefused), ErrorKind::ConnectionRefused),
        (failed(IoError::Unreachable), ErrorKind::Other),
        (failed(IoError::TimedOut), ErrorKind::TimedOut),
        (failed(IoError::AddressInUse), ErrorKind::AddrInUse),
        (failed(IoError::Unresolved), ErrorKind::NotFound),
        (failed(IoError::Invalid), ErrorKind::InvalidInput),
        (failed(IoError::TooLong), ErrorKind::InvalidData),
        (failed(IoError::Unsupported), ErrorKind::Unsupported),
        (Error::Address { op: Op::Connect, address, error: IoError::Reset }, ErrorKind::ConnectionReset),
        (failed(IoError::Os(5)), ErrorKind::Other),
    ];
    for (error, kind) in kinds {
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.is_the_end(), kind == ErrorKind::ConnectionAborted, "{error}");
    }
}
