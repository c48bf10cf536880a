//! Mutual exclusion for functions that call each other.

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;

use crate::kernel::id::TaskId;
use crate::sync::ownership::Ownership;
use crate::task::error::WaitError;
use crate::task::handle::{Handle, begin};

/// A value that one task has at a time, and can take again while it has it: the lock is free when all its guards are
/// dropped. Fair, as a [`Lock`](crate::sync::Lock) is.
///
/// Functions that each take the lock can call each other. Since a task can have several guards, these give
/// shared access only; what changes is a [`Cell`] or `RefCell` within.
///
/// ```
/// # use core::cell::Cell;
/// # use sinbin_core::sync::ReentrantLock;
/// # use sinbin_core::task::WaitError;
/// async fn deposit(account: &ReentrantLock<'_, Cell<i64>>, amount: i64) -> Result<(), WaitError> {
///     let balance = account.lock().await?;
///     balance.set(balance.get() + amount);
///     Ok(())
/// }
///
/// async fn exchange(account: &ReentrantLock<'_, Cell<i64>>, fee: i64) -> Result<(), WaitError> {
///     let _whole = account.lock().await?; // no other task deposits between the two
///     deposit(account, 100).await?;
///     deposit(account, -fee).await
/// }
/// ```
pub struct ReentrantLock<'d, T> {
    ownership: Ownership<'d>,
    /// The number of guards, plus one for a turn that was granted and not yet taken. Zero if there is no holder.
    depth: Cell<usize>,
    value: T,
}

/// Access to the value of a [`ReentrantLock`]. When the last guard is dropped, the value passes to the task that has
/// waited longest.
pub struct ReentrantGuard<'a, 'd, T> {
    lock: &'a ReentrantLock<'d, T>,
}

impl<'d, T> ReentrantLock<'d, T> {
    /// Creates a lock on `value` for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>, value: T) -> Self {
        Self::named(handle, "", value)
    }

    /// Creates a lock as [`new`](Self::new) does, with a name for reports.
    #[must_use]
    pub const fn named(handle: Handle<'d>, name: &'static str, value: T) -> Self {
        Self { ownership: Ownership::named(handle, name), depth: Cell::new(0), value }
    }

    /// Returns the name of the lock; empty if it has none.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.ownership.name()
    }

    /// Waits for the value, unless the task has it. Reports show what the task waits for as they do for a
    /// [`Lock`](crate::sync::Lock::lock). O(1), however many tasks wait.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub async fn lock(&self) -> Result<ReentrantGuard<'_, 'd, T>, WaitError> {
        begin(self.ownership.handle).await?;
        if let Some(guard) = self.try_lock()? {
            return Ok(guard);
        }
        self.ownership.wait(|| self.release()).await?;
        Ok(ReentrantGuard { lock: self })
    }

    /// Returns the value, if no other task has it.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside a task of its loop.
    pub fn try_lock(&self) -> Result<Option<ReentrantGuard<'_, 'd, T>>, WaitError> {
        let task = self.ownership.handle.current()?;
        let is_mine = self.ownership.holder() == Some(task) || self.ownership.try_take(task);
        Ok(is_mine.then(|| {
            self.depth.update(|depth| depth + 1);
            ReentrantGuard { lock: self }
        }))
    }

    /// Returns the task that took the value and has it now.
    #[must_use]
    pub fn holder(&self) -> Option<TaskId> {
        self.ownership.holder()
    }

    /// Returns the value, which no task can have any more.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Ends one guard, or one turn that was granted.
    fn release(&self) {
        self.depth.update(|depth| depth - 1);
        if self.depth.get() == 0 {
            self.ownership.pass_on();
            self.depth.set(usize::from(self.holder().is_some()));
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for ReentrantLock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lock = f.debug_struct("ReentrantLock");
        lock.field("name", &self.name()).field("holder", &self.holder()).field("value", &self.value);
        lock.finish_non_exhaustive()
    }
}

impl<'a, 'd, T> ReentrantGuard<'a, 'd, T> {
    /// Returns the lock of the value. (Not a method, which would hide a method of the value.)
    #[must_use]
    pub const fn lock(guard: &Self) -> &'a ReentrantLock<'d, T> {
        guard.lock
    }
}

impl<T> Deref for ReentrantGuard<'_, '_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.lock.value
    }
}

impl<T: fmt::Debug> fmt::Debug for ReentrantGuard<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Drop for ReentrantGuard<'_, '_, T> {
    fn drop(&mut self) {
        self.lock.release();
    }
}
