//! A task for each connection on tokio's current-thread runtime, as lean as possible.
//!
//! All tasks read into one buffer, which is borrowed only while a read is polled. `poll_read` is used rather than
//! `readable` and `try_read`, because only `poll_read` treats a short read as the last one, which saves a system call.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, ReadBuf};
use ::tokio::net::TcpStream;
use ::tokio::{runtime, task};

use super::protocol::{Buffers, Job, Session};

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = ::tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            task::spawn(connection(stream));
        }
    })
}

async fn connection(mut stream: TcpStream) -> io::Result<()> {
    let mut session = Session::default();
    loop {
        let Some(mut job) = poll_fn(|cx| read_and_answer(cx, &mut stream, &mut session)).await? else {
            return Ok(());
        };
        while let Some(large) = job {
            let value = task::spawn_blocking(|| large.run()).await?;
            job = BUFFERS.with_borrow_mut(|buffers| {
                let job = session.job_done(value, &mut buffers.replies)?;
                send(&stream, &mut session, &mut buffers.replies)?;
                io::Result::Ok(job)
            })?;
        }
        while session.is_stuck() {
            stream.writable().await?;
            send(&stream, &mut session, &mut Vec::new())?;
        }
    }
}

/// Reads and answers. The outer `None` is the end of the stream; the inner one means that there was no large request.
fn read_and_answer(
    cx: &mut Context<'_>,
    stream: &mut TcpStream,
    session: &mut Session,
) -> Poll<io::Result<Option<Option<Job>>>> {
    BUFFERS.with_borrow_mut(|Buffers { input, replies }| {
        let mut input = ReadBuf::new(input);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut input))?;
        if input.filled().is_empty() {
            return Poll::Ready(Ok(None));
        }
        let job = session.feed(input.filled(), replies)?;
        send(stream, session, replies)?;
        Poll::Ready(Ok(Some(job)))
    })
}

fn send(stream: &TcpStream, session: &mut Session, replies: &mut Vec<u8>) -> io::Result<bool> {
    session.send(replies, |bytes| stream.try_write(bytes))
}
