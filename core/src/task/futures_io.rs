//! The byte streams of `futures-io` (with the feature of that name), for connections, their halves and buffered
//! readers. Code that is written for these traits runs on a connection unchanged.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use crate::task::conn::Conn;
use crate::task::halves::{RecvHalf, SendHalf};
use crate::task::reader::{BufReader, ByteSource};

/// Receives as [`Conn::poll_recv`] does. A read that is dropped has received nothing.
impl AsyncRead for &Conn<'_> {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_recv(context, buf).map_err(io::Error::from)
    }
}

/// Behaves as the implementation for a reference.
impl AsyncRead for Conn<'_> {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_recv(context, buf).map_err(io::Error::from)
    }
}

/// Behaves as the implementation for the connection.
impl AsyncRead for RecvHalf<'_> {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_recv(context, buf).map_err(io::Error::from)
    }
}

/// Sends without a buffer, so that flushing has no effect. Closing ends the sending direction.
impl AsyncWrite for &Conn<'_> {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(context, buf).map_err(io::Error::from)
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown().map_err(io::Error::from))
    }
}

/// Behaves as the implementation for a reference.
impl AsyncWrite for Conn<'_> {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(context, buf).map_err(io::Error::from)
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown().map_err(io::Error::from))
    }
}

/// Behaves as the implementation for the connection.
impl AsyncWrite for SendHalf<'_> {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(context, buf).map_err(io::Error::from)
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown().map_err(io::Error::from))
    }
}

impl<S: ByteSource + Unpin, B: AsRef<[u8]> + AsMut<[u8]> + Unpin> AsyncRead for BufReader<S, B> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let reader = self.get_mut();
        ready!(reader.poll_fill_buf(context)).map_err(io::Error::from)?;
        Poll::Ready(Ok(reader.take(buf)))
    }
}

impl<S: ByteSource + Unpin, B: AsRef<[u8]> + AsMut<[u8]> + Unpin> AsyncBufRead for BufReader<S, B> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().poll_fill_buf(context).map_err(io::Error::from)
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().consume(count);
    }
}
