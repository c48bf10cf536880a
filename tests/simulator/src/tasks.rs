//! The tasks of a run: the shipped ones, looked at before and after each step.

use std::pin::Pin;

use sinbin_core::task::Label;
use sinbin_core::{Acceptor, Cx, Linger, Service, SourceId, Step, Task, TaskId, Woken};

use crate::panics::give_up;
use crate::talk::Talk;
use crate::world::{Role, World};

/// A task of a simulated run.
pub enum SimTask<S: Service> {
    /// Takes connections.
    Accept(Acceptor),
    /// Serves one.
    Serve(S::Conn, SourceId),
    /// Waits for the peer to take the last answer.
    Linger(Linger, SourceId),
}

impl<S, T> Task<World<S, T>> for SimTask<S>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: Talk,
{
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, World<S, T>>) -> Step {
        let task = cx.id();
        let woken = cx.woken();
        let mut promises = std::mem::take(&mut cx.host.promises);
        if let Err(broken) = promises.before_step(cx.kernel(), task) {
            // A turn of a broken kernel may have no end.
            cx.host.wrong(broken);
            cx.host.promises = promises;
            give_up();
        }
        let is_late = promises.is_late(cx.kernel(), task);
        self.note(cx, task, woken, is_late);
        let step = match &mut *self {
            Self::Accept(inner) => Pin::new(inner).resume(cx),
            Self::Serve(inner, _) => Pin::new(inner).resume(cx),
            Self::Linger(inner, _) => Pin::new(inner).resume(cx),
        };
        promises.after_step(task, &step);
        cx.host.promises = promises;
        cx.host.story.add(task.to_bits());
        cx.host.story.add(woken as u64);
        step
    }

    fn spawned(self: Pin<&mut Self>, id: TaskId) {
        if let Self::Serve(inner, _) = self.get_mut() {
            Pin::new(inner).spawned(id);
        }
    }

    fn label(&self) -> Option<Label> {
        match self {
            Self::Serve(inner, _) => inner.label(),
            Self::Accept(_) | Self::Linger(..) => None,
        }
    }

    fn end(mut self: Pin<&mut Self>, cx: &mut Cx<'_, World<S, T>>) {
        match &mut *self {
            Self::Accept(inner) => Task::<World<S, T>>::end(Pin::new(inner), cx),
            Self::Serve(inner, _) => Pin::new(inner).end(cx),
            Self::Linger(inner, _) => Task::<World<S, T>>::end(Pin::new(inner), cx),
        }
    }
}

impl<S: Service> SimTask<S> {
    /// Notes whose step it is, and what the end of it may be blamed on.
    fn note<T: Talk>(&self, cx: &mut Cx<'_, World<S, T>>, task: TaskId, woken: Woken, is_late: bool) {
        let source = match self {
            Self::Accept(_) => None,
            Self::Serve(_, source) | Self::Linger(_, source) => Some(*source),
        };
        cx.host.tell(|| match source {
            None => format!("task {task} runs ({woken:?})"),
            Some(source) => format!("task {task} runs ({woken:?}), for source {source}"),
        });
        let Some(Role::Peer(number)) =
            source.and_then(|source| cx.host.entry(source)).map(|entry| entry.role)
        else {
            return;
        };
        let has_timeout = cx.host.plan.idle_timeout.is_some();
        let peer = &mut cx.host.peers[number];
        peer.task = Some(task);
        match woken {
            Woken::TimedOut => peer.timed_out |= has_timeout,
            // An `async fn` may look at the time, whatever woke it.
            _ if is_late && cx.host.tasks_read_clocks => peer.timed_out |= has_timeout,
            Woken::Cancelled if !peer.cancelled => {
                cx.host.wrong(format!("task {task} is told that it is cancelled, and nobody did that"));
            }
            _ => {}
        }
    }
}
