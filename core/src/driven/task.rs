//! The tasks of a driven loop.

use alloc::format;
use alloc::string::{String, ToString};
use core::any::type_name;
use core::mem;
use core::pin::Pin;

use crate::driven::Shell;
use crate::driven::guard::Guarded;
use crate::exec::context::{Cx, Task};
use crate::exec::host::Service;
use crate::exec::label::Label;
use crate::job::WireJob;
use crate::kernel::id::SourceId;
use crate::kernel::step::{Step, Woken};
use crate::serve::acceptor::Acceptor;
use crate::task::conn::Conn;
use crate::task::mixed::Mixed;
use crate::task::service::AsyncService;
use crate::task::start::Async;

/// A task of a driven loop.
pub enum DrivenTask<S: Service> {
    /// Takes connections.
    Accept(Acceptor),
    /// Serves one.
    Serve(S::Conn),
    /// Closes a connection for which the service made no task, since it panicked.
    Unserved(SourceId),
    /// Holds the place of a connection's task that has ended and been dropped.
    Gone,
}

impl<S> Task<Shell<S>> for DrivenTask<S>
where
    S: Service<Conn: Task<Shell<S>>, Job: WireJob>,
{
    #[inline]
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, Shell<S>>) -> Step {
        match self.get_mut() {
            Self::Serve(task) => match cx.host.guarded.call(|| resume::<S>(task, cx)) {
                Ok(step) => step,
                Err(said) => panicked::<S>(task, cx, &said),
            },
            Self::Accept(task) => Pin::new(task).resume(cx),
            Self::Unserved(source) => {
                cx.close(*source);
                Step::Done
            }
            Self::Gone => Step::Done,
        }
    }

    fn label(&self) -> Option<Label> {
        match self {
            Self::Serve(task) => task.label(),
            Self::Accept(_) | Self::Unserved(_) | Self::Gone => None,
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, Shell<S>>) {
        let this = self.get_mut();
        match this {
            Self::Serve(task) => {
                let guarded = cx.host.guarded;
                if let Err(said) = guarded.call(|| Pin::new(&mut *task).end(cx)) {
                    report::<S>(task, guarded, "panicked at its end", &said);
                }
                if let Self::Serve(task) = mem::replace(this, Self::Gone) {
                    guarded.drop(task);
                }
            }
            Self::Accept(task) => Task::<Shell<S>>::end(Pin::new(task), cx),
            Self::Unserved(_) | Self::Gone => {}
        }
    }
}

#[inline]
fn resume<S>(task: &mut S::Conn, cx: &mut Cx<'_, Shell<S>>) -> Step
where
    S: Service<Conn: Task<Shell<S>>, Job: WireJob>,
{
    // The host puts the task in its place without a guard, so the call that tells it of its id is made here, within
    // one.
    if cx.woken() == Woken::Spawned {
        let id = cx.id();
        Pin::new(&mut *task).spawned(id);
    }
    Pin::new(task).resume(cx)
}

/// Takes down the task that panicked, alone.
#[cold]
fn panicked<S>(task: &mut S::Conn, cx: &mut Cx<'_, Shell<S>>, said: &str) -> Step
where
    S: Service<Conn: Task<Shell<S>>, Job: WireJob>,
{
    let guarded = cx.host.guarded;
    report::<S>(task, guarded, "panicked", said);
    if let Err(said) = guarded.call(|| Pin::new(&mut *task).panicked(cx)) {
        report::<S>(task, guarded, "panicked again when it was told", &said);
    }
    Step::Done
}

/// Tells what the task did. Its name is asked for where something has panicked, so that may do so too.
#[cold]
fn report<S>(task: &S::Conn, guarded: Guarded, did: &str, said: &str)
where
    S: Service<Conn: Task<Shell<S>>, Job: WireJob>,
{
    let label = guarded.call(|| task.label().map(|label| label.to_string())).ok().flatten();
    let unnamed = || format!("a connection's task ({})", type_name::<S::Conn>());
    let name: String = label.unwrap_or_else(unnamed);
    guarded.report(format_args!("{name}: {did}: {said}"));
}

impl<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd> From<Async<'d>> for DrivenTask<AsyncService<'d, M, F>> {
    fn from(task: Async<'d>) -> Self {
        Self::Serve(Mixed::Other(task))
    }
}
