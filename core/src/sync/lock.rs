//! Mutual exclusion.

use core::cell::{RefCell, RefMut};
use core::fmt;
use core::ops::{Deref, DerefMut};

use crate::kernel::id::TaskId;
use crate::sync::ownership::Ownership;
use crate::task::error::WaitError;
use crate::task::handle::{Handle, begin};

/// A value that one task has at a time. Fair: tasks get the value in the order of their requests.
///
/// Two tasks that take two locks in opposite orders may wait for each other forever. The kernel then reports
/// [`Stalled`](crate::Rest::Stalled), and lists which task waits for which. An [order](crate::sync::order) turns the
/// deadlock into an error. A task that asks for a value that it has waits for itself, unless the lock is a
/// [`ReentrantLock`](crate::sync::ReentrantLock).
///
/// ```
/// # use sinbin_core::sync::Lock;
/// # use sinbin_core::task::{Handle, WaitError};
/// async fn buy(handle: Handle<'_>, tickets: &Lock<'_, u32>) -> Result<bool, WaitError> {
///     let mut left = tickets.lock().await?;
///     handle.yield_now().await; // no other task can access the tickets meanwhile
///     let bought = *left > 0;
///     *left -= u32::from(bought);
///     Ok(bought)
/// }
/// ```
pub struct Lock<'d, T> {
    ownership: Ownership<'d>,
    value: RefCell<T>,
}

/// The value of a [`Lock`]. When the guard is dropped, the value passes to the task that has waited longest.
pub struct Guard<'a, 'd, T> {
    lock: &'a Lock<'d, T>,
    value: RefMut<'a, T>,
}

impl<'d, T> Lock<'d, T> {
    /// Creates a lock on `value` for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>, value: T) -> Self {
        Self::named(handle, "", value)
    }

    /// Creates a lock as [`new`](Self::new) does, with a name for reports.
    #[must_use]
    pub const fn named(handle: Handle<'d>, name: &'static str, value: T) -> Self {
        Self { ownership: Ownership::named(handle, name), value: RefCell::new(value) }
    }

    /// Returns the name of the lock; empty if it has none.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.ownership.name()
    }

    /// Waits for the value. Meanwhile, the list of tasks shows which task this one waits for: the holder of the value
    /// or, if other tasks wait already, the last of these. O(1), however many tasks wait.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub async fn lock(&self) -> Result<Guard<'_, 'd, T>, WaitError> {
        begin(self.ownership.handle).await?;
        if let Some(guard) = self.try_lock()? {
            return Ok(guard);
        }
        self.ownership.wait(|| self.ownership.pass_on()).await?;
        Ok(Guard { lock: self, value: self.value.borrow_mut() })
    }

    /// Returns the value, if no task has it.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside a task of its loop.
    pub fn try_lock(&self) -> Result<Option<Guard<'_, 'd, T>>, WaitError> {
        let task = self.ownership.handle.current()?;
        let guard = || Guard { lock: self, value: self.value.borrow_mut() };
        Ok(self.ownership.try_take(task).then(guard))
    }

    /// Returns the task that took the value and has it now.
    #[must_use]
    pub fn holder(&self) -> Option<TaskId> {
        self.ownership.holder()
    }

    /// Returns the value, which no task can have any more.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: fmt::Debug> fmt::Debug for Lock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lock = f.debug_struct("Lock");
        lock.field("name", &self.name()).field("holder", &self.holder());
        if let Ok(value) = self.value.try_borrow() {
            lock.field("value", &*value);
        }
        lock.finish_non_exhaustive()
    }
}

impl<'a, 'd, T> Guard<'a, 'd, T> {
    /// Returns the lock of the value. (Not a method, which would hide a method of the value.)
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
        // The next holder runs later: the borrow has ended by then.
        self.lock.ownership.pass_on();
    }
}
