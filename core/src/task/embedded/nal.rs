//! The TCP traits of `edge-nal`: a loop connects and binds, a listener accepts, a connection is the socket.

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
        Handle::connect(*self, remote).await
    }
}

/// It listens when `bind` returns. Which port it got for 0, [`Listener::address`] says.
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

/// Where the host does not know whose connection it is, this trait can't be served: the connection is closed, and
/// the error is [`IoError::Unsupported`]. [`Listener::accept`] works there.
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

/// It may be early: then the next `read` waits on.
impl Readable for &Conn<'_> {
    async fn readable(&mut self) -> Result<(), Error> {
        Conn::readable(self).await
    }
}

/// It may be early: then the next `read` waits on.
impl Readable for Conn<'_> {
    async fn readable(&mut self) -> Result<(), Error> {
        Conn::readable(self).await
    }
}

/// Both halves are the connection: one may wait to receive while the other waits to send.
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

/// Both halves are the connection.
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

/// To close the reading half is to read to the end of the stream, which can take the peer forever. To close both
/// does not wait for that: it ends the sending half, and what the peer sends until the connection is dropped is
/// still there to be read. (When it is dropped, a host sees to it that what was sent last is not lost.)
///
/// There is no way to reset a connection: `abort` fails with [`IoError::Unsupported`]. Drop the connection.
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

/// As for a reference.
impl TcpShutdown for Conn<'_> {
    async fn close(&mut self, what: Close) -> Result<(), Error> {
        TcpShutdown::close(&mut &*self, what).await
    }

    async fn abort(&mut self) -> Result<(), Error> {
        TcpShutdown::abort(&mut &*self).await
    }
}
