//! Calls of user code through a guard, if panics can be caught. Without the standard library they can't, so a guest
//! contains none of this code.

use alloc::string::String;
use core::fmt;

use crate::serve::guard::{self, Guard as _, Subject};

/// The functions with which a driven loop calls user code and reports panics. A driver in the same process that can
/// catch panics provides them: see [`Driven::guard`](crate::driven::Driven::guard). A panic then ends only its own
/// task. Without a guard, a panic propagates out of the turn, and the loop can't be used any more; a guest in a sandbox
/// traps.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub struct PanicGuard {
    /// Calls the closure, and returns the panic's message if it panics.
    pub call: fn(&mut dyn FnMut()) -> Option<String>,
    /// Receives a line of a report.
    pub report: fn(fmt::Arguments<'_>),
}

/// The driver's guard, if it has provided one.
#[derive(Clone, Copy, Default)]
pub struct DriversGuard {
    #[cfg(feature = "std")]
    by: Option<PanicGuard>,
}

impl DriversGuard {
    #[cfg(feature = "std")]
    pub(super) const fn by(guard: PanicGuard) -> Self {
        Self { by: Some(guard) }
    }

    /// Returns true if panics are caught.
    pub(super) const fn is_there(self) -> bool {
        #[cfg(feature = "std")]
        return self.by.is_some();
        #[cfg(not(feature = "std"))]
        return false;
    }

    /// Calls `act`. If it panics, reports `who` panicked, what it `did`, and the panic's message.
    pub(super) fn call_of<R>(self, who: &str, did: &str, act: impl FnOnce() -> R) -> Option<R> {
        match self.call(act) {
            Ok(result) => Some(result),
            Err(said) => {
                self.report(Subject::Value, format_args!("{who}: {did}: {said}"));
                None
            }
        }
    }
}

impl guard::Guard for DriversGuard {
    type Panic = String;

    #[inline]
    fn call<R>(self, act: impl FnOnce() -> R) -> Result<R, String> {
        #[cfg(feature = "std")]
        if let Some(guard) = self.by {
            return guard.try_call(act);
        }
        Ok(act())
    }

    #[cold]
    fn report(self, _: Subject, line: fmt::Arguments<'_>) {
        #[cfg(feature = "std")]
        if let Some(guard) = self.by {
            (guard.report)(line);
        }
        #[cfg(not(feature = "std"))]
        let _ = line;
    }
}

#[cfg(feature = "std")]
impl PanicGuard {
    fn try_call<R>(self, act: impl FnOnce() -> R) -> Result<R, String> {
        let (mut act, mut result) = (Some(act), None);
        let said = (self.call)(&mut || result = act.take().map(|act| act()));
        result.ok_or_else(|| said.unwrap_or_default())
    }
}
