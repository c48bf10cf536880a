use std::io::ErrorKind;

use futures_util::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use futures_util::stream::StreamExt;
use sinbin_core::task::{BufReader, Conn, Handle, NoWakers, RunContext};
use sinbin_core::{IoError, Rest};
use sinbin_testkit::memory_host::World;

/// Echoes lines in reverse. The code uses only the traits.
async fn reverse<R: futures_util::AsyncBufRead + Unpin, W: futures_util::AsyncWrite + Unpin>(
    reader: R,
    mut writer: W,
) -> std::io::Result<()> {
    let mut lines = reader.lines();
    while let Some(line) = lines.next().await {
        let line: String = line?.chars().rev().chain(['\n']).collect();
        writer.write_all(line.as_bytes()).await?;
        writer.flush().await?;
    }
    writer.close().await
}

#[test]
fn code_for_the_traits_runs_on_connections_references_and_halves() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    for way in 0..3 {
        let mut world = World::new(handle);
        let conn = world.connect();
        let source = conn.source();
        let mut task = world.spawn(async move {
            let mut conn: Conn<'_> = conn;
            match way {
                0 => reverse(BufReader::new(&conn, [0; 4]), &conn).await?,
                1 => {
                    let (receiver, mut sender) = conn.into_split();
                    reverse(BufReader::new(&receiver, [0; 4]), &mut sender).await?;
                    conn = receiver.reunite(sender).expect("halves of one connection");
                }
                _ => {
                    let mut heard = String::new();
                    conn.read_to_string(&mut heard).await?;
                    assert_eq!(heard, "hello\nyou\n");
                    conn.write_all(b"olleh\nuoy\n").await?;
                    conn.close().await?;
                }
            }
            handle.wait_named().await.unwrap();
            drop(conn);
            Ok::<_, std::io::Error>(())
        });
        world.peer(source).room = 3;
        for piece in ["hel", "lo\nyo", "u\n"] {
            world.turn();
            world.peer(source).inbox.extend(piece.as_bytes());
            world.turn();
            world.run();
        }
        world.peer(source).finished = true;
        for _ in 0..4 {
            world.peer(source).room = 3;
            world.turn();
            world.run();
        }
        assert_eq!(world.peer(source).outbox, b"olleh\nuoy\n");
        assert!(world.peer(source).is_shut);
        world.executor.kernel.wake(task.task());
        assert_eq!(world.run(), Rest::Empty);
        assert!(task.take().is_some_and(|ended| ended.is_ok()), "way {way}");
    }
}

#[test]
fn an_error_has_a_kind_that_says_whether_to_retry() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conns = [(); 2].map(|()| world.connect());
    let broken = conns[0].source();
    let mut task = world.spawn(async move {
        let [mut broken, mut silent] = conns;
        let first = broken.read(&mut [0; 4]).await.map_err(|error| error.kind());
        let second = silent.read(&mut [0; 4]).await.map_err(|error| error.kind());
        (first, second)
    });
    world.peer(broken).fails = Some(IoError::Reset);
    world.turn();
    task.cancel();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some((Err(ErrorKind::ConnectionReset), Err(ErrorKind::ConnectionAborted))));
}

/// Reads and flushes by each implementation: of a connection, a reference, a half and a buffered reader.
#[test]
fn every_implementation_reads_and_flushes() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    world.peer(conn.source()).inbox.extend(b"abcdefgh");
    let mut task = world.spawn(async move {
        let (mut conn, mut bytes) = (conn, [0; 2]);
        let mut heard = Vec::new();
        (&conn).read_exact(&mut bytes).await?;
        heard.extend(bytes);
        conn.flush().await?;
        let mut reader = BufReader::new(&conn, [0; 2]);
        AsyncReadExt::read_exact(&mut reader, &mut bytes).await?;
        heard.extend(bytes);
        conn.read_exact(&mut bytes).await?;
        heard.extend(bytes);
        let (mut receiver, mut sender) = conn.into_split();
        receiver.read_exact(&mut bytes).await?;
        heard.extend(bytes);
        sender.flush().await?;
        Ok::<_, std::io::Error>(heard)
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take().unwrap().unwrap(), b"abcdefgh");
}
