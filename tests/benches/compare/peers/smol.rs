//! A task for each connection on smol's single-threaded executor. As with tokio, all tasks read into one buffer.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use ::smol::{Async, LocalExecutor};

use super::protocol::{Buffers, Job, Session};

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let listener = Async::new(listener)?;
    let executor = LocalExecutor::new();
    ::smol::block_on(executor.run(async {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            executor.spawn(connection(stream)).detach();
        }
    }))
}

async fn connection(stream: Async<TcpStream>) -> io::Result<()> {
    let mut session = Session::default();
    loop {
        // With many connections, waiting first is faster than `read_with`, which first tries a read that fails.
        stream.readable().await?;
        let mut job = match read_and_answer(stream.get_ref(), &mut session) {
            Ok(Some(job)) => job,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        while let Some(large) = job {
            let value = ::smol::unblock(|| large.run()).await;
            job = BUFFERS.with_borrow_mut(|buffers| {
                let job = session.job_done(value, &mut buffers.replies)?;
                send(stream.get_ref(), &mut session, &mut buffers.replies)?;
                io::Result::Ok(job)
            })?;
        }
        while session.is_stuck() {
            stream.writable().await?;
            send(stream.get_ref(), &mut session, &mut Vec::new())?;
        }
    }
}

/// Reads and answers. The outer `None` is the end of the stream; the inner one means that there was no large request.
fn read_and_answer(mut stream: &TcpStream, session: &mut Session) -> io::Result<Option<Option<Job>>> {
    BUFFERS.with_borrow_mut(|Buffers { input, replies }| {
        let count = stream.read(input)?;
        if count == 0 {
            return Ok(None);
        }
        let job = session.feed(&input[..count], replies)?;
        send(stream, session, replies)?;
        Ok(Some(job))
    })
}

fn send(mut stream: &TcpStream, session: &mut Session, replies: &mut Vec<u8>) -> io::Result<bool> {
    session.send(replies, |bytes| stream.write(bytes))
}
