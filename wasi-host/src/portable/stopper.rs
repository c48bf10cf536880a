//! The request that a command stops, which is the end of its stdin.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

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

impl Stopping {
    /// Returns the nonblocking socket that ends when the guest is to stop. It never receives a byte.
    pub(super) fn into_socket(self) -> OwnedFd {
        self.stdin.into()
    }
}
