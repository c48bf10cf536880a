//! A lock on a value that several tasks read at a time, or one task changes.

use core::cell::{Ref, RefCell, RefMut};
use core::fmt;
use core::ops::{Deref, DerefMut};

use crate::exec::label::WaitKind;
use crate::sync::permits::Permits;
use crate::task::error::WaitError;
use crate::task::handle::{Handle, begin};

/// A lock on a value that any number of tasks read at a time, or one task changes. Fair: tasks get the value in the
/// order of their requests. A task that waits to write is not overtaken by later readers, so a task that reads must not
/// request the value a second time.
///
/// ```
/// # use sinbin_core::sync::RwLock;
/// # use sinbin_core::task::{Handle, WaitError};
/// async fn report(handle: Handle<'_>, table: &RwLock<'_, [u32; 3]>) -> Result<u32, WaitError> {
///     let table = table.read().await?;
///     handle.yield_now().await; // other tasks can read meanwhile, and none changes the table
///     Ok(table.iter().sum())
/// }
///
/// async fn update(table: &RwLock<'_, [u32; 3]>) -> Result<(), WaitError> {
///     table.write().await?[0] += 1;
///     Ok(())
/// }
/// ```
pub struct RwLock<'d, T> {
    handle: Handle<'d>,
    permits: Permits,
    value: RefCell<T>,
}

/// A guard that gives shared access to the value of an [`RwLock`].
pub struct ReadGuard<'a, 'd, T> {
    lock: &'a RwLock<'d, T>,
    value: Ref<'a, T>,
}

/// A guard that gives exclusive access to the value of an [`RwLock`].
pub struct WriteGuard<'a, 'd, T> {
    lock: &'a RwLock<'d, T>,
    value: RefMut<'a, T>,
}

/// The number of permits of a lock. A reader has one, and a writer has all.
const ALL: u32 = u32::MAX;

impl<'d, T> RwLock<'d, T> {
    /// Creates a lock on `value` for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>, value: T) -> Self {
        Self::named(handle, "", value)
    }

    /// Creates a lock as [`new`](Self::new) does, with a name: the report of tasks that can never continue says by it
    /// what they wait for.
    #[must_use]
    pub const fn named(handle: Handle<'d>, name: &'static str, value: T) -> Self {
        Self { handle, permits: Permits::named(ALL, name), value: RefCell::new(value) }
    }

    /// Returns the name; empty if there is none.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.permits.name()
    }

    /// Waits until no task changes the value or waits to do so. O(1).
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub async fn read(&self) -> Result<ReadGuard<'_, 'd, T>, WaitError> {
        begin(self.handle).await?;
        self.permits.take(self.handle, WaitKind::Read, 1).await?;
        Ok(ReadGuard { lock: self, value: self.value.borrow() })
    }

    /// Waits until no other task reads or changes the value, behind all tasks that wait already. O(1).
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait.
    pub async fn write(&self) -> Result<WriteGuard<'_, 'd, T>, WaitError> {
        begin(self.handle).await?;
        self.permits.take(self.handle, WaitKind::Write, ALL).await?;
        Ok(WriteGuard { lock: self, value: self.value.borrow_mut() })
    }

    /// Returns a guard to read the value, if no task changes it or waits for it.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside a task of its loop.
    pub fn try_read(&self) -> Result<Option<ReadGuard<'_, 'd, T>>, WaitError> {
        self.handle.current()?;
        Ok(self.permits.try_take(1).then(|| ReadGuard { lock: self, value: self.value.borrow() }))
    }

    /// Returns a guard to change the value, if no task reads it, changes it or waits for it.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside a task of its loop.
    pub fn try_write(&self) -> Result<Option<WriteGuard<'_, 'd, T>>, WaitError> {
        self.handle.current()?;
        Ok(self.permits.try_take(ALL).then(|| WriteGuard { lock: self, value: self.value.borrow_mut() }))
    }

    /// Consumes the lock, and returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lock = f.debug_struct("RwLock");
        if let Ok(value) = self.value.try_borrow() {
            lock.field("value", &*value);
        }
        lock.finish_non_exhaustive()
    }
}

impl<T> Deref for ReadGuard<'_, '_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Deref for WriteGuard<'_, '_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for WriteGuard<'_, '_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for ReadGuard<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for WriteGuard<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Drop for ReadGuard<'_, '_, T> {
    fn drop(&mut self) {
        // The next holder runs later, when this borrow has ended.
        self.lock.permits.put(self.lock.handle, 1);
    }
}

impl<T> Drop for WriteGuard<'_, '_, T> {
    fn drop(&mut self) {
        self.lock.permits.put(self.lock.handle, ALL);
    }
}
