//! The tasks of a loop that serves.

use core::any::type_name;
use core::mem;
use core::pin::Pin;

use crate::exec::context::{Cx, Task};
use crate::exec::host::{Serves, Service};
use crate::exec::label::Label;
use crate::kernel::id::SourceId;
use crate::kernel::step::{Step, WakeReason};
use crate::serve::acceptor::Acceptor;
use crate::serve::guard::{Guard, Guarded, Subject};
use crate::serve::linger::Linger;
use crate::task::start::Async;

/// A task of a loop that runs the service `S`.
pub struct ServeTask<S: Service>(Kind<S>);

enum Kind<S: Service> {
    /// Accepts connections.
    Accept(Acceptor),
    /// Serves a connection.
    Serve(S::Conn),
    /// Closes a connection for which the service created no task because it panicked.
    Unserved(SourceId),
    /// Reads the remaining input of a closed connection.
    Linger(Linger),
    /// Replaces a connection's task that has ended and was dropped.
    Gone,
}

impl<S: Service> ServeTask<S> {
    /// Creates the task that accepts connections.
    #[must_use]
    pub const fn accept(acceptor: Acceptor) -> Self {
        Self(Kind::Accept(acceptor))
    }

    /// Creates the task that serves a connection.
    #[must_use]
    pub const fn serve(conn: S::Conn) -> Self {
        Self(Kind::Serve(conn))
    }

    /// Creates the task that reads the remaining input of a closed connection.
    #[must_use]
    pub(super) const fn linger(linger: Linger) -> Self {
        Self(Kind::Linger(linger))
    }

    /// Creates the task that serves `connection`, from the host's service. If the service panics, creates a task that
    /// closes the connection.
    pub fn connect<H: Guarded + Serves<S>>(host: &mut H, connection: SourceId) -> Self {
        let guard = host.guard();
        match guard.call(|| host.service().connect(connection)) {
            Ok(conn) => Self::serve(conn),
            Err(said) => {
                host.panicked();
                // `name` is user code, which may panic as well.
                let name = guard.call(|| host.service().name()).unwrap_or(type_name::<S>());
                let line = format_args!("{name}: panicked when a connection came: {said}");
                guard.report(Subject::Source(connection), line);
                Self(Kind::Unserved(connection))
            }
        }
    }
}

impl<S, H> Task<H> for ServeTask<S>
where
    S: Service<Conn: Task<H>>,
    H: Guarded + Serves<S>,
{
    #[inline]
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        match &mut self.get_mut().0 {
            Kind::Serve(task) => match cx.host.guard().call(|| resume(task, cx)) {
                Ok(step) => step,
                Err(said) => panicked(task, cx, said),
            },
            Kind::Accept(task) => Pin::new(task).resume(cx),
            Kind::Linger(task) => Pin::new(task).resume(cx),
            Kind::Unserved(source) => {
                cx.close(*source);
                Step::Done
            }
            Kind::Gone => Step::Done,
        }
    }

    fn label(&self) -> Option<Label> {
        match &self.0 {
            Kind::Serve(task) => task.label(),
            _ => None,
        }
    }

    fn wait_name(&self) -> Option<&'static str> {
        match &self.0 {
            Kind::Serve(task) => task.wait_name(),
            _ => None,
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        let kind = &mut self.get_mut().0;
        match kind {
            Kind::Serve(task) => {
                let guard = cx.host.guard();
                if let Err(said) = guard.call(|| Pin::new(&mut *task).end(cx)) {
                    report(task, cx, "panicked at its end", &said);
                }
                if let Kind::Serve(task) = mem::replace(kind, Kind::Gone) {
                    guard.drop(task);
                }
            }
            Kind::Accept(task) => Task::<H>::end(Pin::new(task), cx),
            Kind::Linger(task) => Task::<H>::end(Pin::new(task), cx),
            Kind::Unserved(_) | Kind::Gone => {}
        }
    }
}

/// Runs a step. The executor stores a task outside of a guard, so the task receives its id here, inside of one.
#[inline]
fn resume<H: Guarded, T: Task<H> + Unpin>(task: &mut T, cx: &mut Cx<'_, H>) -> Step {
    if cx.wake_reason() == WakeReason::Spawned {
        let id = cx.id();
        Pin::new(&mut *task).spawned(id);
    }
    Pin::new(task).resume(cx)
}

/// Ends the task that panicked, and no other task.
#[cold]
fn panicked<H: Guarded, T: Task<H> + Unpin>(
    task: &mut T,
    cx: &mut Cx<'_, H>,
    said: <H::Guard as Guard>::Panic,
) -> Step {
    report(task, cx, "panicked", &said);
    cx.host.panicked();
    if let Err(said) = cx.host.guard().call(|| Pin::new(&mut *task).panicked(cx)) {
        report(task, cx, "panicked again when it was told", &said);
    }
    Step::Done
}

/// Reports what the task did. Asking a task for its name may panic too; the report then names its type.
#[cold]
fn report<H: Guarded, T: Task<H>>(
    task: &T,
    cx: &mut Cx<'_, H>,
    did: &str,
    said: &<H::Guard as Guard>::Panic,
) {
    let (guard, subject) = (cx.host.guard(), Subject::Task(cx.id()));
    match guard.call(|| task.label()) {
        Ok(Some(label)) => guard.report(subject, format_args!("{label}: {did}: {said}")),
        Ok(None) | Err(_) => {
            let name = type_name::<T>();
            guard.report(subject, format_args!("a connection's task ({name}): {did}: {said}"));
        }
    }
}

impl<'d, S: Service<Conn: From<Async<'d>>>> From<Async<'d>> for ServeTask<S> {
    fn from(task: Async<'d>) -> Self {
        Self::serve(task.into())
    }
}
