//! Messages that every receiver gets.

use core::cell::{Cell, RefCell};
use core::fmt;

use crate::exec::label::WaitKind;
use crate::kernel::step::ExpectedWaker;
use crate::sync::queue::Queue;
use crate::task::error::WaitError;
use crate::task::error::sync::{RecvError, SendError};
use crate::task::handle::{Handle, begin_unless};

/// A channel whose messages go to every receiver, such as the lines of a chat. It keeps the last `N` messages. Sending
/// never waits: a receiver that is more than `N` messages behind misses the oldest ones, and receives their number.
///
/// Each receiver gets a clone of each message; put large ones into an [`Rc`](alloc::rc::Rc).
///
/// ```
/// # use sinbin_core::sync::{Broadcast, RecvError};
/// # use sinbin_core::task::Error;
/// async fn listen(lines: &Broadcast<'_, u32, 16>) -> Result<(), Error> {
///     let mut receiver = lines.receiver();
///     loop {
///         match receiver.recv().await {
///             Ok(_line) => { /* send it to the client */ }
///             Err(RecvError::Lagged(_missed)) => { /* tell the client */ }
///             Err(RecvError::Closed) => return Ok(()),
///             Err(error) => return Err(error.into()),
///         }
///     }
/// }
/// ```
pub struct Broadcast<'d, T, const N: usize> {
    handle: Handle<'d>,
    /// The last messages, each at its number modulo `N`.
    messages: RefCell<[Option<T>; N]>,
    /// The number of messages that were sent.
    sent: Cell<u64>,
    closed: Cell<bool>,
    queue: Queue,
}

/// A receiver of a [`Broadcast`].
pub struct BroadcastReceiver<'a, 'd, T, const N: usize> {
    broadcast: &'a Broadcast<'d, T, N>,
    /// The number of the next message.
    next: u64,
}

impl<'d, T, const N: usize> Broadcast<'d, T, N> {
    /// Creates a channel without messages, for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>) -> Self {
        Self::named(handle, "")
    }

    /// Creates a channel as [`new`](Self::new) does, with a name: the report of tasks that can never continue says by it
    /// what they wait for.
    #[must_use]
    pub const fn named(handle: Handle<'d>, name: &'static str) -> Self {
        const { assert!(N > 0, "a broadcast needs capacity") };
        let messages = RefCell::new([const { None }; N]);
        Self { handle, messages, sent: Cell::new(0), closed: Cell::new(false), queue: Queue::named(name) }
    }

    /// Returns the name; empty if there is none.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.queue.name()
    }

    /// Creates a receiver of the messages that are sent from now on.
    #[must_use]
    pub const fn receiver(&self) -> BroadcastReceiver<'_, 'd, T, N> {
        BroadcastReceiver { broadcast: self, next: self.sent.get() }
    }

    /// Sends a message to all receivers, and drops the oldest one if `N` messages are kept. O(n) in the number of tasks
    /// that wait.
    ///
    /// # Errors
    ///
    /// Returns the message if the channel is closed, outside a task of its loop ([`WaitError::Elsewhere`]), or while a
    /// message is cloned ([`WaitError::Busy`]).
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        if let Err(refused) = self.handle.current() {
            return Err(SendError::Wait(refused, message));
        }
        if self.is_closed() {
            return Err(SendError::Closed(message));
        }
        let oldest = match self.messages.try_borrow_mut() {
            Ok(mut messages) => messages[place::<N>(self.sent.get())].replace(message),
            Err(_) => return Err(SendError::Wait(WaitError::Busy, message)),
        };
        self.sent.set(self.sent.get() + 1);
        self.queue.grant_all(self.handle);
        // The destructor is user code, which may use the channel.
        drop(oldest);
        Ok(())
    }

    /// Closes the channel for sending. Messages that were sent can still be received; after that, receivers get
    /// [`RecvError::Closed`]. O(n) in the number of tasks that wait.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside a task of its loop; the channel stays open.
    pub fn close(&self) -> Result<(), WaitError> {
        self.handle.current()?;
        self.closed.set(true);
        self.queue.end_all(self.handle);
        Ok(())
    }

    /// Returns true if the channel is closed. It may still contain messages to receive.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Returns the number of messages that the channel keeps.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }
}

/// Returns the index of the message with this number.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is less than a usize")]
const fn place<const N: usize>(number: u64) -> usize {
    (number % N as u64) as usize
}

impl<T, const N: usize> fmt::Debug for Broadcast<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut broadcast = f.debug_struct("Broadcast");
        broadcast.field("sent", &self.sent.get()).field("capacity", &N).field("closed", &self.is_closed());
        broadcast.finish_non_exhaustive()
    }
}

impl<'a, 'd, T, const N: usize> BroadcastReceiver<'a, 'd, T, N> {
    /// Waits for the next message. If the future is dropped before its end, no message is received. O(1).
    ///
    /// # Errors
    ///
    /// Fails with [`RecvError::Lagged`] if messages were missed, with [`RecvError::Closed`] if the channel is closed
    /// and all messages were received, and with [`RecvError::Wait`] if the task must not wait.
    pub async fn recv(&mut self) -> Result<T, RecvError>
    where
        T: Clone,
    {
        let broadcast = self.broadcast;
        begin_unless(broadcast.handle, || broadcast.is_closed() && self.is_empty()).await?;
        while self.is_empty() {
            if broadcast.is_closed() {
                return Err(RecvError::Closed);
            }
            broadcast
                .queue
                .wait(broadcast.handle, WaitKind::Message, 1, |_| ExpectedWaker::Anyone, |_| {})
                .await?;
        }
        self.take()
    }

    /// Returns the next message, if one is available. O(1).
    ///
    /// # Errors
    ///
    /// Fails as [`recv`](Self::recv) does, and with [`WaitError::Elsewhere`] outside a task of its loop.
    pub fn try_recv(&mut self) -> Result<Option<T>, RecvError>
    where
        T: Clone,
    {
        self.broadcast.handle.current()?;
        match self.is_empty() {
            false => self.take().map(Some),
            true if self.broadcast.is_closed() => Err(RecvError::Closed),
            true => Ok(None),
        }
    }

    /// Returns the number of messages that were sent and not received, including those that were missed.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.broadcast.sent.get() - self.next
    }

    /// Returns true if all messages were received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the channel.
    #[must_use]
    pub const fn broadcast(&self) -> &'a Broadcast<'d, T, N> {
        self.broadcast
    }

    /// Returns the next message, which was sent, or the number of messages that were missed.
    fn take(&mut self) -> Result<T, RecvError>
    where
        T: Clone,
    {
        let missed = self.len().saturating_sub(N as u64);
        if missed > 0 {
            self.next += missed;
            return Err(RecvError::Lagged(missed));
        }
        let message = self.broadcast.messages.borrow()[place::<N>(self.next)].clone();
        self.next += 1;
        message.ok_or(RecvError::Closed)
    }
}

impl<T, const N: usize> Clone for BroadcastReceiver<'_, '_, T, N> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<T, const N: usize> fmt::Debug for BroadcastReceiver<'_, '_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastReceiver").field("len", &self.len()).finish_non_exhaustive()
    }
}
