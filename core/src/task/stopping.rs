//! Connections that were made elsewhere, and stopping the loop.

use core::any::Any;
use core::future::poll_fn;
use core::task::{Poll, ready};

use crate::kernel::error::Op;
use crate::kernel::id::SourceId;
use crate::kernel::step::ExpectedWaker;
use crate::task::conn::Conn;
use crate::task::error::{Error, WaitError};
use crate::task::handle::Handle;

impl<'d> Handle<'d> {
    /// Adds a connection that was made elsewhere. The host must know its type: the native host accepts
    /// `std::net::TcpStream` and, on Unix, `UnixStream` and `OwnedFd` of a stream socket.
    ///
    /// # Errors
    ///
    /// Fails with the error of the system, and with [`IoError::Unsupported`](crate::IoError::Unsupported) if the host
    /// does not know the type.
    pub fn adopt<C: 'static>(self, connection: C) -> Result<Conn<'d>, Error> {
        let mut connection = Some(connection);
        let adopted = self.run_context().with(|ops| ops.adopt(&mut connection as &mut dyn Any))?;
        let none = SourceId::from_bits(u64::MAX);
        Ok(Conn::new(self, adopted.map_err(|error| Error::of(Op::Connect, none, error))?))
    }

    /// Waits until the loop is to stop: because of [`stop`](Self::stop), because of a signal, or because the host was
    /// asked to stop. From then on, receiving fails with [`IoError::Stopping`](crate::IoError::Stopping) where no bytes
    /// are available, and the tasks have the host's drain timeout to end.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub async fn stopping(self) -> Result<(), WaitError> {
        poll_fn(|context| {
            if self.run_context().with(|ops| ops.is_stopping())? {
                return Poll::Ready(Ok(()));
            }
            let refused = ready!(self.run_context().leave_named(ExpectedWaker::Outside, context));
            Poll::Ready(Err(refused))
        })
        .await
    }

    /// Asks the loop to stop, as if its host was asked to: see [`stopping`](Self::stopping).
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::Unsupported`](crate::IoError::Unsupported) if the host does not let its tasks stop the loop.
    pub fn stop(self) -> Result<(), Error> {
        let none = SourceId::from_bits(u64::MAX);
        let stopped = self.run_context().with(|ops| ops.stop())?;
        stopped.map_err(|error| Error::of(Op::Wait, none, error))
    }
}
