//! Asking a command to stop: its stdin ends.

use std::future::pending;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi::cli::{AsyncStdinStream, StdinStream};

/// Asks a guest to stop, from any thread or signal handler. When the last one is dropped it is asked as well.
#[derive(Clone, Debug)]
pub struct Stopper {
    input: Arc<UnixStream>,
}

/// The other end, for [`Settings`](super::Settings).
#[derive(Debug)]
pub struct Stopping {
    stdin: UnixStream,
}

/// What a guest is stopped by, and how it learns of that.
///
/// # Errors
///
/// When the system gives no pair of sockets.
pub fn stopper() -> io::Result<(Stopper, Stopping)> {
    let (input, stdin) = UnixStream::pair()?;
    stdin.set_nonblocking(true)?;
    Ok((Stopper { input: Arc::new(input) }, Stopping { stdin }))
}

impl Stopper {
    /// Returns the socket whose end is that of the guest's stdin, for those who end it in a signal handler.
    #[must_use]
    pub fn socket(&self) -> Arc<UnixStream> {
        Arc::clone(&self.input)
    }

    /// Ends the guest's stdin. This is one system call, and one that a signal handler may make.
    pub fn stop(&self) {
        // It fails where the guest has ended already.
        self.input.shutdown(Shutdown::Write).ok();
    }
}

/// How much longer a guest may take than it was told.
const GRACE: Duration = Duration::from_secs(1);

impl Stopping {
    /// Ends so long after the guest was asked to stop; never without a `timeout`. For the tokio that runs here.
    pub(super) fn end(&self, timeout: Option<Duration>) -> io::Result<impl Future<Output = ()> + 'static> {
        let stdin = tokio::net::UnixStream::from_std(self.stdin.try_clone()?)?;
        Ok(async move {
            // Nothing is written there, so that it becomes readable at its end, or fails.
            stdin.readable().await.ok();
            match timeout.and_then(|timeout| timeout.checked_add(GRACE)) {
                Some(span) => tokio::time::sleep(span).await,
                None => pending().await,
            }
        })
    }

    /// The guest's stdin, for the tokio that runs here.
    pub(super) fn into_stdin(self) -> io::Result<impl StdinStream + 'static> {
        Ok(AsyncStdinStream::new(tokio::net::UnixStream::from_std(self.stdin)?))
    }
}
