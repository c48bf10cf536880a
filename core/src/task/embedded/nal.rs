//! The TCP traits of `edge-nal`: a loop connects and binds, a listener accepts, and a connection is the socket.

use core::net::SocketAddr;

use edge_nal::{Close, Readable, TcpAccept, TcpBind, TcpConnect, TcpShutdown, TcpSplit};

use crate::kernel::error::{IoError, Op};
use crate::task::conn::Conn;
use crate::task::error::Error;
use crate::task::handle::Handle;
use crate::task::listener::Listener;

impl<'d> TcpConnect for Handle<'d> {
    type Error = Error;
    type Socket<'a>
        = Conn<'d>
    where
        Self: 'a;

    async fn connect(&self, remote: SocketAddr) -> Result<Conn<'d>, Error> {
        self.connect_address(remote).await
    }
}

/// The listener is listening when `bind` returns. For port 0, [`Listener::address`] returns the assigned port.
impl<'d> TcpBind for Handle<'d> {
    type Error = Error;
    type Accept<'a>
        = Listener<'d>
    where
        Self: 'a;

    async fn bind(&self, local: SocketAddr) -> Result<Listener<'d>, Error> {
        self.listen(local)
    }
}

/// This trait needs the address of the peer. If the host does not know it, `accept` closes the connection and fails
/// with [`IoError::Unsupported`]; [`Listener::accept`] works there.
impl<'d> TcpAccept for Listener<'d> {
    type Error = Error;
    type Socket<'a>
        = Conn<'d>
    where
        Self: 'a;

    async fn accept(&self) -> Result<(SocketAddr, Conn<'d>), Error> {
        let (conn, peer) = Listener::accept(self).await?;
        let peer = peer.ok_or_else(|| Error::of(Op::Accept, conn.source(), IoError::Unsupported))?;
        Ok((peer, conn))
    }
}

/// `readable` may complete early; the next `read` then waits.
impl Readable for &Conn<'_> {
    async fn readable(&mut self) -> Result<(), Error> {
        Conn::readable(self).await
    }
}

/// `readable` may complete early; the next `read` then waits.
impl Readable for Conn<'_> {
    async fn readable(&mut self) -> Result<(), Error> {
        Conn::readable(self).await
    }
}

/// Both halves are the connection itself: a task may wait to receive on one while another waits to send on the other.
impl<'d> TcpSplit for Conn<'d> {
    type Read<'a>
        = &'a Conn<'d>
    where
        Self: 'a;
    type Write<'a>
        = &'a Conn<'d>
    where
        Self: 'a;

    fn split(&mut self) -> (&Conn<'d>, &Conn<'d>) {
        (self, self)
    }
}

/// Both halves are the connection itself.
impl<'d> TcpSplit for &Conn<'d> {
    type Read<'a>
        = &'a Conn<'d>
    where
        Self: 'a;
    type Write<'a>
        = &'a Conn<'d>
    where
        Self: 'a;

    fn split(&mut self) -> (&Conn<'d>, &Conn<'d>) {
        (self, self)
    }
}

/// Closing the reading half reads to the end of the stream, which never comes if the peer keeps the connection open.
/// Closing both halves does not wait for the end of the stream: it ends the sending half, and bytes that the peer sends
/// until the connection is dropped can still be read. (After the drop, a host ensures that the last bytes sent are not
/// lost.)
///
/// A connection can't be reset: `abort` fails with [`IoError::Unsupported`]. Drop the connection instead.
impl TcpShutdown for &Conn<'_> {
    async fn close(&mut self, what: Close) -> Result<(), Error> {
        if what != Close::Read {
            return self.shutdown();
        }
        let mut rest = [0; 64];
        while self.recv(&mut rest).await? > 0 {}
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), Error> {
        Err(Error::of(Op::Shutdown, self.source(), IoError::Unsupported))
    }
}

/// Behaves as the implementation for a reference.
impl TcpShutdown for Conn<'_> {
    async fn close(&mut self, what: Close) -> Result<(), Error> {
        TcpShutdown::close(&mut &*self, what).await
    }

    async fn abort(&mut self) -> Result<(), Error> {
        TcpShutdown::abort(&mut &*self).await
    }
}
