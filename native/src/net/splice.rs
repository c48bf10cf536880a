//! Copying between connections within the system (`splice`).

use std::cell::RefCell;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use sinbin_core::IoError;
use sinbin_core::task::{self, Conn, Error, try_join};

/// The capacity that a pipe gets, in bytes. The system grants it up to a limit for each user.
const CAPACITY: usize = 256 * 1024;

/// The number of empty pipes that a thread keeps.
const KEPT: usize = 16;

thread_local! {
    /// The empty pipes of the thread.
    static PIPES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe that bytes pass through. A connection has one only while bytes are in it.
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    /// Returns an empty pipe.
    fn take() -> io::Result<Self> {
        if let Some(pipe) = PIPES.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // If the user has too many pipes, this one keeps the capacity that it has.
        fcntl_setpipe_size(&writer, CAPACITY).ok();
        Ok(Self { reader, writer })
    }

    /// Keeps an empty pipe for the next use.
    fn keep(self) {
        PIPES.with_borrow_mut(|pipes| {
            if pipes.len() < KEPT {
                pipes.push(self);
            }
        });
    }
}

/// Copies all bytes from one connection to another as [`task::copy`](crate::task::copy) does. On Linux, the system moves
/// them, and none passes through the process (`splice`): a bulk transfer needs about half of the processor time. The
/// counters of bytes do not include them. Does not end the sending direction of `to`.
///
/// # Errors
///
/// Fails as [`task::copy`](crate::task::copy) does, and with the system's error if it has no pipe for the bytes.
pub async fn copy<'d>(from: &Conn<'d>, to: &Conn<'d>) -> Result<u64, Error> {
    if !are_plain(from, to)? {
        return task::copy(from, to).await;
    }
    let mut count = 0;
    loop {
        let (pipe, mut left) = from.recv_by(|socket| fill(stream(socket)?)).await?;
        if left == 0 {
            pipe.keep();
            return Ok(count);
        }
        while left > 0 {
            let sent = to.send_by(|socket| {
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                moved(splice(&pipe.reader, None, stream(socket)?, None, left, flags))
            });
            let sent = sent.await?;
            left = left.saturating_sub(sent);
            count += sent as u64;
        }
        pipe.keep();
    }
}

/// Returns true if the bytes of both connections are those of their sockets, and the host does not encrypt them.
fn are_plain(from: &Conn<'_>, to: &Conn<'_>) -> Result<bool, Error> {
    let is_plain = |conn: &Conn<'_>| conn.inspect(|socket| Ok(socket.is::<TcpStream>()));
    Ok(is_plain(from)? && is_plain(to)?)
}

/// Moves the bytes that are available on a connection into a pipe.
fn fill(from: &TcpStream) -> Result<(Pipe, usize), IoError> {
    let pipe = Pipe::take()?;
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    match moved(splice(from, None, &pipe.writer, None, CAPACITY, flags)) {
        Ok(count) => Ok((pipe, count)),
        Err(error) => {
            pipe.keep();
            Err(error)
        }
    }
}

fn stream(object: &dyn std::any::Any) -> Result<&TcpStream, IoError> {
    object.downcast_ref().ok_or(IoError::Unsupported)
}

fn moved(result: rustix::io::Result<usize>) -> Result<usize, IoError> {
    result.map_err(|error| io::Error::from(error).into())
}

/// Copies in both directions as [`task::copy_bidirectional`](crate::task::copy_bidirectional) does, in the way of
/// [`copy`]. Where one connection has sent its last byte, the sending direction of the other is ended.
///
/// # Errors
///
/// Fails as [`copy`] and [`Conn::shutdown`] do, with the first error of either direction.
///
/// ```
/// use sinbin::net::copy_bidirectional;
/// use sinbin::task::{Conn, Error};
///
/// /// Forwards a connection to another server.
/// async fn forward(client: Conn<'_>, server: &str) -> Result<(), Error> {
///     let server = client.handle().connect(server).await?;
///     copy_bidirectional(&client, &server).await?;
///     Ok(())
/// }
/// ```
pub async fn copy_bidirectional<'d>(a: &Conn<'d>, b: &Conn<'d>) -> Result<(u64, u64), Error> {
    try_join(direction(a, b), direction(b, a)).await
}

/// Copies in one direction, and then ends the sending direction of `to`.
async fn direction<'d>(from: &Conn<'d>, to: &Conn<'d>) -> Result<u64, Error> {
    let count = copy(from, to).await?;
    to.shutdown()?;
    Ok(count)
}
