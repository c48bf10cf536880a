//! Tasks that nobody waits for, and what becomes of their errors.

use core::any::TypeId;
use core::convert::Infallible;
use core::fmt::{self, Display};
use core::marker::PhantomData;
#[cfg(feature = "alloc")]
use core::panic::Location;
#[cfg(feature = "alloc")]
use core::pin::Pin;
#[cfg(feature = "alloc")]
use core::task::{Context, Poll, ready};

#[cfg(feature = "alloc")]
use pin_project_lite::pin_project;

use crate::exec::label::Label;
use crate::group::Failed;
use crate::kernel::error::{Failure, Full, IoError};
use crate::kernel::id::TaskId;
use crate::sync::{PermitError, RecvError};
use crate::task::error::{Error, Refused};
use crate::task::join::JoinError;
use crate::task::offload::Lost;
#[cfg(feature = "alloc")]
use crate::task::{Loop, Unspawned};
use crate::time::Elapsed;

/// Hears of errors that nobody else will: see [`Door::reporting`](crate::task::Door::reporting).
///
/// A task is not joined when its [`JoinHandle`](crate::task::JoinHandle) is dropped before its result was taken, or when its
/// group is dropped with the result in it. Of what such a task returns, these are reported: the errors of a `Result` that
/// is `()`, a `bool`, a number, bytes or text otherwise, if the error is one of this crate's, a `&str`, a `String`, a
/// boxed `dyn Error`, or (with the feature `std`) an `io::Error`. For errors of one's own there is
/// [`Loop::detach`](crate::task::Loop::detach), which takes any. An error that says no more than that
/// [its task is to end](Error::is_the_end) is none.
pub trait Reports: Sync {
    /// Is called when a task has failed and nobody takes its result.
    fn failed(&self, failed: &Unjoined<'_>);
}

/// A task that failed and was not joined.
#[derive(Clone, Copy)]
pub struct Unjoined<'a> {
    /// Which task.
    pub task: TaskId,
    /// The task's name, and where it was spawned.
    pub label: Label,
    /// The error that the task returned.
    pub error: &'a dyn Display,
    /// Whether the task was cancelled, which then is mostly why it failed.
    pub was_cancelled: bool,
}

impl Display for Unjoined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, label, error, .. } = self;
        write!(f, "task {task} ({label}) failed: {error}")
    }
}

impl fmt::Debug for Unjoined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unjoined({self})")
    }
}

/// Returns the error that a task's output holds, if the output is a `Result` of a type that is known here.
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

/// A value whose type is known at run time only.
struct Opaque<'a> {
    id: TypeId,
    at: *const (),
    _borrows: PhantomData<&'a ()>,
}

impl<'a> Opaque<'a> {
    /// Returns the error of a result that is a `V` otherwise.
    fn error_beside<V: 'static>(&self) -> Option<&'a dyn Display> {
        let found = self.error::<V, Error>(|error| !error.is_the_end());
        let found = found.or_else(|| self.error::<V, Refused>(|refused| *refused != Refused::Cancelled));
        let found = found.or_else(|| self.error::<V, JoinError>(|_| true));
        let found = found.or_else(|| self.error::<V, Lost>(|_| true));
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

    /// Returns the error, if the value is such a result, and the error counts.
    fn error<V: 'static, E: Display + 'static>(
        &self,
        counts: impl FnOnce(&E) -> bool,
    ) -> Option<&'a dyn Display> {
        if TypeId::of::<Result<V, E>>() != self.id {
            return None;
        }
        // SAFETY: the value is borrowed for 'a, and it is a result of these types but for lifetimes, which may be
        // shorter than these. Of the types that are looked for, the functions that are called here (`Display`, and
        // `counts`, which looks at numbers) do the same for any lifetime.
        #[expect(unsafe_code, reason = "Any knows types without borrows only")]
        let result = unsafe { &*self.at.cast::<Result<V, E>>() };
        match result {
            Err(error) if counts(error) => Some(error),
            _ => None,
        }
    }
}

/// Returns the id of the type, in which all lifetimes are taken for the longest.
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
    // SAFETY: the types differ in a lifetime only, and nothing is read: there is one function in the table whatever the
    // lifetimes are, and it looks at none of them.
    #[expect(unsafe_code, reason = "an id can be had of types without borrows only")]
    let of = unsafe { core::mem::transmute::<&dyn Identified, &(dyn Identified + 'static)>(of) };
    of.id()
}

#[cfg(feature = "alloc")]
pin_project! {
    /// A task whose errors are reported, whatever their type.
    pub(crate) struct Detached<'d, F> {
        on: Loop<'d>,
        at: &'static Location<'static>,
        #[pin]
        future: F,
    }
}

/// How the type of the above begins, in the name of a task.
const DETACHED: &str = "sinbin_core::task::detached::Detached<";

/// Returns the name of a task of this type: of what was detached, if it was.
pub(crate) fn name_of<F>() -> &'static str {
    let name = core::any::type_name::<F>();
    let detached = name.strip_prefix(DETACHED).and_then(|name| name.strip_suffix('>'));
    // Some compilers name lifetimes.
    let name = detached.map_or(name, |name| name.strip_prefix("'_, ").unwrap_or(name));
    name.strip_suffix("::{{closure}}").unwrap_or(name)
}

#[cfg(feature = "alloc")]
impl<T, E: Display, F: Future<Output = Result<T, E>>> Future for Detached<'_, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if let Err(error) = ready!(this.future.poll(context)) {
            let label = Label { name: name_of::<F>(), spawned: this.at };
            this.on.door().report(&label, &error);
        }
        Poll::Ready(())
    }
}

#[cfg(feature = "alloc")]
impl<'d> Loop<'d> {
    /// [Spawns](Self::spawn) a task that nobody waits for. What it fails with is reported
    /// ([`Reports`](crate::task::Reports); natively, that is a warning), whatever its type: of tasks that are spawned
    /// otherwise and not joined, only errors of some types are.
    ///
    /// # Errors
    ///
    /// Gives the future back when the kernel has no place for another, or while no task of this loop runs.
    #[track_caller]
    pub fn detach<T, E, F>(self, future: F) -> Result<TaskId, Unspawned<F>>
    where
        E: Display,
        F: Future<Output = Result<T, E>> + 'd,
    {
        let task = self.spawn(Detached { on: self, at: Location::caller(), future });
        task.map(|task| task.task()).map_err(|Unspawned(detached)| Unspawned(detached.future))
    }
}
