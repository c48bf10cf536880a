//! The options of sockets.

use std::any::Any;
use std::net::TcpStream;
use std::time::Duration;

use sinbin_core::IoError;
use sinbin_core::task::{Conn, Error, Listener};
use socket2::{SockRef, TcpKeepalive};

use crate::sockets::{Descriptor, Listening, Shared, descriptor};

/// The options of a connection's or a listener's socket.
///
/// The loop owns the socket. These functions use it while the loop can't close it.
///
/// ```
/// use std::time::Duration;
///
/// use sinbin::net::SocketOptions;
/// use sinbin::task::{Conn, Error};
///
/// async fn serve(conn: Conn<'_>) -> Result<(), Error> {
///     conn.set_keepalive(Some(Duration::from_secs(60)))?;
///     conn.set_send_buffer(256 * 1024)?;
///     // ...
///     Ok(())
/// }
/// ```
pub trait SocketOptions: private::Inspect {
    /// Calls `act` with the descriptor of the socket (on Windows, a `BorrowedSocket`). The descriptor must stay open and
    /// nonblocking.
    ///
    /// # Errors
    ///
    /// Fails with the error of `act`, and if the socket is closed.
    fn with_descriptor<R>(&self, act: impl FnOnce(Descriptor<'_>) -> std::io::Result<R>) -> Result<R, Error> {
        self.inspect_object(|object| {
            let descriptor = if let Some(stream) = object.downcast_ref::<TcpStream>() {
                descriptor(stream)
            } else if let Some(listener) = object.downcast_ref::<Listening>() {
                listener.descriptor()
            } else if let Some(shared) = object.downcast_ref::<Shared>() {
                descriptor(&*shared.object)
            } else {
                match of_tls(object) {
                    Some(descriptor) => descriptor,
                    None => return Err(IoError::Unsupported),
                }
            };
            act(descriptor).map_err(IoError::from)
        })
    }

    /// Sets whether small pieces are sent at once (`TCP_NODELAY`). On for each connection, unless it is switched off.
    ///
    /// # Errors
    ///
    /// Fails with the system's error, also for a Unix socket.
    fn set_nodelay(&self, nodelay: bool) -> Result<(), Error> {
        self.with_descriptor(|socket| SockRef::from(&socket).set_tcp_nodelay(nodelay))
    }

    /// Returns true if small pieces are sent at once.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    fn nodelay(&self) -> Result<bool, Error> {
        self.with_descriptor(|socket| SockRef::from(&socket).tcp_nodelay())
    }

    /// Makes the system probe the peer after this time without traffic, and reset the connection if it does not answer.
    /// `None` switches the probes off, which is the default.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    fn set_keepalive(&self, after: Option<Duration>) -> Result<(), Error> {
        self.with_descriptor(|socket| match after {
            Some(after) => SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(after)),
            None => SockRef::from(&socket).set_keepalive(false),
        })
    }

    /// Returns true if the system probes the peer of a silent connection.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    fn keepalive(&self) -> Result<bool, Error> {
        self.with_descriptor(|socket| SockRef::from(&socket).keepalive())
    }

    /// Sets the size of the system's buffer for bytes that are received, a hint for the system.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    fn set_recv_buffer(&self, bytes: usize) -> Result<(), Error> {
        self.with_descriptor(|socket| SockRef::from(&socket).set_recv_buffer_size(bytes))
    }

    /// Returns the size of the system's buffer for bytes that are received. Linux returns twice the size that was set.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    fn recv_buffer(&self) -> Result<usize, Error> {
        self.with_descriptor(|socket| SockRef::from(&socket).recv_buffer_size())
    }

    /// Sets the size of the system's buffer for bytes that are sent, a hint for the system.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    fn set_send_buffer(&self, bytes: usize) -> Result<(), Error> {
        self.with_descriptor(|socket| SockRef::from(&socket).set_send_buffer_size(bytes))
    }

    /// Returns the size of the system's buffer for bytes that are sent. Linux returns twice the size that was set.
    ///
    /// # Errors
    ///
    /// Fails with the system's error.
    fn send_buffer(&self) -> Result<usize, Error> {
        self.with_descriptor(|socket| SockRef::from(&socket).send_buffer_size())
    }
}

/// Returns the descriptor of a connection whose peer speaks TLS.
#[cfg(feature = "tls")]
fn of_tls(object: &dyn Any) -> Option<Descriptor<'_>> {
    object.downcast_ref::<crate::sockets::TlsStream>().map(crate::sockets::TlsStream::descriptor)
}

#[cfg(not(feature = "tls"))]
fn of_tls(_: &dyn Any) -> Option<Descriptor<'_>> {
    None
}

impl SocketOptions for Conn<'_> {}
impl SocketOptions for Listener<'_> {}

mod private {
    use super::{Any, Conn, Error, IoError, Listener};

    /// Access to the object of a source.
    pub trait Inspect {
        fn inspect_object<R>(&self, act: impl FnOnce(&dyn Any) -> Result<R, IoError>) -> Result<R, Error>;
    }

    impl Inspect for Conn<'_> {
        fn inspect_object<R>(&self, act: impl FnOnce(&dyn Any) -> Result<R, IoError>) -> Result<R, Error> {
            self.inspect(act)
        }
    }

    impl Inspect for Listener<'_> {
        fn inspect_object<R>(&self, act: impl FnOnce(&dyn Any) -> Result<R, IoError>) -> Result<R, Error> {
            self.inspect(act)
        }
    }
}
