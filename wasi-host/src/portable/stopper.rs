//! The request that a command stops, which is the end of its stdin.

use std::future::pending;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi::cli::{AsyncStdinStream, StdinStream};

/// A handle that requests a guest to stop, from any thread or signal handler. Dropping the last clone requests it as
/// well.
#[derive(Clone, Debug)]
pub struct Stopper {
    input: Arc<UnixStream>,
}

/// The guest's end of the request to stop, for [`Settings`](super::Settings).
#[derive(Debug)]
pub struct Stopping {
    stdin: UnixStream,
}

/// Creates both ends of a request to stop.
///
/// # Errors
///
/// Fails if the system can't create a pair of sockets.
pub fn stopper() -> io::Result<(Stopper, Stopping)> {
    let (input, stdin) = UnixStream::pair()?;
    stdin.set_nonblocking(true)?;
    Ok((Stopper { input: Arc::new(input) }, Stopping { stdin }))
}

impl Stopper {
    /// Returns the socket. Shutting down its sending direction ends the guest's stdin, which a signal handler may do.
    #[must_use]
    pub fn socket(&self) -> Arc<UnixStream> {
        Arc::clone(&self.input)
    }

    /// Ends the guest's stdin. This makes a single system call, which is safe in a signal handler.
    pub fn stop(&self) {
        // The call fails if the guest has already ended.
        self.input.shutdown(Shutdown::Write).ok();
    }
}

/// The time that the host adds to the guest's own drain timeout.
const GRACE: Duration = Duration::from_secs(1);

impl Stopping {
    /// Returns a future that completes `timeout` and the grace period after the request to stop, and never without a
    /// `timeout`. Must be called in a tokio runtime.
    pub(super) fn end(&self, timeout: Option<Duration>) -> io::Result<impl Future<Output = ()> + 'static> {
        let stdin = tokio::net::UnixStream::from_std(self.stdin.try_clone()?)?;
        Ok(async move {
            // No bytes are ever written to this socket, so it becomes readable only at its end, or when it fails.
            stdin.readable().await.ok();
            match timeout.and_then(|timeout| timeout.checked_add(GRACE)) {
                Some(span) => tokio::time::sleep(span).await,
                None => pending().await,
            }
        })
    }

    /// Returns the guest's stdin. Must be called in a tokio runtime.
    pub(super) fn into_stdin(self) -> io::Result<impl StdinStream + 'static> {
        Ok(AsyncStdinStream::new(tokio::net::UnixStream::from_std(self.stdin)?))
    }
}
