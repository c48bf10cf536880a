//! A limit on the number of tasks that do something at a time.

use core::fmt;

use crate::exec::label::WaitKind;
use crate::sync::permits::Permits;
use crate::task::error::sync::PermitError;
use crate::task::handle::{Handle, begin};

/// A fixed number of permits, which tasks acquire and release. Fair: requests are served in their order, so a task that
/// needs many permits is not overtaken forever by tasks that need few.
///
/// ```
/// # use sinbin_core::sync::{PermitError, Semaphore};
/// # use sinbin_core::task::Handle;
/// /// Limits the number of downloads at a time.
/// async fn download(handle: Handle<'_>, slots: &Semaphore<'_>) -> Result<(), PermitError> {
///     let _slot = slots.acquire(1).await?;
///     handle.yield_now().await; // ...
///     Ok(())
/// }
/// ```
pub struct Semaphore<'d> {
    handle: Handle<'d>,
    total: u32,
    permits: Permits,
}

/// Permits of a [`Semaphore`], which are released on drop.
#[must_use = "permits that are not kept are given back at once"]
pub struct Permit<'a, 'd> {
    of: &'a Semaphore<'d>,
    count: u32,
}

impl<'d> Semaphore<'d> {
    /// Creates a semaphore with `total` permits, for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>, total: u32) -> Self {
        Self::named(handle, "", total)
    }

    /// Creates a semaphore as [`new`](Self::new) does, with a name: the report of tasks that can never continue says by it
    /// what they wait for.
    #[must_use]
    pub const fn named(handle: Handle<'d>, name: &'static str, total: u32) -> Self {
        Self { handle, total, permits: Permits::named(total, name) }
    }

    /// Returns the name; empty if there is none.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.permits.name()
    }

    /// Waits for `count` permits together. O(1), as is releasing them to a waiting task.
    ///
    /// # Errors
    ///
    /// Fails with [`PermitError::Above`] if the semaphore has fewer permits in total, and with [`PermitError::Wait`]
    /// if the task must not wait.
    pub async fn acquire(&self, count: u32) -> Result<Permit<'_, 'd>, PermitError> {
        self.check(count)?;
        begin(self.handle).await?;
        self.permits.take(self.handle, WaitKind::Permits, count).await?;
        Ok(Permit { of: self, count })
    }

    /// Acquires `count` permits, if they are available and no task waits.
    ///
    /// # Errors
    ///
    /// Fails with [`PermitError::Above`] if the semaphore has fewer permits in total, and with
    /// [`WaitError::Elsewhere`](crate::task::WaitError::Elsewhere) outside a task of its loop.
    pub fn try_acquire(&self, count: u32) -> Result<Option<Permit<'_, 'd>>, PermitError> {
        self.check(count)?;
        self.handle.current()?;
        Ok(self.permits.try_take(count).then(|| Permit { of: self, count }))
    }

    /// Returns the number of permits that can be acquired without waiting: 0 while a task waits.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.permits.free()
    }

    /// Returns the total number of permits.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.total
    }

    const fn check(&self, asked: u32) -> Result<(), PermitError> {
        if asked > self.total {
            return Err(PermitError::Above { asked, total: self.total });
        }
        Ok(())
    }
}

impl fmt::Debug for Semaphore<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut semaphore = f.debug_struct("Semaphore");
        semaphore.field("available", &self.available()).field("total", &self.total).finish_non_exhaustive()
    }
}

impl Permit<'_, '_> {
    /// Returns the number of permits.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }
}

impl fmt::Debug for Permit<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Drop for Permit<'_, '_> {
    fn drop(&mut self) {
        self.of.permits.put(self.of.handle, self.count);
    }
}
