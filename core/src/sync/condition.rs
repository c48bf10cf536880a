//! Waiting until a condition holds for a value.

use core::fmt;

use crate::exec::label::WaitKind;
use crate::kernel::step::ExpectedWaker;
use crate::sync::lock::{Guard, Lock};
use crate::sync::queue::{Abandoned, Queue};
use crate::task::error::WaitError;
use crate::task::handle::{Handle, begin};

/// A condition variable: a task that has the value of a [`Lock`] releases it, and waits until another task notifies it
/// that the value has changed.
///
/// ```
/// # use sinbin_core::sync::{Condition, Lock};
/// # use sinbin_core::task::WaitError;
/// async fn withdraw(sum: u32, balance: &Lock<'_, u32>, deposited: &Condition<'_>) -> Result<(), WaitError> {
///     let balance = balance.lock().await?;
///     let mut balance = deposited.wait_while(balance, |balance| *balance < sum).await?;
///     *balance -= sum;
///     Ok(())
/// }
///
/// async fn deposit(sum: u32, balance: &Lock<'_, u32>, deposited: &Condition<'_>) -> Result<(), WaitError> {
///     *balance.lock().await? += sum;
///     deposited.notify_all()
/// }
/// ```
pub struct Condition<'d> {
    handle: Handle<'d>,
    queue: Queue,
}

impl<'d> Condition<'d> {
    /// Creates a condition for the tasks of the loop `handle`.
    #[must_use]
    pub const fn new(handle: Handle<'d>) -> Self {
        Self::named(handle, "")
    }

    /// Creates a condition as [`new`](Self::new) does, with a name: the report of tasks that can never continue says by it
    /// what they wait for.
    #[must_use]
    pub const fn named(handle: Handle<'d>, name: &'static str) -> Self {
        Self { handle, queue: Queue::named(name) }
    }

    /// Returns the name; empty if there is none.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.queue.name()
    }

    /// Releases the value, waits to be notified, and then waits for the value again. If the task stops waiting after it
    /// was notified, the notification passes to the next task.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait. The value is released in that case.
    pub async fn wait<'a, 'l, T>(&self, guard: Guard<'a, 'l, T>) -> Result<Guard<'a, 'l, T>, WaitError> {
        let lock: &'a Lock<'l, T> = Guard::lock(&guard);
        begin(self.handle).await?;
        drop(guard);
        self.queue
            .wait(self.handle, WaitKind::Condition, 1, |_| ExpectedWaker::Anyone, |left| self.left(left))
            .await?;
        let unheard = Unheard(self);
        let guard = lock.lock().await?;
        core::mem::forget(unheard);
        Ok(guard)
    }

    /// Waits while `is_so` returns true for the value. The value is checked before the first wait.
    ///
    /// # Errors
    ///
    /// Returns a [`WaitError`] if the task must not wait. The value is released in that case.
    pub async fn wait_while<'a, 'l, T>(
        &self,
        mut guard: Guard<'a, 'l, T>,
        mut is_so: impl FnMut(&mut T) -> bool,
    ) -> Result<Guard<'a, 'l, T>, WaitError> {
        while is_so(&mut guard) {
            guard = self.wait(guard).await?;
        }
        Ok(guard)
    }

    /// Notifies the task that has waited longest, if any. The task continues when it gets the value. O(1).
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside a task of its loop; no task is notified.
    pub fn notify_one(&self) -> Result<(), WaitError> {
        self.handle.current()?;
        self.pass_on();
        Ok(())
    }

    /// Notifies all waiting tasks. O(n) in their number.
    ///
    /// # Errors
    ///
    /// Fails with [`WaitError::Elsewhere`] outside a task of its loop; no task is notified.
    pub fn notify_all(&self) -> Result<(), WaitError> {
        self.handle.current()?;
        self.queue.grant_all(self.handle);
        Ok(())
    }

    fn pass_on(&self) {
        if let Some(task) = self.queue.grant() {
            self.handle.wake(task);
        }
    }

    fn left(&self, left: Abandoned) {
        if left == Abandoned::Granted {
            self.pass_on();
        }
    }
}

impl fmt::Debug for Condition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").finish_non_exhaustive()
    }
}

/// A guard that passes a notification to the next task if its own task does not get the value, unless it is forgotten.
struct Unheard<'a, 'd>(&'a Condition<'d>);

impl Drop for Unheard<'_, '_> {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}
