//! Channels between tasks.

#[cfg(feature = "alloc")]
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};
use core::fmt;

use heapless::Deque;

use crate::exec::label::WaitKind;
use crate::sync::permits::Permits;
use crate::sync::queue::Turn;
use crate::sync::values::Values;
use crate::task::error::WaitError;
use crate::task::error::sync::{RecvError, SendError};
use crate::task::handle::{Handle, begin_unless};

/// A channel of up to `N` values, with any number of senders and receivers. A task that sends to a full channel waits
/// (backpressure).
///
/// With a heap, `Channel<T>` is a channel whose capacity is chosen at run time
/// ([`with_capacity`](Self::with_capacity)).
///
/// Values are received in the order in which they were sent. Waiting tasks are served in the order in which they
/// arrived, and a later task never overtakes an earlier one.
///
/// ```
/// # use sinbin_core::sync::{Channel, RecvError, SendError};
/// async fn produce(numbers: &Channel<'_, u32, 8>) -> Result<(), SendError<u32>> {
///     for n in 1..=100 {
///         numbers.send(n).await?;
///     }
///     numbers.close().ok();
///     Ok(())
/// }
///
/// async fn consume(numbers: &Channel<'_, u32, 8>) -> Result<u32, RecvError> {
///     let mut sum = 0;
///     loop {
///         match numbers.recv().await {
///             Ok(n) => sum += n,
///             Err(RecvError::Closed) => return Ok(sum),
///             Err(error) => return Err(error),
///         }
///     }
/// }
/// ```
pub struct Channel<'d, T, const N: usize = 0> {
    handle: Handle<'d>,
    values: RefCell<Values<T, N>>,
    capacity: u32,
    /// Permits for free slots that no sender has reserved.
    rooms: Permits,
    /// Permits for values that no receiver has reserved.
    loads: Permits,
    closed: Cell<bool>,
}

impl<'d, T, const N: usize> Channel<'d, T, N> {
    /// Creates an empty channel for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>) -> Self {
        Self::named(handle, "")
    }

    /// Creates a channel as [`new`](Self::new) does, with a name: the report of tasks that can never continue says by it
    /// what they wait for.
    #[must_use]
    pub const fn named(handle: Handle<'d>, name: &'static str) -> Self {
        const { assert!(N > 0 && N <= u32::MAX as usize, "a channel needs capacity: see `with_capacity`") };
        #[expect(clippy::cast_possible_truncation, reason = "it is small enough, as just asserted")]
        Self::of(handle, name, N as u32, Values::Fixed(Deque::new()))
    }

    const fn of(handle: Handle<'d>, name: &'static str, capacity: u32, values: Values<T, N>) -> Self {
        let (rooms, loads) = (Permits::named(capacity, name), Permits::named(0, name));
        Self { handle, values: RefCell::new(values), capacity, rooms, loads, closed: Cell::new(false) }
    }

    /// Returns the name; empty if there is none.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.rooms.name()
    }

    /// Waits for capacity, and sends the value. If the future is dropped before its end, it has not sent the value.
    /// O(1).
    ///
    /// # Errors
    ///
    /// Returns the value if the channel is closed, before or during the wait, or if the task must not wait.
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self.reserve().await {
            Ok(Turn::Granted) => {
                self.put(value);
                Ok(())
            }
            Ok(Turn::Over) => Err(SendError::Closed(value)),
            Err(refused) => Err(SendError::Wait(refused, value)),
        }
    }

    /// Sends the value, if the channel has free capacity and no other sender waits for it. O(1).
    ///
    /// # Errors
    ///
    /// Returns the value if that is not possible, if the channel is closed, or outside a task of its loop
    /// ([`WaitError::Elsewhere`]).
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        if let Err(refused) = self.handle.current() {
            return Err(SendError::Wait(refused, value));
        }
        if self.is_closed() {
            return Err(SendError::Closed(value));
        }
        if !self.rooms.try_take(1) {
            return Err(SendError::Full(value));
        }
        self.put(value);
        Ok(())
    }

    /// Waits for a value. If the future is dropped before its end, it has received none. O(1).
    ///
    /// # Errors
    ///
    /// Fails with [`RecvError::Closed`] if the channel is closed and empty, and with [`RecvError::Wait`] if the task
    /// must not wait.
    pub async fn recv(&self) -> Result<T, RecvError> {
        begin_unless(self.handle, || self.is_over()).await?;
        if self.is_over() || self.loads.take(self.handle, WaitKind::Recv, 1).await? == Turn::Over {
            return Err(RecvError::Closed);
        }
        self.take().ok_or(RecvError::Closed)
    }

    /// Returns a value, if one is available that no other receiver waits for. O(1).
    ///
    /// # Errors
    ///
    /// Fails with [`RecvError::Closed`] if the channel is closed and empty, and with [`WaitError::Elsewhere`] outside a
    /// task of its loop.
    pub fn try_recv(&self) -> Result<Option<T>, RecvError> {
        self.handle.current()?;
        if self.is_over() {
            return Err(RecvError::Closed);
        }
        Ok(if self.loads.try_take(1) { self.take() } else { None })
    }

    /// Closes the channel for sending: senders that wait, or that send from now on, get their values back. Values that
    /// were sent can still be received; after that, receivers get [`RecvError::Closed`]. O(n) in the number of waiting
    /// tasks.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside a task of its loop; the channel stays open.
    pub fn close(&self) -> Result<(), WaitError> {
        self.handle.current()?;
        self.closed.set(true);
        self.rooms.end(self.handle);
        self.end_if_over();
        Ok(())
    }

    /// Returns true if the channel is closed. It may still contain values to receive.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Returns the number of values that were sent and not received.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.borrow().len()
    }

    /// Returns true if the channel contains no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the maximum number of values that the channel can contain.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Waits for capacity to send, and reserves it.
    async fn reserve(&self) -> Result<Turn, WaitError> {
        begin_unless(self.handle, || self.is_closed()).await?;
        if self.is_closed() || self.rooms.take(self.handle, WaitKind::Send, 1).await? == Turn::Over {
            return Ok(Turn::Over);
        }
        if self.is_closed() {
            // The channel was closed after this task had been granted its turn, and before it ran.
            self.rooms.put(self.handle, 1);
            return Ok(Turn::Over);
        }
        Ok(Turn::Granted)
    }

    /// Stores a value for which capacity was reserved.
    fn put(&self, value: T) {
        self.values.borrow_mut().push(value);
        self.loads.put(self.handle, 1);
    }

    /// Removes a value that was reserved.
    fn take(&self) -> Option<T> {
        let value = self.values.borrow_mut().pop();
        debug_assert!(value.is_some(), "the value was reserved");
        self.rooms.put(self.handle, 1);
        self.end_if_over();
        value
    }

    /// Returns true if no value can be received any more. A value that a receiver has reserved still counts, because it
    /// passes to the next receiver if the first one is dropped.
    fn is_over(&self) -> bool {
        self.is_closed() && self.is_empty()
    }

    fn end_if_over(&self) {
        if self.is_over() {
            self.loads.end(self.handle);
        }
    }
}

#[cfg(feature = "alloc")]
impl<'d, T> Channel<'d, T> {
    /// Creates an empty channel of up to `capacity` values for the tasks of the loop `handle`. It takes memory for the
    /// values that it contains, not for its capacity. A capacity of 0 counts as 1, and a larger one than [`u32::MAX`] as
    /// that.
    ///
    /// ```
    /// # use sinbin_core::sync::{Channel, SendError};
    /// # use sinbin_core::task::Handle;
    /// async fn first(handle: Handle<'_>, depth: usize) -> Result<(), SendError<&str>> {
    ///     let lines = Channel::with_capacity(handle, depth);
    ///     lines.send("first").await
    /// }
    /// ```
    #[must_use]
    pub fn with_capacity(handle: Handle<'d>, capacity: usize) -> Self {
        Self::named_with_capacity(handle, "", capacity)
    }

    /// Creates a channel as [`with_capacity`](Self::with_capacity) does, with a name for reports.
    #[must_use]
    pub fn named_with_capacity(handle: Handle<'d>, name: &'static str, capacity: usize) -> Self {
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX).max(1);
        Self::of(handle, name, capacity, Values::Heap(VecDeque::new()))
    }
}

impl<T, const N: usize> fmt::Debug for Channel<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut channel = f.debug_struct("Channel");
        channel
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .field("closed", &self.is_closed());
        channel.finish_non_exhaustive()
    }
}
