//! Reports of the errors of tasks that are not joined.

use core::any::TypeId;
use core::convert::Infallible;
use core::fmt::{self, Display};
use core::marker::PhantomData;

use crate::exec::label::Label;
use crate::kernel::error::{Failure, Full, IoError};
use crate::kernel::id::TaskId;
use crate::task::error::group::Failed;
use crate::task::error::sync::{PermitError, RecvError};
use crate::task::error::{Elapsed, Error, JobError, JoinError, WaitError};

/// A receiver of errors that no task waits for: see [`RunContext::reporting`](crate::task::RunContext::reporting).
///
/// A task is not joined if its [`JoinHandle`](crate::task::JoinHandle) is dropped before the result was taken, or if
/// its group is dropped with the result in it. The error of such a task is reported if the task returns a `Result` of
/// certain types. The success type must be `()`, a `bool`, a number, bytes or text. The error type must be one of this
/// crate's, a `&str`, a `String`, a boxed `dyn Error`, or (with the feature `std`) an `io::Error`. For other error
/// types use [`Handle::detach`](crate::task::Handle::detach), which accepts any. An error that only says that [its task is
/// to end](Error::is_the_end) is not reported.
pub trait Reports: Sync {
    /// Reports a failed task whose result is not taken.
    fn failed(&self, failed: &UnjoinedFailure<'_>);
}

/// A task that failed and was not joined.
#[derive(Clone, Copy)]
pub struct UnjoinedFailure<'a> {
    /// The id of the task.
    pub task: TaskId,
    /// The task's name, and where it was spawned.
    pub label: Label,
    /// The error that the task returned.
    pub error: &'a dyn Display,
    /// True if the task was cancelled, which is then usually the reason for the failure.
    pub was_cancelled: bool,
}

impl Display for UnjoinedFailure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, label, error, .. } = self;
        write!(f, "task {task} ({label}) failed: {error}")
    }
}

impl fmt::Debug for UnjoinedFailure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unjoined({self})")
    }
}

/// Returns the error that a task's output contains, if the output is a `Result` of one of the types known here.
pub(crate) fn failure<T>(output: &T) -> Option<&dyn Display> {
    let output = Opaque { id: type_id::<T>(), at: core::ptr::from_ref(output).cast(), _borrows: PhantomData };
    let found = output.error_beside::<()>();
    let found = found.or_else(|| output.error_beside::<bool>());
    let found = found.or_else(|| output.error_beside::<u8>());
    let found = found.or_else(|| output.error_beside::<u16>());
    let found = found.or_else(|| output.error_beside::<u32>());
    let found = found.or_else(|| output.error_beside::<u64>());
    let found = found.or_else(|| output.error_beside::<usize>());
    let found = found.or_else(|| output.error_beside::<i32>());
    let found = found.or_else(|| output.error_beside::<i64>());
    let found = found.or_else(|| output.error_beside::<Infallible>());
    #[cfg(feature = "alloc")]
    let found = found.or_else(|| output.error_beside::<alloc::vec::Vec<u8>>());
    #[cfg(feature = "alloc")]
    let found = found.or_else(|| output.error_beside::<alloc::string::String>());
    found
}

/// A value whose type is known only at run time.
struct Opaque<'a> {
    id: TypeId,
    at: *const (),
    _borrows: PhantomData<&'a ()>,
}

impl<'a> Opaque<'a> {
    /// Returns the error of a result whose success type is `V`.
    fn error_beside<V: 'static>(&self) -> Option<&'a dyn Display> {
        let found = self.error::<V, Error>(|error| !error.is_the_end());
        let found = found.or_else(|| self.error::<V, WaitError>(|refused| *refused != WaitError::Cancelled));
        let found = found.or_else(|| self.error::<V, JoinError>(|_| true));
        let found = found.or_else(|| self.error::<V, JobError>(|_| true));
        let found = found.or_else(|| self.error::<V, Elapsed>(|_| true));
        let found = found.or_else(|| self.error::<V, RecvError>(|_| true));
        let found = found.or_else(|| self.error::<V, PermitError>(|_| true));
        let found = found.or_else(|| self.error::<V, Failure>(|failure| failure.error != IoError::Stopping));
        let found = found.or_else(|| self.error::<V, IoError>(|error| *error != IoError::Stopping));
        let found = found.or_else(|| self.error::<V, Full>(|_| true));
        let found = found.or_else(|| self.error::<V, fmt::Error>(|_| true));
        let found = found.or_else(|| self.error::<V, &'static str>(|_| true));
        let found = found.or_else(|| self.error::<V, Failed<Error>>(|_| true));
        #[cfg(feature = "alloc")]
        let found = found.or_else(|| self.heap_error_beside::<V>());
        #[cfg(feature = "std")]
        let found = found.or_else(|| self.error::<V, std::io::Error>(|_| true));
        found
    }

    #[cfg(feature = "alloc")]
    fn heap_error_beside<V: 'static>(&self) -> Option<&'a dyn Display> {
        use alloc::boxed::Box;
        use alloc::string::String;
        use core::error::Error as Any;

        let found = self.error::<V, String>(|_| true);
        let found = found.or_else(|| self.error::<V, Box<dyn Any>>(|_| true));
        let found = found.or_else(|| self.error::<V, Box<dyn Any + Send>>(|_| true));
        let found = found.or_else(|| self.error::<V, Box<dyn Any + Send + Sync>>(|_| true));
        let found = found.or_else(|| self.error::<V, Failed<Box<dyn Any>>>(|_| true));
        found.or_else(|| self.error::<V, Failed<String>>(|_| true))
    }

    /// Returns the error, if the value is a result of these types that contains an error, and the error counts.
    fn error<V: 'static, E: Display + 'static>(
        &self,
        counts: impl FnOnce(&E) -> bool,
    ) -> Option<&'a dyn Display> {
        if TypeId::of::<Result<V, E>>() != self.id {
            return None;
        }
        // SAFETY: the value is borrowed for 'a, and it is a result of these types except for lifetimes, which may be
        // shorter than the ones named here. For all types that are tried, the functions that are called here
        // (`Display`, and `counts`, which only compares numbers) do the same whatever the lifetimes are.
        #[expect(unsafe_code, reason = "Any supports only types without borrows")]
        let result = unsafe { &*self.at.cast::<Result<V, E>>() };
        match result {
            Err(error) if counts(error) => Some(error),
            _ => None,
        }
    }
}

/// Returns the id of the type in which all lifetimes are replaced by `'static`.
fn type_id<T>() -> TypeId {
    trait Identified {
        fn id(&self) -> TypeId
        where
            Self: 'static;
    }
    impl<T> Identified for PhantomData<T> {
        fn id(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<T>()
        }
    }
    let of = &PhantomData::<T> as &dyn Identified;
    // SAFETY: the types differ only in a lifetime, and no data is read: the vtable contains one function whatever the
    // lifetimes are, and that function depends on none of them.
    #[expect(unsafe_code, reason = "an id exists only for types without borrows")]
    let of = unsafe { core::mem::transmute::<&dyn Identified, &(dyn Identified + 'static)>(of) };
    of.id()
}

/// The prefix of the type name of a task that was [detached](crate::task::Handle::detach).
const DETACHED: &str = "sinbin_core::task::detached::Detached<";

/// Returns the name of a task of this type; for a detached task, the name of the future that was detached.
pub(crate) fn name_of<F>() -> &'static str {
    let name = core::any::type_name::<F>();
    let detached = name.strip_prefix(DETACHED).and_then(|name| name.strip_suffix('>'));
    // Some compilers print lifetimes.
    let name = detached.map_or(name, |name| name.strip_prefix("'_, ").unwrap_or(name));
    name.strip_suffix("::{{closure}}").unwrap_or(name)
}
