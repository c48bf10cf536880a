//! Values that a future and everything that it calls can access, without an argument.

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project_lite::pin_project;

/// A value for the duration of a future, such as the id of a request for log lines (tokio's `task_local!`).
///
/// The value belongs to the future that [`scope`] returns. While that future is polled, code that has a reference to
/// the `TaskLocal` can access the value; other tasks that run in between can't. Tasks that are spawned there do not
/// inherit the value: give them a scope of their own.
///
/// [`scope`]: Self::scope
///
/// ```
/// use std::rc::Rc;
///
/// use sinbin_core::task::{Handle, TaskLocal};
///
/// /// The state that the tasks of a service share.
/// struct Shared {
///     request: Rc<TaskLocal<u64>>,
/// }
///
/// impl Shared {
///     fn log(&self, text: &str) {
///         println!("{:?}: {text}", self.request.get());
///     }
/// }
///
/// async fn serve(handle: Handle<'_>, shared: &Shared, request: u64) {
///     let serve = async {
///         shared.log("began"); // Some(7): began
///         handle.yield_now().await;
///         shared.log("ended");
///     };
///     TaskLocal::scope(&*shared.request, request, serve).await;
/// }
/// ```
pub struct TaskLocal<T>(Cell<Option<T>>);

impl<T> TaskLocal<T> {
    /// Creates a local without a value.
    #[must_use]
    pub const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Returns the value of the innermost scope, or `None` outside of all scopes. The value is cloned: put a large one
    /// into an `Rc`.
    pub fn get(&self) -> Option<T>
    where
        T: Clone,
    {
        // The clone is the user's code. If it accesses the local in turn, it finds no value.
        let mut swapped = Swapped { local: self, value: &mut None };
        swapped.swap();
        swapped.value.clone()
    }

    /// Gives `future` a value in this local: [`get`](Self::get) returns it while the future is polled. Scopes can be
    /// nested. The destructor of a future that is dropped before its end does not see the value.
    pub const fn scope<L: Deref<Target = Self>, F: Future>(local: L, value: T, future: F) -> Scoped<L, T, F> {
        Scoped { local, value: Some(value), future }
    }
}

impl<T> Default for TaskLocal<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for TaskLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocal").finish_non_exhaustive()
    }
}

/// A guard that exchanges the values again, even during a panic.
struct Swapped<'a, T> {
    local: &'a TaskLocal<T>,
    value: &'a mut Option<T>,
}

impl<T> Swapped<'_, T> {
    /// Exchanges the value of the local and that of the guard.
    fn swap(&mut self) {
        *self.value = self.local.0.replace(self.value.take());
    }
}

impl<T> Drop for Swapped<'_, T> {
    fn drop(&mut self) {
        self.swap();
    }
}

pin_project! {
    /// The future returned by [`TaskLocal::scope`].
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Scoped<L, T, F> {
        local: L,
        value: Option<T>,
        #[pin]
        future: F,
    }
}

impl<T, L: Deref<Target = TaskLocal<T>>, F: Future> Future for Scoped<L, T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut swapped = Swapped { local: this.local, value: this.value };
        swapped.swap();
        this.future.poll(context)
    }
}
