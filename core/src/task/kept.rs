//! Bytes that a task keeps beyond a step, within the bound of its loop.

use core::fmt;

use crate::exec::buffers::BufferedBytes;
use crate::task::deferred::Deferred;
use crate::task::error::WaitError;
use crate::task::handle::Handle;
use crate::task::run_context::Catches;

/// Bytes that were received and are not dealt with yet, as [`Conn::try_recv_kept`](crate::task::Conn::try_recv_kept) returns it.
///
/// Up to eight bytes lie in here; more lie in a block of the loop's pool, which has them until they are
/// [consumed](Self::consume) or this is dropped. So all that tasks keep is within the bound of the loop (natively, that is
/// `Settings::max_buffered`), whatever their clients do: when no block is left, each receives as much at once as fits in
/// here.
///
/// A buffer of one's own on the heap is not counted. One that grows with what a client sends, or with what it does not
/// take, is without a bound; so keep the requests, and make the replies as they are taken.
///
/// ```
/// use sinbin_core::task::{Conn, Error};
///
/// /// Sends back what comes in, and keeps no more than the loop allows.
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

    /// Returns true if nothing is left.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns true if the read took as much as there was room for: more of the same may be there.
    #[must_use]
    #[inline]
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Hands what is left to `look`. Within it, the loop can't be asked for anything: that is [`WaitError::Elsewhere`].
    ///
    /// # Errors
    ///
    /// [`WaitError::Elsewhere`] outside of the loop's tasks.
    #[inline]
    pub fn with<R>(&self, look: impl FnOnce(&[u8]) -> R) -> Result<R, WaitError> {
        if let Some(bytes) = self.held.inline() {
            return Ok(look(bytes));
        }
        let _catches = Catches(self.handle.run_context());
        self.handle.run_context().with(|ops| look(ops.kept(&self.held)))
    }

    /// Copies from the front of what is left as much as `buffer` has room for, and returns how much.
    ///
    /// # Errors
    ///
    /// [`WaitError::Elsewhere`] outside of the loop's tasks.
    pub fn copy_to(&self, buffer: &mut [u8]) -> Result<usize, WaitError> {
        self.with(|bytes| {
            let count = bytes.len().min(buffer.len());
            buffer[..count].copy_from_slice(&bytes[..count]);
            count
        })
    }

    /// Lets go of the first `count` bytes, or of all where there are fewer.
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
