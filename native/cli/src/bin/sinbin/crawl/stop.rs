//! The request to stop: Ctrl-C, once.

use std::io;

use sinbin::task::{Error, Handle};

/// A request to stop, which a task can wait for.
pub(crate) struct Stop<'d> {
    #[cfg(unix)]
    asked: sinbin::task::Conn<'d>,
    /// The other end, which the signal shuts down.
    #[cfg(unix)]
    ask: std::sync::Arc<std::os::unix::net::UnixStream>,
    #[cfg(not(unix))]
    handle: Handle<'d>,
}

impl<'d> Stop<'d> {
    /// Begins to catch the signals that ask for a stop.
    ///
    /// # Errors
    ///
    /// Fails with the error of the system.
    #[cfg(unix)]
    pub(crate) fn new(handle: Handle<'d>) -> io::Result<Self> {
        use std::os::unix::net::UnixStream;
        use std::sync::Arc;

        let (asked, ask) = UnixStream::pair()?;
        let ask = Arc::new(ask);
        sinbin_cli::signals::shut_on_signal(Arc::clone(&ask))?;
        Ok(Self { asked: handle.adopt(asked)?, ask })
    }

    /// Waits for the first signal.
    ///
    /// # Errors
    ///
    /// Fails if the task must not wait.
    #[cfg(unix)]
    pub(crate) async fn asked(&self) -> Result<(), Error> {
        self.asked.recv(&mut [0; 1]).await.map(|_| ())
    }

    #[cfg(not(unix))]
    pub(crate) fn new(handle: Handle<'d>) -> io::Result<Self> {
        sinbin_cli::signals::keep_signals()?;
        Ok(Self { handle })
    }

    #[cfg(not(unix))]
    pub(crate) async fn asked(&self) -> Result<(), Error> {
        // The signal's thread cannot wake the loop.
        while !sinbin_cli::signals::interrupted() {
            self.handle.sleep(std::time::Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

#[cfg(unix)]
impl Drop for Stop<'_> {
    /// Ends the connection from the other side, for which the loop would otherwise wait.
    fn drop(&mut self) {
        self.ask.shutdown(std::net::Shutdown::Both).ok();
    }
}
