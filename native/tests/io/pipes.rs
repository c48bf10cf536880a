use sinbin::IoError;
use sinbin::io::{PipeReader, pipe};
use sinbin::task::{BufReader, Error, join};

use crate::run;

#[test]
fn bytes_pass_through_a_pipe_with_backpressure() {
    const LOTS: usize = 1 << 20;
    let read = run(async |handle| {
        let (writer, reader) = pipe(handle).expect("a pipe");
        let write = async move { writer.write_all(&vec![b'x'; LOTS]).await };
        join(write, reader.read_to_end(LOTS)).await
    });
    assert_eq!(read.0, Ok(()));
    assert_eq!(read.1.expect("it ends").len(), LOTS);
}

#[test]
fn a_pipe_is_read_by_lines() {
    run(async |handle| {
        let (writer, reader) = pipe(handle).expect("a pipe");
        writer.write_all(b"one\ntwo\nthree").await.expect("there is room");
        drop(writer);
        let mut lines = BufReader::new(reader, [0; 16]);
        for line in ["one", "two", "three"] {
            assert_eq!(lines.next_line().await, Ok(Some(line.as_bytes())));
        }
        assert_eq!(lines.next_line().await, Ok(None));
    });
}

#[test]
fn a_stream_above_the_limit_and_a_reader_that_is_gone_are_errors() {
    run(async |handle| {
        let (writer, reader) = pipe(handle).expect("a pipe");
        writer.write_all(b"12345").await.expect("there is room");
        assert_eq!(reader.read_to_end(4).await, Err(Error::TooLong { limit: 4 }));
        drop(reader);
        handle.yield_now().await;
        assert_eq!(writer.write_all(b"6").await.map_err(|error| error.io()), Err(Some(IoError::Reset)));
    });
}

/// Bytes that a writer still writes are read while the loop stops.
#[test]
fn a_pipe_is_read_to_its_end_when_the_loop_stops() {
    let read = run(async |handle| {
        let (writer, reader) = pipe(handle).expect("a pipe");
        handle.stop()?;
        let late = async move {
            handle.stopping().await?;
            handle.yield_now().await;
            writer.write_all(b"late").await
        };
        let (read, late) = join(reader.read_to_end(100), late).await;
        late.and(read)
    });
    assert_eq!(read, Ok(b"late".to_vec()));
}

/// The system reports no readiness of such a file. The task learns that, and does not wait forever.
#[test]
fn a_regular_file_is_no_pipe() {
    run(async |handle| {
        let file = std::fs::File::open(std::env::current_exe().expect("a path")).expect("it runs");
        let reader = PipeReader::adopt(handle, file).expect("it is adopted");
        // A file is always ready, so that no wait is needed.
        assert!(reader.read(&mut [0; 4]).await.is_ok());
    });
}
