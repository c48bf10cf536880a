//! A limit on how many do something at a time.

use core::fmt;

use crate::sync::permits::Permits;
use crate::task::error::sync::PermitError;
use crate::task::handle::{Handle, begin};

/// A fixed number of permits, which tasks take and give back. Fair: who asked first is served first, so that who
/// needs many is not overtaken for ever by those who need few.
///
/// ```
/// # use sinbin_core::sync::{PermitError, Semaphore};
/// # use sinbin_core::task::Handle;
/// /// At most so many at a time.
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

/// Permits of a [`Semaphore`], given back when it is dropped.
#[must_use = "permits that are not kept are given back at once"]
pub struct Permit<'a, 'd> {
    of: &'a Semaphore<'d>,
    count: u32,
}

impl<'d> Semaphore<'d> {
    /// So many permits, for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>, total: u32) -> Self {
        Self { handle, total, permits: Permits::new(total) }
    }

    /// Waits for `count` permits at once. O(1), as is giving them back to one who waits.
    ///
    /// # Errors
    ///
    /// [`PermitError::Above`] when there are not so many in all, or where the task must not wait.
    pub async fn acquire(&self, count: u32) -> Result<Permit<'_, 'd>, PermitError> {
        self.check(count)?;
        begin(self.handle).await?;
        self.permits.take(self.handle, count).await?;
        Ok(Permit { of: self, count })
    }

    /// `count` permits, if they are there and nobody waits.
    ///
    /// # Errors
    ///
    /// [`PermitError::Above`] when there are not so many in all; [`WaitError::Elsewhere`](crate::task::WaitError::Elsewhere) outside a task of its loop.
    pub fn try_acquire(&self, count: u32) -> Result<Option<Permit<'_, 'd>>, PermitError> {
        self.check(count)?;
        self.handle.current()?;
        Ok(self.permits.try_take(count).then(|| Permit { of: self, count }))
    }

    /// How many can be had at once: none, while somebody waits.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.permits.free()
    }

    /// How many there are in all.
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
    /// How many they are.
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
