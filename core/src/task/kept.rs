//! Bytes that a task keeps beyond a step, within the bound of its loop.

use core::fmt;

use crate::exec::buffers::BufferedBytes;
use crate::task::deferred::Deferred;
use crate::task::error::WaitError;
use crate::task::handle::Handle;
use crate::task::run_context::Catches;

/// Bytes that were received and not processed yet. [`Conn::try_recv_kept`](crate::task::Conn::try_recv_kept) returns
/// them.
///
/// Up to eight bytes are stored inline. More are stored in a block of the loop's pool, which is occupied until the
/// bytes are [consumed](Self::consume) or this value is dropped. All bytes that tasks keep are therefore within the
/// bound of the loop (natively, `Settings::max_buffered`), whatever the clients do: when no block is free, each read
/// receives only as many bytes as fit inline.
///
/// Buffers that a task allocates itself are not counted. A buffer that grows with the bytes that a client sends, or
/// does not accept, is unbounded; therefore keep the requests, and generate the replies as the client accepts them.
///
/// ```
/// # use sinbin_core::task::{Conn, Error};
///
/// /// Echoes the input, and keeps no more than the loop allows.
/// async fn echo(conn: &Conn<'_>) -> Result<(), Error> {
///     loop {
///         conn.readable().await?;
///         let mut kept = conn.try_recv_kept()?;
///         if kept.is_empty() {
///             return Ok(());
///         }
///         while !kept.is_empty() {
///             let mut piece = [0; 512];
///             let count = kept.copy_to(&mut piece)?;
///             let sent = conn.send(&piece[..count]).await?;
///             kept.consume(sent);
///         }
///     }
/// }
/// ```
pub struct Kept<'d> {
    handle: Handle<'d>,
    held: BufferedBytes,
    is_cut: bool,
}

impl<'d> Kept<'d> {
    pub(crate) const fn new(handle: Handle<'d>, held: BufferedBytes, is_cut: bool) -> Self {
        Self { handle, held, is_cut }
    }

    /// Returns the bytes as the loop's buffers know them.
    #[inline]
    pub(crate) const fn held(&self) -> &BufferedBytes {
        &self.held
    }

    /// Returns true if no bytes are left.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns true if the read filled the available capacity, so that more bytes may be available.
    #[must_use]
    #[inline]
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Passes the remaining bytes to `look`. Within it, operations of the loop fail with [`WaitError::Elsewhere`].
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside of the loop's tasks.
    #[inline]
    pub fn with<R>(&self, look: impl FnOnce(&[u8]) -> R) -> Result<R, WaitError> {
        if let Some(bytes) = self.held.inline() {
            return Ok(look(bytes));
        }
        let _catches = Catches(self.handle.run_context());
        self.handle.run_context().with(|ops| look(ops.kept(&self.held)))
    }

    /// Copies as many of the first remaining bytes as fit into `buffer`, and returns their number.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside of the loop's tasks.
    pub fn copy_to(&self, buffer: &mut [u8]) -> Result<usize, WaitError> {
        self.with(|bytes| {
            let count = bytes.len().min(buffer.len());
            buffer[..count].copy_from_slice(&bytes[..count]);
            count
        })
    }

    /// Removes the first `count` bytes, or all bytes if fewer remain.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        if let Some(block) = self.held.advance(count) {
            self.handle.run_context().give_back(Deferred::GiveBack(block));
        }
    }
}

impl Drop for Kept<'_> {
    #[inline]
    fn drop(&mut self) {
        self.consume(usize::MAX);
    }
}

impl fmt::Debug for Kept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("held", &self.held).finish_non_exhaustive()
    }
}
