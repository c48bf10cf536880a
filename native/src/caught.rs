//! Calls of user code under `catch_unwind`: a panic ends only the task or job for which the code was called.

use std::any::{Any, type_name};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{fmt, mem};

use sinbin_core::serve::{Guard, Subject};
use sinbin_core::{Job, Progress};

/// The guard of the native loops: calls user code under `catch_unwind`, and logs panics.
#[derive(Clone, Copy, Default, Debug)]
pub struct Catch;

impl Guard for Catch {
    type Panic = Panicked;

    #[inline]
    fn call<R>(self, act: impl FnOnce() -> R) -> Result<R, Panicked> {
        caught(act)
    }

    #[cold]
    fn report(self, subject: Subject, line: fmt::Arguments<'_>) {
        match subject {
            Subject::Task(task) => tracing::error!(%task, "{line}"),
            Subject::Source(source) => tracing::error!(%source, "{line}"),
            Subject::Value => tracing::error!("{line}"),
        }
    }
}

/// The message of a caught panic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Panicked(String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Calls `act`, which is user code.
///
/// # Errors
///
/// Returns the panic message if `act` panics. Values that `act` was modifying may then be in an inconsistent state.
#[inline]
pub(crate) fn caught<R>(act: impl FnOnce() -> R) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(act)).map_err(panicked)
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> Panicked {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    // The payload is a user value too, so its destructor may panic in turn. The second payload is never dropped.
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(another);
    }
    Panicked(text.unwrap_or_else(|| "with a value that is no text".to_owned()))
}

/// A user value whose destructor is always called under `catch_unwind`.
pub(crate) struct Caught<T>(Option<T>);

impl<T> Caught<T> {
    pub(crate) const fn new(inner: T) -> Self {
        Self(Some(inner))
    }

    pub(crate) fn into_inner(mut self) -> Option<T> {
        self.0.take()
    }

    /// Returns the value, or `None` after [`end`](Self::end).
    #[inline]
    pub(crate) const fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()
    }

    /// Drops the value.
    ///
    /// # Errors
    ///
    /// Returns the panic message if the destructor panics.
    pub(crate) fn end(&mut self) -> Result<(), Panicked> {
        let inner = self.0.take();
        if mem::needs_drop::<T>() { caught(|| drop(inner)) } else { Ok(()) }
    }
}

impl<T> Drop for Caught<T> {
    #[inline]
    fn drop(&mut self) {
        if self.0.is_some()
            && let Err(panicked) = self.end()
        {
            tracing::error!("{} panicked when it was dropped: {panicked}", type_name::<T>());
        }
    }
}

/// Runs a user job, and wraps its result.
impl<J: Job> Job for Caught<J> {
    type Output = Caught<J::Output>;

    fn run(&mut self, budget: u32) -> Progress<Caught<J::Output>> {
        match self.get_mut().map(|job| job.run(budget)) {
            Some(Progress::Done(output)) => Progress::Done(Caught::new(output)),
            Some(Progress::More) | None => Progress::More,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    /// A value whose destructor always panics.
    struct Grumbles;

    impl Drop for Grumbles {
        fn drop(&mut self) {
            panic_any(Self);
        }
    }

    #[test]
    fn a_panic_says_why_as_far_as_it_is_text() {
        let said = |act: fn()| caught(act).unwrap_err().to_string();
        assert_eq!(said(|| panic!("a literal")), "a literal");
        assert_eq!(said(|| panic!("{}", "a text")), "a text");
        assert_eq!(said(|| panic_any(7)), "with a value that is no text");
        assert_eq!(said(|| panic_any(Grumbles)), "with a value that is no text");
        assert_eq!(caught(|| 7), Ok(7));
    }

    #[test]
    fn a_destructor_that_panics_harms_nobody() {
        drop([Caught::new(Grumbles), Caught::new(Grumbles)]);
        assert!(Caught::new(Grumbles).end().is_err());
        assert_eq!(Caught::new(7).into_inner(), Some(7));
    }
}
