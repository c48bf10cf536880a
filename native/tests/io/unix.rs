use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixDatagram as StdDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;

use sinbin::net::UnixDatagram;
use sinbin::task::{Conn, Error, Handle, join};
use sinbin::{IoError, Settings};

use crate::{Directory, run};

fn place(path: &Path) -> String {
    format!("unix:{}", path.display())
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// Leaves a socket behind, as a killed process does.
fn leave_behind(path: &Path) {
    drop(UnixListener::bind(path).expect("a free path"));
    assert!(is_socket(path));
}

#[test]
fn a_stream_connects_by_its_path_which_is_removed_at_the_end() {
    let directory = Directory::new("stream");
    let path = directory.path("socket");
    run(async |handle| {
        let listener = handle.listen(place(&path)).expect("a free path");
        assert!(is_socket(&path));
        let (client, server) = join(handle.connect(place(&path)), listener.accept()).await;
        let (client, (server, peer)) = (client.expect("it listens"), server.expect("it connects"));
        assert_eq!((peer, server.peer(), client.peer()), (None, None, None));
        client.send_all(b"hello").await.expect("it is sent");
        client.shutdown().expect("it is open");
        let mut buffer = [0; 9];
        assert_eq!(server.recv(&mut buffer).await, Ok(5));
        assert_eq!(server.recv(&mut buffer).await, Ok(0));
        drop(listener);
        handle.yield_now().await;
        assert!(!path.exists());
    });
}

#[test]
fn a_path_that_is_taken_is_left_alone_unless_its_socket_is_dead() {
    let directory = Directory::new("taken");
    let (file, alive, dead) = (directory.path("file"), directory.path("alive"), directory.path("dead"));
    fs::write(&file, "precious").expect("a file");
    let _listens = UnixListener::bind(&alive).expect("a free path");
    leave_behind(&dead);
    run(async |handle| {
        for taken in [&file, &alive, &directory.0] {
            let error = handle.listen(place(taken)).expect_err("it is taken");
            assert_eq!(error.io(), Some(IoError::AddressInUse), "{error}");
        }
        handle.listen(place(&dead)).expect("a dead socket is replaced");
        let error = handle.listen(place(&directory.path("no/directory"))).expect_err("there is none");
        assert!(matches!(error.io(), Some(IoError::Os(_))), "{error}");
    });
    assert_eq!(fs::read(&file).expect("it is there"), b"precious");
    assert!(is_socket(&alive));
    UnixStream::connect(&alive).expect("the other listener was not disturbed");
}

/// Another process may replace the socket. Its path is not ours to remove then.
#[test]
fn a_path_with_another_socket_by_now_is_left_alone() {
    let directory = Directory::new("replaced");
    let path = directory.path("socket");
    run(async |handle| {
        let listener = handle.listen(place(&path)).expect("a free path");
        fs::remove_file(&path).expect("it is there");
        let _other = UnixListener::bind(&path).expect("it is free again");
        drop(listener);
        handle.yield_now().await;
        assert!(is_socket(&path));
    });
}

#[test]
fn connecting_fails_with_the_path_and_the_reason() {
    let directory = Directory::new("connecting");
    let (none, dead, file) = (directory.path("none"), directory.path("dead"), directory.path("file"));
    leave_behind(&dead);
    fs::write(&file, "").expect("a file");
    run(async |handle| {
        for (path, error) in
            [(&dead, "connection refused"), (&file, "connection refused"), (&none, "No such file")]
        {
            let failed = handle.connect(place(path)).await.expect_err("no process listens").to_string();
            let name = path.file_name().expect("a name").to_string_lossy();
            assert!(failed.starts_with("connect to unix:/") && failed.contains(&*name), "{failed}");
            assert!(failed.contains(error), "{failed}");
        }
    });
}

/// The listener accepts none until the client has failed to connect, because the backlog is full.
#[test]
fn a_full_backlog_is_waited_for() {
    let directory = Directory::new("backlog");
    let path = directory.path("socket");
    let listener =
        socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
    listener.bind(&socket2::SockAddr::unix(&path).expect("a path")).expect("a free path");
    listener.listen(0).expect("it is bound");
    let fill = || {
        let socket =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("an option");
        socket.connect(&socket2::SockAddr::unix(&path).expect("a path")).map(|()| socket)
    };
    let waiting: Vec<_> = std::iter::repeat_with(fill).map_while(Result::ok).collect();
    let count = waiting.len() + 1;
    let (go_on, until) = channel();
    let accepts = thread::spawn(move || {
        until.recv().expect("the client waits");
        (0..count).map(|_| listener.accept().expect("clients wait").0).collect::<Vec<_>>()
    });
    let connected = run(async |handle| {
        let unblock = async {
            handle.sleep(std::time::Duration::from_millis(1)).await;
            go_on.send(()).is_ok()
        };
        join(handle.connect(place(&path)), unblock).await.0.map(drop)
    });
    if cfg!(target_os = "linux") {
        assert_eq!(connected, Ok(()));
        accepts.join().expect("it accepts");
    }
}

async fn upper(conn: Conn<'_>) -> Result<(), Error> {
    let mut buffer = [0; 64];
    loop {
        let count = conn.recv(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        buffer[..count].make_ascii_uppercase();
        conn.send_all(&buffer[..count]).await?;
    }
}

/// The path disappears when the server has stopped.
#[test]
fn a_service_listens_on_a_path() {
    use std::io::{Read, Write};
    let directory = Directory::new("service");
    let path = directory.path("socket");
    leave_behind(&path);
    let (started, stopper) = channel();
    let listens = path.clone();
    let server = thread::spawn(move || {
        let listener = Settings::default().bind_path(&listens).expect("a dead socket");
        let summary = Settings::default().serve([listener], |stopper| drop(started.send(stopper)), upper);
        summary.expect("it serves")
    });
    let stopper = stopper.recv().expect("it starts");
    for _ in 0..3 {
        let mut client = UnixStream::connect(&path).expect("it listens");
        client.write_all(b"hello").expect("it is open");
        client.shutdown(std::net::Shutdown::Write).expect("it is open");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("it answers");
        assert_eq!(answer, "HELLO");
    }
    stopper.stop();
    let summary = server.join().expect("it ends");
    assert_eq!((summary.counts.connections, summary.cut), (3, 0));
    assert!(!path.exists());
}

#[test]
fn a_service_refuses_a_path_of_a_file_and_says_why() {
    let directory = Directory::new("refused");
    let path = directory.path("file");
    fs::write(&path, "precious").expect("a file");
    let error = sinbin::serve(place(&path).as_str(), upper).expect_err("the path is taken").to_string();
    assert!(error.contains(&*path.to_string_lossy()) && error.contains("no socket"), "{error}");
    assert_eq!(fs::read(&path).expect("it is there"), b"precious");
}

fn pair<'d>(handle: Handle<'d>) -> [UnixDatagram<'d>; 2] {
    let (one, two) = StdDatagram::pair().expect("a pair");
    [one, two].map(|socket| UnixDatagram::adopt(handle, socket).expect("there is room"))
}

#[test]
fn unix_datagrams_keep_their_lengths_and_name_their_senders() {
    let directory = Directory::new("datagrams");
    let (at_one, at_two) = (directory.path("one"), directory.path("two"));
    run(async |handle| {
        let one = UnixDatagram::bind(handle, &at_one).expect("a free path");
        let two = UnixDatagram::bind(handle, &at_two).expect("a free path");
        let mut buffer = [0; 8];
        one.send_to(b"hello", &at_two).await.expect("it listens");
        assert_eq!(two.recv_from(&mut buffer).await, Ok((5, Some(at_one.clone()))));
        let nameless = UnixDatagram::unbound(handle).expect("a socket");
        nameless.connect(&at_two).expect("it listens");
        nameless.send(b"far too long").await.expect("it is sent");
        assert_eq!(two.recv(&mut buffer).await.map_err(|error| error.io()), Err(Some(IoError::TooLong)));
        nameless.send(b"").await.expect("it is sent");
        assert_eq!(two.recv_from(&mut buffer).await, Ok((0, None)));
        let taken = UnixDatagram::bind(handle, &at_two).map(|_| ()).expect_err("it is alive");
        assert_eq!(taken.io(), Some(IoError::AddressInUse));
        drop(two);
        assert!(!at_two.exists());
        let error = one.send_to(b"hello", &at_two).await.expect_err("no socket is there").to_string();
        assert!(error.starts_with("send to unix:/"), "{error}");
    });
}

/// A sender whose peer does not read waits, and no datagram is lost.
#[test]
fn a_full_queue_is_waited_for() {
    let received = run(async |handle| {
        let [one, two] = pair(handle);
        let send = async {
            for _ in 0..2000_u32 {
                one.send(&[7; 100]).await?;
            }
            Ok::<_, Error>(())
        };
        let receive = async {
            let mut buffer = [0; 100];
            let mut count = 0;
            while count < 2000 && two.recv(&mut buffer).await? == 100 {
                count += 1;
            }
            Ok::<_, Error>(count)
        };
        join(send, receive).await
    });
    assert_eq!(received, (Ok(()), Ok(2000)));
}
