//! A channel for a single value from one task to another.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

use crate::sync::channel::Channel;
use crate::task::error::WaitError;
use crate::task::error::sync::{RecvError, SendError};
use crate::task::handle::Handle;

/// A channel for a single value, such as the reply to a request. The first value that is sent closes it.
///
/// ```
/// # use std::rc::Rc;
/// # use sinbin_core::sync::{Channel, Oneshot, OneshotSender};
/// # use sinbin_core::task::{Error, Handle};
/// /// A number to be doubled, and where the result goes.
/// type Request<'d> = (u32, OneshotSender<'d, u32, Rc<Oneshot<'d, u32>>>);
///
/// async fn double<'d>(handle: Handle<'d>, requests: &Channel<'d, Request<'d>, 8>) -> Result<u32, Error> {
///     let reply = Rc::new(Oneshot::new(handle));
///     requests.send((21, OneshotSender::new(Rc::clone(&reply)))).await?;
///     // If the worker is gone, and the sender with it, this fails.
///     Ok(reply.recv().await?)
/// }
///
/// async fn work<'d>(requests: &Channel<'d, Request<'d>, 8>) -> Result<(), Error> {
///     loop {
///         let (number, reply) = requests.recv().await?;
///         reply.send(2 * number).ok();
///     }
/// }
/// ```
pub struct Oneshot<'d, T>(Channel<'d, T, 1>);

/// The sending side of a [`Oneshot`], by a reference or an [`Rc`](alloc::rc::Rc). If it is dropped without having sent,
/// the receiver learns that no value will come.
pub struct OneshotSender<'d, T, P: Deref<Target = Oneshot<'d, T>>> {
    oneshot: P,
    _value: PhantomData<(Handle<'d>, T)>,
}

impl<'d, T> Oneshot<'d, T> {
    /// Creates a channel without its value, for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>) -> Self {
        Self::named(handle, "")
    }

    /// Creates a channel as [`new`](Self::new) does, with a name: the report of tasks that can never continue says by it
    /// what they wait for.
    #[must_use]
    pub const fn named(handle: Handle<'d>, name: &'static str) -> Self {
        Self(Channel::named(handle, name))
    }

    /// Returns the name; empty if there is none.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Creates a sender, which closes the channel when it is dropped.
    #[must_use]
    pub const fn sender(&self) -> OneshotSender<'d, T, &Self> {
        OneshotSender::new(self)
    }

    /// Sends the value. O(1), or O(n) if several tasks wait.
    ///
    /// # Errors
    ///
    /// Returns the value if one was sent before or the channel is closed, or outside a task of its loop
    /// ([`WaitError::Elsewhere`]).
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.0.try_send(value)?;
        let closed = self.0.close();
        debug_assert!(closed.is_ok(), "a value was sent");
        Ok(())
    }

    /// Waits for the value. If the future is dropped before its end, the value stays available.
    ///
    /// # Errors
    ///
    /// Fails with [`RecvError::Closed`] if no value will come, or if it was received before, and with
    /// [`RecvError::Wait`] if the task must not wait.
    pub async fn recv(&self) -> Result<T, RecvError> {
        self.0.recv().await
    }

    /// Returns the value, if it was sent and no other task waits for it.
    ///
    /// # Errors
    ///
    /// Fails with [`RecvError::Closed`] if no value will come, or if it was received before, and with
    /// [`WaitError::Elsewhere`] outside a task of its loop.
    pub fn try_recv(&self) -> Result<Option<T>, RecvError> {
        self.0.try_recv()
    }

    /// Closes the channel: a value that was sent can still be received, and no other value can be sent.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside a task of its loop; the channel stays open.
    pub fn close(&self) -> Result<(), WaitError> {
        self.0.close()
    }

    /// Returns true if no value can be sent any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl<T> fmt::Debug for Oneshot<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut oneshot = f.debug_struct("Oneshot");
        oneshot
            .field("has_value", &!self.0.is_empty())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<'d, T, P: Deref<Target = Oneshot<'d, T>>> OneshotSender<'d, T, P> {
    /// Creates the sender of `oneshot`.
    pub const fn new(oneshot: P) -> Self {
        Self { oneshot, _value: PhantomData }
    }

    /// Sends the value.
    ///
    /// # Errors
    ///
    /// Returns the value if one was sent before or the channel is closed, or outside a task of its loop
    /// ([`WaitError::Elsewhere`]).
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        self.oneshot.send(value)
    }

    /// Returns true if no value can be sent any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.oneshot.is_closed()
    }
}

impl<'d, T, P: Deref<Target = Oneshot<'d, T>>> Drop for OneshotSender<'d, T, P> {
    fn drop(&mut self) {
        // Outside a task of the loop, `close` fails and wakes no task: either the loop is gone, or another task has
        // yet to drop its side.
        self.oneshot.close().ok();
    }
}

impl<'d, T, P: Deref<Target = Oneshot<'d, T>>> fmt::Debug for OneshotSender<'d, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotSender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
