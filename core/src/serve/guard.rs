//! Calls of user code, which catch panics on hosts that can.

use core::any::type_name;
use core::convert::Infallible;
use core::fmt::{Arguments, Display};

use crate::exec::host::Host;
use crate::kernel::id::{SourceId, TaskId};

/// The subject of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A task.
    Task(TaskId),
    /// A connection that has no task yet.
    Source(SourceId),
    /// A value that is dropped.
    Value,
}

/// A way to call user code. A panic of that code affects nothing else.
pub trait Guard: Copy + Default {
    /// The message of a panic.
    type Panic: Display;

    /// Calls `act`.
    ///
    /// # Errors
    ///
    /// Returns the panic's message if `act` panics. State that `act` was changing may be inconsistent.
    fn call<R>(self, act: impl FnOnce() -> R) -> Result<R, Self::Panic>;

    /// Receives a line of a report.
    fn report(self, subject: Subject, line: Arguments<'_>);

    /// Drops a user's value, and reports a panic of its destructor.
    #[inline]
    fn drop<T>(self, unwanted: T) {
        if core::mem::needs_drop::<T>()
            && let Err(said) = self.call(|| drop(unwanted))
        {
            let name = type_name::<T>();
            self.report(Subject::Value, format_args!("{name}: panicked when it was dropped: {said}"));
        }
    }
}

/// The guard of hosts that catch no panics: a panic unwinds out of the turn, and the loop can no longer be used. In a
/// sandbox, a panic ends the guest.
#[derive(Clone, Copy, Default, Debug)]
pub struct Unguarded;

impl Guard for Unguarded {
    type Panic = Infallible;

    #[inline]
    fn call<R>(self, act: impl FnOnce() -> R) -> Result<R, Infallible> {
        Ok(act())
    }

    fn report(self, _: Subject, _: Arguments<'_>) {}
}

/// A host that calls its tasks through a [`Guard`].
pub trait Guarded: Host {
    /// The type of the guard.
    type Guard: Guard;

    /// Returns the guard.
    #[inline]
    fn guard(&self) -> Self::Guard {
        Self::Guard::default()
    }

    /// Counts a connection that is lost because its code panicked.
    fn panicked(&mut self) {}
}
