//! Signals as futures. Each test has signals of its own, because all tests run in one process.

#![cfg(unix)]

use std::cell::Cell;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use signal_hook::consts::{SIGHUP, SIGTERM, SIGUSR1};
use signal_hook::low_level::raise;
use sinbin::IoError;
use sinbin::signal::{self, Kind, Signal};
use sinbin::task::{Conn, Error, join};

#[test]
fn a_signal_wakes_every_task_that_waits_for_it() {
    let ended = sinbin::run(async |handle| {
        let (mut one, mut two) = (Signal::new(handle, Kind::User1)?, Signal::new(handle, Kind::User1)?);
        // A signal that comes before the wait is not lost.
        raise(SIGUSR1).expect("a signal");
        one.recv().await?;
        let mut waiting = handle.spawn(async move { join(one.recv(), two.recv()).await })?;
        handle.yield_now().await;
        raise(SIGUSR1).expect("a signal");
        let (one, two) = waiting.join().await?;
        one.and(two)
    });
    assert_eq!(ended.expect("a loop"), Ok(()));
}

#[test]
fn a_signal_that_is_no_longer_waited_for_is_ignored() {
    let ended = sinbin::run(async |handle| {
        let hangup = signal::hangup(handle);
        let raised = async {
            handle.yield_now().await;
            raise(SIGHUP).expect("a signal");
        };
        let (received, ()) = join(hangup, raised).await;
        // Without a handler, this signal would end the process.
        raise(SIGHUP).expect("a signal");
        received
    });
    assert_eq!(ended.expect("a loop"), Ok(()));
}

#[test]
fn a_signal_stops_a_server_which_drains() {
    // The second server is stopped by its first signal: nothing of the first one is left.
    for _ in 0..2 {
        serve_until_a_signal();
    }
}

fn serve_until_a_signal() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let answered = Rc::new(Cell::new(0));
    let ended = sinbin::run(async |handle| {
        let stop = handle.spawn(signal::stop(handle))?;
        let listener = handle.listen(any)?;
        // Both are in the backlog when the signal comes: one with a request, and one without.
        let clients = [(); 2].map(|()| TcpStream::connect(listener.address()).expect("a connection"));
        std::io::Write::write_all(&mut &clients[0], b"?").expect("a request");
        handle.yield_now().await;
        raise(SIGTERM).expect("a signal");
        let service = {
            let answered = Rc::clone(&answered);
            async move |conn: Conn<'_>| {
                conn.recv(&mut [0]).await?;
                answered.set(answered.get() + 1);
                conn.send_all(b"!").await
            }
        };
        handle.serve(listener, service).await?;
        assert!(!stop.is_over(), "a second signal would end the process");
        let mut reply = [0];
        std::io::Read::read_exact(&mut &clients[0], &mut reply).expect("a reply");
        Ok::<_, Error>(reply)
    });
    assert_eq!((ended.expect("a loop"), answered.get()), (Ok(*b"!"), 1));
}

#[test]
fn a_unix_stream_is_a_connection_and_other_types_are_not() {
    let ended = sinbin::run(async |handle| {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let [ours, theirs] = [ours, theirs].map(|stream| handle.adopt(stream).expect("a stream"));
        ours.send_all(b"hello").await?;
        drop(ours);
        assert_eq!(theirs.recv_with(<[u8]>::to_vec).await?, b"hello");
        assert_eq!(theirs.recv(&mut [0]).await?, 0);
        assert_eq!(handle.adopt(3_u8).unwrap_err().io(), Some(IoError::Unsupported));
        Ok::<_, Error>(())
    });
    assert_eq!(ended.expect("a loop"), Ok(()));
}
