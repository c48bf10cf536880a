//! Values from task to task.

use core::cell::{Cell, RefCell};
use core::fmt;

use heapless::Deque;

use crate::sync::permits::Permits;
use crate::sync::queue::Turn;
use crate::task::error::WaitError;
use crate::task::error::sync::{RecvError, SendError};
use crate::task::handle::{Handle, begin_unless};

/// Up to `N` values on their way from the tasks that send to those that receive, of which there can be several. Who
/// sends too much waits (backpressure).
///
/// Values are received in the order in which they were sent. Who waits is served in the order in which it came, and
/// is not overtaken by who comes later.
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
pub struct Channel<'d, T, const N: usize> {
    handle: Handle<'d>,
    values: RefCell<Deque<T, N>>,
    /// Places that nobody fills or is about to fill.
    rooms: Permits,
    /// Values that nobody is about to take.
    loads: Permits,
    closed: Cell<bool>,
}

impl<'d, T, const N: usize> Channel<'d, T, N> {
    /// An empty channel, for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>) -> Self {
        const { assert!(N > 0 && N <= u32::MAX as usize, "a channel has room") };
        #[expect(clippy::cast_possible_truncation, reason = "it is small enough, as just asserted")]
        let rooms = Permits::new(N as u32);
        let values = RefCell::new(Deque::new());
        Self { handle, values, rooms, loads: Permits::new(0), closed: Cell::new(false) }
    }

    /// Waits for room, and sends the value. Dropped before its end, it has not sent it. O(1).
    ///
    /// # Errors
    ///
    /// Gives the value back when the channel is closed, before or while it waits, and where the task must not
    /// wait.
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

    /// Sends the value, if there is room and nobody waits for it. O(1).
    ///
    /// # Errors
    ///
    /// Gives the value back if not, or when the channel is closed, or outside a task of its loop
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

    /// Waits for a value. Dropped before its end, it has received none. O(1).
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] once the channel is closed and empty, or where the task must not wait.
    pub async fn recv(&self) -> Result<T, RecvError> {
        begin_unless(self.handle, || self.is_over()).await?;
        if self.is_over() || self.loads.take(self.handle, 1).await? == Turn::Over {
            return Err(RecvError::Closed);
        }
        self.take().ok_or(RecvError::Closed)
    }

    /// A value, if there is one that nobody else waits for. O(1).
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] once the channel is closed and empty; [`WaitError::Elsewhere`] outside a task of its
    /// loop.
    pub fn try_recv(&self) -> Result<Option<T>, RecvError> {
        self.handle.current()?;
        if self.is_over() {
            return Err(RecvError::Closed);
        }
        Ok(if self.loads.try_take(1) { self.take() } else { None })
    }

    /// Ends the sending: who sends from now on, or waits for room, gets its value back. What was sent can still be
    /// received; then who receives is told. O(n) in the number of those who wait.
    ///
    /// # Errors
    ///
    /// [`WaitError::Elsewhere`] outside a task of its loop; the channel stays open.
    pub fn close(&self) -> Result<(), WaitError> {
        self.handle.current()?;
        self.closed.set(true);
        self.rooms.end(self.handle);
        self.end_if_over();
        Ok(())
    }

    /// Whether it is closed: there may still be something to receive.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// How many values were sent and not received.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.borrow().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.borrow().is_empty()
    }

    /// How many values there is room for.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// Waits for room to send.
    async fn reserve(&self) -> Result<Turn, WaitError> {
        begin_unless(self.handle, || self.is_closed()).await?;
        if self.is_closed() || self.rooms.take(self.handle, 1).await? == Turn::Over {
            return Ok(Turn::Over);
        }
        if self.is_closed() {
            // It was closed after this one's turn had come, and before it ran.
            self.rooms.put(self.handle, 1);
            return Ok(Turn::Over);
        }
        Ok(Turn::Granted)
    }

    /// Puts a value where room was reserved for it.
    fn put(&self, value: T) {
        let put = self.values.borrow_mut().push_back(value);
        debug_assert!(put.is_ok(), "there is room that nobody else fills");
        self.loads.put(self.handle, 1);
    }

    /// Takes a value that was reserved.
    fn take(&self) -> Option<T> {
        let value = self.values.borrow_mut().pop_front();
        debug_assert!(value.is_some(), "there is a value that nobody else takes");
        self.rooms.put(self.handle, 1);
        self.end_if_over();
        value
    }

    /// Whether nothing will be received any more. What another is about to take may yet be left to who waits.
    fn is_over(&self) -> bool {
        self.is_closed() && self.is_empty()
    }

    fn end_if_over(&self) {
        if self.is_over() {
            self.loads.end(self.handle);
        }
    }
}

impl<T, const N: usize> fmt::Debug for Channel<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut channel = f.debug_struct("Channel");
        channel.field("len", &self.len()).field("capacity", &N).field("closed", &self.is_closed());
        channel.finish_non_exhaustive()
    }
}
