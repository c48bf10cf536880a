use std::task::{Context, Poll};

use sinbin_core::task::{BufReader, ByteSource, Conn, Error, Handle, Lines, NoWakers, RunContext, select};
use sinbin_core::{IoError, Rest};
use sinbin_testkit::memory_host::World;

type Line = Result<Option<String>, Error>;

fn text(line: Result<Option<&[u8]>, Error>) -> Line {
    line.map(|line| line.map(|line| String::from_utf8_lossy(line).into_owned()))
}

/// Receives all lines of `pieces`, each of which arrives in a turn of its own, through a buffer of eight bytes. Each
/// call is dropped once, in the middle of a wait.
fn lines_of(pieces: &[&str]) -> Vec<Line> {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let mut task = world.spawn(async move {
        let (mut buffer, mut said) = ([0; 8], Vec::new());
        let mut lines = conn.lines(&mut buffer);
        while said.last() != Some(&Ok(None)) {
            let first = match select(async { text(lines.next().await) }, handle.yield_now()).await {
                sinbin_core::task::Either::First(line) => Some(line),
                sinbin_core::task::Either::Second(()) => None,
            };
            said.push(match first {
                Some(line) => line,
                None => text(lines.next().await),
            });
        }
        said
    });
    for piece in pieces {
        world.turn();
        world.peer(source).inbox.extend(piece.as_bytes());
        world.turn();
        world.turn();
        world.turn();
    }
    world.peer(source).finished = true;
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    task.take().expect("it ends")
}

fn said(lines: &[Result<&str, usize>]) -> Vec<Line> {
    let lines = lines.iter().map(|line| match line {
        Ok(line) => Ok(Some((*line).to_owned())),
        Err(limit) => Err(Error::TooLong { limit: *limit }),
    });
    lines.chain([Ok(None)]).collect()
}

#[test]
fn lines_arrive_in_any_pieces() {
    assert_eq!(lines_of(&[]), said(&[]));
    assert_eq!(lines_of(&["a\nbc\r\n\n\r\nd"]), said(&[Ok("a"), Ok("bc"), Ok(""), Ok(""), Ok("d")]));
    assert_eq!(lines_of(&["a", "b\r", "\nc\rd\n", "e\r"]), said(&[Ok("ab"), Ok("c\rd"), Ok("e\r")]));
    assert_eq!(lines_of(&["1234567\n", "123456\r\n", "x\n"]), said(&[Ok("1234567"), Ok("123456"), Ok("x")]));
}

#[test]
fn a_line_longer_than_the_buffer_is_an_error_that_names_the_limit() {
    let too_long = lines_of(&["ab\n12345678\ncd\n"]);
    assert_eq!(too_long, said(&[Ok("ab"), Err(8), Ok("cd")]));
    assert_eq!(lines_of(&[&"x".repeat(100), "\nok\n"]), said(&[Err(8), Ok("ok")]));
    assert_eq!(
        lines_of(&["\n", &"x".repeat(100)]),
        said(&[Ok(""), Err(8)]),
        "the stream ends within the line"
    );
    assert_eq!(
        too_long[1].as_ref().unwrap_err().to_string(),
        "the input does not fit into 8 bytes with its end"
    );
}

#[test]
fn a_reader_without_a_buffer_accepts_no_line() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let mut task = world.spawn(async move {
        let mut lines = Lines::new(&conn, []);
        for _ in 0..2 {
            assert_eq!(text(lines.next().await), Err(Error::TooLong { limit: 0 }));
        }
    });
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(()));
}

#[test]
fn a_reader_reads_pieces_of_all_kinds() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let mut task = world.spawn(async move {
        let (receiver, _sender) = conn.into_split();
        let mut reader = BufReader::new(receiver, vec![0; 4]);
        let mut head = [0; 2];
        assert_eq!(reader.read(&mut head).await, Ok(2));
        assert_eq!((&head, reader.buffered()), (b"ab", &b"cd"[..]));
        let mut exact = [0; 7];
        assert_eq!(reader.read_exact(&mut exact).await, Ok(()));
        assert_eq!(&exact, b"cdefghi");
        assert_eq!(text(reader.read_until(b';').await), Ok(Some("jk;".into())));
        assert_eq!(text(reader.read_until(b';').await), Err(Error::TooLong { limit: 4 }));
        assert_eq!(reader.buffered(), b"lmno", "the bytes are still available");
        reader.consume(1);
        assert_eq!(text(reader.read_until(b';').await), Ok(Some("mno;".into())));
        assert_eq!(text(reader.read_until(b';').await), Ok(Some("pq".into())), "the rest of the stream");
        assert_eq!(text(reader.read_until(b';').await), Ok(None));
        assert_eq!(reader.read(&mut head).await, Ok(0));
        assert_eq!(reader.read_exact(&mut head).await, Err(Error::Ended));
        assert!(format!("{reader:?}").starts_with("BufReader"));
        let conn = reader.get_ref().conn().source();
        assert_eq!(reader.into_parts().0.conn().source(), conn);
    });
    world.peer(source).inbox.extend(b"abcdefghijk;lmno;pq");
    world.peer(source).finished = true;
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some(()));
}

#[test]
fn a_connection_receives_exactly_as_many_bytes_as_asked_for() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    let mut task = world.spawn(async move {
        let mut buffer = [0; 4];
        let first = conn.recv_exact(&mut buffer).await;
        let second = conn.recv_exact(&mut buffer).await;
        let mut reader = conn.lines([0; 4]).into_reader();
        (first, buffer, second, reader.fill().await.map_err(|error| error.io()))
    });
    for piece in ["ab", "cde"] {
        world.turn();
        world.peer(source).inbox.extend(piece.as_bytes());
        world.turn();
    }
    world.peer(source).finished = true;
    world.turn();
    world.executor.turn(world.now, &mut world.host);
    world.run();
    let (first, buffer, second, third) = task.take().expect("it ends");
    assert_eq!((first, second, third), (Ok(()), Err(Error::Ended), Ok(0)));
    assert_eq!(&buffer, b"ebcd");
    assert_eq!(Error::Ended.to_string(), "the stream ended before all bytes were received");
    assert_eq!(Error::Ended.io(), None::<IoError>);
}

/// A source of another type receives by its polls. The error of a source is the reader's.
#[test]
fn a_source_needs_a_poll_alone() {
    struct Twice<'d>(Conn<'d>);
    impl ByteSource for Twice<'_> {
        fn poll_recv(&self, context: &Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
            self.0.poll_recv(context, buffer)
        }
    }
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let conn = world.connect();
    let source = conn.source();
    world.peer(source).inbox.extend(b"one\ntwo");
    let mut task = world.spawn(async move {
        let mut reader = BufReader::new(Twice(conn), [0; 8]);
        let first = text(reader.next_line().await);
        (first, text(reader.next_line().await).map_err(|error| error.io()))
    });
    world.turn();
    world.peer(source).fails = Some(IoError::Reset);
    world.turn();
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(task.take(), Some((Ok(Some("one".to_owned())), Err(Some(IoError::Reset)))));
}
