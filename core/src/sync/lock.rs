//! Mutual exclusion.

use core::cell::{Cell, RefCell, RefMut};
use core::fmt;
use core::ops::{Deref, DerefMut};

use crate::kernel::id::TaskId;
use crate::kernel::step::ExpectedWaker;
use crate::sync::queue::{Left, Queue};
use crate::task::error::WaitError;
use crate::task::handle::{Handle, begin};

/// A value that one task has at a time. Fair: who asked first gets it first.
///
/// Two tasks that take two locks in opposite orders may wait for each other forever. The kernel then says
/// [`Stalled`](crate::Rest::Stalled), and lists who waits for whom; an [order](crate::sync::order) makes it an error
/// instead.
///
/// ```
/// # use sinbin_core::sync::Lock;
/// # use sinbin_core::task::{Handle, WaitError};
/// async fn buy(handle: Handle<'_>, tickets: &Lock<'_, u32>) -> Result<bool, WaitError> {
///     let mut left = tickets.lock().await?;
///     handle.yield_now().await; // nobody else gets at them meanwhile
///     let bought = *left > 0;
///     *left -= u32::from(bought);
///     Ok(bought)
/// }
/// ```
pub struct Lock<'d, T> {
    handle: Handle<'d>,
    name: &'static str,
    holder: Cell<Option<TaskId>>,
    queue: Queue,
    value: RefCell<T>,
}

/// The value of a [`Lock`]; dropped, it goes to the one who waits longest.
pub struct Guard<'a, 'd, T> {
    lock: &'a Lock<'d, T>,
    value: RefMut<'a, T>,
}

impl<'d, T> Lock<'d, T> {
    /// A lock on `value`, for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>, value: T) -> Self {
        Self::named(handle, "", value)
    }

    /// The same, with a name for reports.
    #[must_use]
    pub const fn named(handle: Handle<'d>, name: &'static str, value: T) -> Self {
        Self { handle, name, holder: Cell::new(None), queue: Queue::new(), value: RefCell::new(value) }
    }

    /// What it is called; empty, where it has no name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Waits for the value. While it does, a list of the tasks says for whom: the one who has the value or, where
    /// others wait already, the last of those. O(1), however many they are.
    ///
    /// # Errors
    ///
    /// Where the task must not wait: see [`WaitError`].
    pub async fn lock(&self) -> Result<Guard<'_, 'd, T>, WaitError> {
        begin(self.handle).await?;
        if let Some(guard) = self.try_lock()? {
            return Ok(guard);
        }
        // With the one ahead in the queue, and not the holder, this stays right when the lock changes hands.
        let by = |ahead: Option<TaskId>| {
            ahead.or(self.holder.get()).map_or(ExpectedWaker::Anyone, ExpectedWaker::Task)
        };
        self.queue.wait(self.handle, 1, by, |left| self.left(left)).await?;
        if let Ok(task) = self.handle.current() {
            // The future may have been moved to another task since it was granted its turn.
            self.holder.set(Some(task));
        }
        Ok(Guard { lock: self, value: self.value.borrow_mut() })
    }

    /// The value, if nobody has it.
    ///
    /// # Errors
    ///
    /// [`WaitError::Elsewhere`] outside a task of its loop.
    pub fn try_lock(&self) -> Result<Option<Guard<'_, 'd, T>>, WaitError> {
        let task = self.handle.current()?;
        if self.holder.get().is_some() {
            return Ok(None);
        }
        self.holder.set(Some(task));
        Ok(Some(Guard { lock: self, value: self.value.borrow_mut() }))
    }

    /// Who has the value: the task that took it.
    #[must_use]
    pub fn holder(&self) -> Option<TaskId> {
        self.holder.get()
    }

    /// The value, which nobody can have any more.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    fn release(&self) {
        let next = self.queue.grant();
        self.holder.set(next);
        if let Some(next) = next {
            self.handle.wake(next);
        }
    }

    /// Somebody does not wait any more.
    fn left(&self, left: Left) {
        match left {
            Left::Granted => self.release(),
            // It waited for the one who left: it looks again for whom it waits.
            Left::Waiting(Some(behind)) => {
                self.handle.wake(behind);
            }
            Left::Waiting(None) => {}
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Lock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lock = f.debug_struct("Lock");
        lock.field("name", &self.name).field("holder", &self.holder.get());
        if let Ok(value) = self.value.try_borrow() {
            lock.field("value", &*value);
        }
        lock.finish_non_exhaustive()
    }
}

impl<'a, 'd, T> Guard<'a, 'd, T> {
    /// Whose value it is. (Not a method, which would hide one of the value's.)
    #[must_use]
    pub const fn lock(guard: &Self) -> &'a Lock<'d, T> {
        guard.lock
    }
}

impl<T> Deref for Guard<'_, '_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Guard<'_, '_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Guard<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Drop for Guard<'_, '_, T> {
    fn drop(&mut self) {
        // Who is granted it runs later: the borrow has ended by then.
        self.lock.release();
    }
}
