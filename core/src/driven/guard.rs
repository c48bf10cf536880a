//! Calls of the user's code, within a guard where panics can be caught. Without the standard library none can be, so
//! that a guest has nothing of this.

use alloc::string::String;
use core::any::type_name;
use core::fmt;

/// How a driven loop calls the user's code, and what it does with a report. A driver in the same process that can catch
/// panics gives it one: see [`Driven::guard`](crate::driven::Driven::guard). A task that panics is then lost alone. Without
/// a guard a panic leaves the turn, and the loop is of no use any more; a guest in a sandbox traps.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    /// Calls the function, and returns the panic's message if it panics.
    pub call: fn(&mut dyn FnMut()) -> Option<String>,
    /// Takes a line of a report.
    pub report: fn(fmt::Arguments<'_>),
}

/// The guard of a loop, if it has one.
#[derive(Clone, Copy, Default)]
pub(super) struct Guarded {
    #[cfg(feature = "std")]
    by: Option<Guard>,
}

impl Guarded {
    #[cfg(feature = "std")]
    pub(super) const fn by(guard: Guard) -> Self {
        Self { by: Some(guard) }
    }

    /// Returns true if panics are caught.
    pub(super) const fn is_there(self) -> bool {
        #[cfg(feature = "std")]
        return self.by.is_some();
        #[cfg(not(feature = "std"))]
        return false;
    }

    /// Calls `act`.
    ///
    /// # Errors
    ///
    /// The panic's message.
    #[inline]
    pub(super) fn call<R>(self, act: impl FnOnce() -> R) -> Result<R, String> {
        #[cfg(feature = "std")]
        if let Some(guard) = self.by {
            return guard.try_call(act);
        }
        Ok(act())
    }

    /// Calls `act`. If it panics, reports `who` it was, what it `did`, and the panic's message.
    pub(super) fn call_of<R>(self, who: &str, did: &str, act: impl FnOnce() -> R) -> Option<R> {
        match self.call(act) {
            Ok(result) => Some(result),
            Err(said) => {
                self.report(format_args!("{who}: {did}: {said}"));
                None
            }
        }
    }

    /// Drops what is the user's.
    pub(super) fn drop<T>(self, unwanted: T) {
        if core::mem::needs_drop::<T>() {
            self.call_of(type_name::<T>(), "panicked when it was dropped", || drop(unwanted));
        }
    }

    #[cold]
    pub(super) fn report(self, line: fmt::Arguments<'_>) {
        #[cfg(feature = "std")]
        if let Some(guard) = self.by {
            (guard.report)(line);
        }
        #[cfg(not(feature = "std"))]
        let _ = line;
    }
}

#[cfg(feature = "std")]
impl Guard {
    fn try_call<R>(self, act: impl FnOnce() -> R) -> Result<R, String> {
        let (mut act, mut result) = (Some(act), None);
        let said = (self.call)(&mut || result = act.take().map(|act| act()));
        result.ok_or_else(|| said.unwrap_or_default())
    }
}
