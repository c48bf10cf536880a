//! A value whose latest state tasks observe.

use core::cell::{Cell, RefCell};
use core::fmt;

use crate::exec::label::WaitKind;
use crate::kernel::step::ExpectedWaker;
use crate::sync::queue::Queue;
use crate::task::error::WaitError;
use crate::task::error::sync::{RecvError, SendError};
use crate::task::handle::{Handle, begin_unless};

/// A value that any task can replace, and whose changes any number of tasks wait for, such as a configuration. A task
/// that is slow sees the latest value and misses the values in between.
///
/// ```
/// # use sinbin_core::sync::{RecvError, Watch};
/// # use sinbin_core::task::Error;
/// async fn follow(limit: &Watch<'_, u32>) -> Result<(), RecvError> {
///     let mut receiver = limit.receiver();
///     loop {
///         let _limit = receiver.get();
///         // ...
///         receiver.changed().await?;
///     }
/// }
///
/// fn raise(limit: &Watch<'_, u32>) -> Result<(), Error> {
///     let more = limit.get() + 1; // no other task runs between the two lines
///     Ok(limit.send(more)?)
/// }
/// ```
pub struct Watch<'d, T> {
    handle: Handle<'d>,
    value: RefCell<T>,
    /// The number of values that were sent.
    version: Cell<u64>,
    closed: Cell<bool>,
    queue: Queue,
}

/// A receiver of a [`Watch`], which knows the last version that its task has seen.
pub struct WatchReceiver<'a, 'd, T> {
    watch: &'a Watch<'d, T>,
    seen: u64,
}

impl<'d, T> Watch<'d, T> {
    /// Creates a watch on `value`, for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>, value: T) -> Self {
        Self::named(handle, "", value)
    }

    /// Creates a watch as [`new`](Self::new) does, with a name: the report of tasks that can never continue says by it
    /// what they wait for.
    #[must_use]
    pub const fn named(handle: Handle<'d>, name: &'static str, value: T) -> Self {
        let value = RefCell::new(value);
        Self { handle, value, version: Cell::new(0), closed: Cell::new(false), queue: Queue::named(name) }
    }

    /// Returns the name; empty if there is none.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.queue.name()
    }

    /// Creates a receiver, which has seen the present value.
    #[must_use]
    pub const fn receiver(&self) -> WatchReceiver<'_, 'd, T> {
        WatchReceiver { watch: self, seen: self.version.get() }
    }

    /// Replaces the value, and wakes all tasks that wait for a change. O(n) in their number.
    ///
    /// # Errors
    ///
    /// Returns the value if the watch is closed, outside a task of its loop ([`WaitError::Elsewhere`]), or within
    /// [`with`](Self::with) ([`WaitError::Busy`]).
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if let Err(refused) = self.handle.current() {
            return Err(SendError::Wait(refused, value));
        }
        if self.is_closed() {
            return Err(SendError::Closed(value));
        }
        let before = match self.value.try_borrow_mut() {
            Ok(mut present) => core::mem::replace(&mut *present, value),
            Err(_) => return Err(SendError::Wait(WaitError::Busy, value)),
        };
        self.version.set(self.version.get() + 1);
        self.queue.grant_all(self.handle);
        // The destructor is user code, which may use the watch.
        drop(before);
        Ok(())
    }

    /// Closes the watch: no value can be sent any more, and tasks that wait for a change learn that none will come.
    /// O(n) in their number.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside a task of its loop; the watch stays open.
    pub fn close(&self) -> Result<(), WaitError> {
        self.handle.current()?;
        self.closed.set(true);
        self.queue.end_all(self.handle);
        Ok(())
    }

    /// Returns true if the watch is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Passes the present value to `look`.
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.value.borrow())
    }

    /// Returns the present value.
    #[must_use]
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// Consumes the watch, and returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: fmt::Debug> fmt::Debug for Watch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut watch = f.debug_struct("Watch");
        self.with(|value| {
            watch.field("value", value).field("closed", &self.closed.get()).finish_non_exhaustive()
        })
    }
}

impl<'a, 'd, T> WatchReceiver<'a, 'd, T> {
    /// Waits until a value was sent that this receiver has not seen, and marks it as seen. Returns at once if
    /// such a value exists. If the future is dropped before its end, nothing is marked.
    ///
    /// # Errors
    ///
    /// Fails with [`RecvError::Closed`] if the watch is closed and its last value was seen, and with
    /// [`RecvError::Wait`] if the task must not wait.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        let Self { watch, seen } = self;
        let is_over = || watch.is_closed() && watch.version.get() == *seen;
        begin_unless(watch.handle, is_over).await?;
        while watch.version.get() == *seen {
            if watch.is_closed() {
                return Err(RecvError::Closed);
            }
            watch.queue.wait(watch.handle, WaitKind::Change, 1, |_| ExpectedWaker::Anyone, |_| {}).await?;
        }
        *seen = watch.version.get();
        Ok(())
    }

    /// Waits until `is_so` returns true for the present value, and marks it as seen. The value is checked before the
    /// first wait.
    ///
    /// # Errors
    ///
    /// Fails as [`changed`](Self::changed) does.
    pub async fn wait_for(&mut self, mut is_so: impl FnMut(&T) -> bool) -> Result<(), RecvError> {
        self.seen = self.watch.version.get();
        while !self.watch.with(&mut is_so) {
            self.changed().await?;
        }
        Ok(())
    }

    /// Returns true if a value was sent that this receiver has not seen.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.watch.version.get() != self.seen
    }

    /// Passes the present value to `look`, and marks it as seen.
    pub fn with<R>(&mut self, look: impl FnOnce(&T) -> R) -> R {
        self.seen = self.watch.version.get();
        self.watch.with(look)
    }

    /// Returns the present value, and marks it as seen.
    #[must_use]
    pub fn get(&mut self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// Returns the watch.
    #[must_use]
    pub const fn watch(&self) -> &'a Watch<'d, T> {
        self.watch
    }
}

impl<T> Clone for WatchReceiver<'_, '_, T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<T> fmt::Debug for WatchReceiver<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchReceiver").field("has_changed", &self.has_changed()).finish_non_exhaustive()
    }
}
