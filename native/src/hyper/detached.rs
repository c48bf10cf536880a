//! Connections for the parts of hyper that demand `'static` and `Send`.

use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use sinbin_core::task::{Error, WaitError};

use crate::byte_stream::ByteStream;
use crate::hyper::io::Retry;

/// The number of bytes that wait in each direction.
const CAPACITY: usize = 64 * 1024;

/// Takes a connection apart into hyper's I/O, which borrows nothing from the loop, and a future that moves the bytes,
/// which has to be polled by a task: spawn it. The future completes when both directions have ended, or when the I/O was
/// dropped and everything is sent.
///
/// Each byte is copied once more than with [`Io`](crate::hyper::Io).
///
/// ```no_run
/// use http_body_util::Empty;
/// use hyper::body::Bytes;
/// use hyper::client::conn::http2;
/// use sinbin::hyper::{Executor, detach};
/// # async fn get(conn: sinbin::task::Conn<'_>) -> Result<(), Box<dyn std::error::Error>> {
/// let handle = conn.handle();
/// let (io, moves) = detach(conn);
/// handle.spawn(moves)?;
/// let (mut sender, connection) = http2::handshake(Executor::new(handle), io).await?;
/// handle.spawn(connection)?;
/// let request = hyper::Request::get("http://example.org/").body(Empty::<Bytes>::new())?;
/// let response = sender.send_request(request).await?;
/// # Ok(())
/// # }
/// ```
pub fn detach<'d, S: ByteStream<'d>>(
    stream: S,
) -> (DetachedIo, impl Future<Output = Result<(), Error>> + use<'d, S>) {
    let shared = Arc::new(Mutex::new(Shared::default()));
    let io = DetachedIo(Arc::clone(&shared));
    let moves = async move {
        let ends = Ends(shared);
        let mut retry = Retry(None);
        poll_fn(|context| poll_moves(&ends.0, &stream, &mut retry, context)).await
    };
    (io, moves)
}

/// The I/O of a connection that was [taken apart](detach).
#[derive(Debug)]
pub struct DetachedIo(Arc<Mutex<Shared>>);

/// The state that the I/O shares with the task that moves the bytes.
#[derive(Default, Debug)]
struct Shared {
    received: Vec<u8>,
    /// True if nothing follows what was received.
    has_ended: bool,
    to_send: Vec<u8>,
    /// The number of bytes of `to_send` that are sent.
    sent: usize,
    /// True if nothing follows what is to be sent.
    is_closing: bool,
    /// True if the sending direction was ended.
    is_shut: bool,
    /// True if the I/O was dropped.
    is_dropped: bool,
    /// The error of the connection.
    failed: Option<Error>,
    /// The wakers of hyper's reader and writer, and of the task that moves the bytes.
    reader: Option<Waker>,
    writer: Option<Waker>,
    mover: Option<Waker>,
}

/// The lock on the shared state. Wakers are called, and dropped, when it is released: both can be code that needs the lock.
struct Locked<'a> {
    /// `None` while the guard is dropped.
    shared: Option<MutexGuard<'a, Shared>>,
    due: Vec<Waker>,
    replaced: Option<Waker>,
}

fn lock(shared: &Mutex<Shared>) -> Locked<'_> {
    let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    Locked { shared: Some(shared), due: Vec::new(), replaced: None }
}

impl Locked<'_> {
    /// Stores the waker of `context`.
    fn keep(&mut self, place: fn(&mut Shared) -> &mut Option<Waker>, context: &Context<'_>) {
        let place = place(self);
        if place.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
            let replaced = place.replace(context.waker().clone());
            self.replaced = replaced;
        }
    }

    fn wake(&mut self, place: fn(&mut Shared) -> &mut Option<Waker>) {
        let due = place(self).take();
        self.due.extend(due);
    }
}

impl Deref for Locked<'_> {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        self.shared.as_ref().expect("it is locked")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Shared {
        self.shared.as_mut().expect("it is locked")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        drop(self.shared.take());
        for waker in self.due.drain(..) {
            waker.wake();
        }
    }
}

const READER: fn(&mut Shared) -> &mut Option<Waker> = |shared| &mut shared.reader;
const WRITER: fn(&mut Shared) -> &mut Option<Waker> = |shared| &mut shared.writer;
const MOVER: fn(&mut Shared) -> &mut Option<Waker> = |shared| &mut shared.mover;

/// A guard that tells hyper of the end of the task that moves the bytes.
struct Ends(Arc<Mutex<Shared>>);

impl Drop for Ends {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        if !(shared.has_ended && shared.is_shut) {
            shared.failed.get_or_insert(Error::Wait(WaitError::Cancelled));
        }
        shared.wake(READER);
        shared.wake(WRITER);
    }
}

fn poll_moves<'d>(
    shared: &Mutex<Shared>,
    stream: &impl ByteStream<'d>,
    retry: &mut Retry<'d>,
    context: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    lock(shared).keep(MOVER, context);
    let moved = (poll_send(shared, stream, context), poll_receive(shared, stream, retry, context));
    let mut shared = lock(shared);
    match moved {
        (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => {
            shared.failed = Some(error);
            Poll::Ready(Err(error))
        }
        (Poll::Ready(Ok(())), received) if received.is_ready() || shared.is_dropped => Poll::Ready(Ok(())),
        _ => Poll::Pending,
    }
}

/// Moves bytes to the connection. Completes when the sending direction has ended.
fn poll_send<'d>(
    shared: &Mutex<Shared>,
    stream: &impl ByteStream<'d>,
    context: &Context<'_>,
) -> Poll<Result<(), Error>> {
    loop {
        let mut shared = lock(shared);
        if shared.is_shut {
            return Poll::Ready(Ok(()));
        }
        if shared.sent < shared.to_send.len() {
            let sent = ready!(stream.poll_send(context, &shared.to_send[shared.sent..]))?;
            shared.sent += sent;
            continue;
        }
        shared.to_send.clear();
        shared.sent = 0;
        if shared.is_closing {
            ready!(stream.poll_shutdown(context))?;
            shared.is_shut = true;
        } else {
            ready!(stream.poll_flush(context))?;
            // Everything is sent: a flush is complete.
            shared.wake(WRITER);
            return Poll::Pending;
        }
        shared.wake(WRITER);
    }
}

/// Moves bytes from the connection. Completes at the end of the stream.
fn poll_receive<'d>(
    shared: &Mutex<Shared>,
    stream: &impl ByteStream<'d>,
    retry: &mut Retry<'d>,
    context: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    loop {
        let mut shared = lock(shared);
        if shared.has_ended {
            return Poll::Ready(Ok(()));
        }
        let room = CAPACITY.saturating_sub(shared.received.len());
        if room == 0 || shared.is_dropped {
            return Poll::Pending;
        }
        let count = ready!(retry.poll_recv_with(stream, context, room, |bytes| {
            shared.received.extend_from_slice(bytes);
            bytes.len()
        }))?;
        shared.has_ended = count == 0;
        shared.wake(READER);
    }
}

impl Read for DetachedIo {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        if !shared.received.is_empty() {
            let count = shared.received.len().min(buffer.remaining());
            buffer.put_slice(&shared.received[..count]);
            shared.received.drain(..count);
            shared.wake(MOVER);
        } else if shared.has_ended {
            // No bytes mean the end.
        } else if let Some(error) = shared.failed {
            return Poll::Ready(Err(error.into()));
        } else {
            shared.keep(READER, context);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for DetachedIo {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        if let Some(error) = shared.failed {
            return Poll::Ready(Err(error.into()));
        }
        if shared.is_closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = CAPACITY.saturating_sub(shared.to_send.len()).min(bytes.len());
        if count == 0 && !bytes.is_empty() {
            shared.keep(WRITER, context);
            return Poll::Pending;
        }
        shared.to_send.extend_from_slice(&bytes[..count]);
        shared.wake(MOVER);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        if let Some(error) = shared.failed {
            return Poll::Ready(Err(error.into()));
        }
        if shared.to_send.is_empty() {
            return Poll::Ready(Ok(()));
        }
        shared.keep(WRITER, context);
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        if let Some(error) = shared.failed {
            return Poll::Ready(Err(error.into()));
        }
        if shared.is_shut {
            return Poll::Ready(Ok(()));
        }
        shared.is_closing = true;
        shared.wake(MOVER);
        shared.keep(WRITER, context);
        Poll::Pending
    }
}

impl Drop for DetachedIo {
    /// Closes the sending direction after the bytes that were written.
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.is_dropped = true;
        shared.is_closing = true;
        shared.wake(MOVER);
    }
}
