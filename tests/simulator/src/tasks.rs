//! The tasks of a run: the shipped ones, with checks before and after each step.

use std::pin::Pin;

use sinbin_core::task::Label;
use sinbin_core::{
    Acceptor, Cx, Instant, Linger, Service, SourceId, Step, Task, TaskId, Wait, WaitTarget, WakeReason,
};

use crate::client_model::ClientModel;
use crate::panics::give_up;
use crate::world::{Role, World};

/// A task of a simulated run.
pub enum SimTask<S: Service> {
    /// Accepts connections.
    Accept(Acceptor),
    /// Serves a connection.
    Serve(S::Conn, SourceId),
    /// Waits until the peer has received the last answer.
    Linger(Linger, SourceId),
}

impl<S, T> Task<World<S, T>> for SimTask<S>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, World<S, T>>) -> Step {
        let task = cx.id();
        let wake_reason = cx.wake_reason();
        let mut promises = std::mem::take(&mut cx.host.promises);
        let mut evidence = std::mem::take(&mut cx.host.evidence);
        let checked = promises.before_step(cx.kernel(), &mut evidence, task);
        cx.host.evidence = evidence;
        if let Err(broken) = checked {
            // A turn of a broken kernel may never end.
            cx.host.wrong(broken);
            cx.host.promises = promises;
            give_up();
        }
        let is_late = promises.is_late(task);
        if wake_reason == WakeReason::TimedOut
            && let Some(wait) = promises.timely_wait(task)
        {
            self.check_deadline(cx, task, &wait);
        }
        self.note(cx, task, wake_reason, is_late);
        cx.host.dawdle();
        let step = match &mut *self {
            Self::Accept(inner) => Pin::new(inner).resume(cx),
            Self::Serve(inner, _) => Pin::new(inner).resume(cx),
            Self::Linger(inner, _) => Pin::new(inner).resume(cx),
        };
        let now = cx.host.now;
        promises.after_step(&mut cx.host.evidence, task, &step, now);
        cx.host.promises = promises;
        self.check_patience(cx.host, task, &step);
        cx.host.story.add(task.to_bits());
        cx.host.story.add(wake_reason as u64);
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
    /// Records the task of the connection, and the reasons that allow this step to close it.
    fn note<T: ClientModel>(
        &self,
        cx: &mut Cx<'_, World<S, T>>,
        task: TaskId,
        wake_reason: WakeReason,
        is_late: bool,
    ) {
        let source = match self {
            Self::Accept(_) => None,
            Self::Serve(_, source) | Self::Linger(_, source) => Some(*source),
        };
        cx.host.tell(|| match source {
            None => format!("task {task} runs ({wake_reason:?})"),
            Some(source) => format!("task {task} runs ({wake_reason:?}), for source {source}"),
        });
        let Some(Role::Peer(number)) =
            source.and_then(|source| cx.host.entry(source)).map(|entry| entry.role)
        else {
            return;
        };
        let (now, idle) = (cx.now(), cx.host.plan.idle_timeout);
        let reads_clocks = cx.host.tasks_read_clocks;
        let peer = &mut cx.host.peers[number];
        peer.task = Some(task);
        // An `async fn` may read the clock, whatever woke it. The reason holds for this step alone. The deadline of a
        // task that has yielded is unknown, but it is no earlier than this time.
        let may_be_late =
            wake_reason == WakeReason::Yielded && idle.is_some_and(|idle| now >= peer.began_at + idle);
        let is_over = wake_reason == WakeReason::TimedOut || reads_clocks && (is_late || may_be_late);
        peer.timed_out = is_over && idle.is_some();
        let is_early = !reads_clocks && idle.is_some_and(|idle| now < peer.moved_at + idle);
        // `check_asked` has already checked that the cancellation was requested; another task may have done it.
        peer.cancelled |= wake_reason == WakeReason::Cancelled;
        if is_over && is_early {
            cx.host.wrong(format!("client {number} was silent for less than the idle timeout"));
        }
    }

    /// Checks that no condition of the wait held before its deadline, and that the client was silent for the whole idle
    /// timeout.
    fn check_deadline<T: ClientModel>(&self, cx: &mut Cx<'_, World<S, T>>, task: TaskId, wait: &Wait) {
        let now = cx.now();
        let host = &mut *cx.host;
        let (Self::Serve(_, source) | Self::Linger(_, source)) = self else { return };
        let Some(Role::Peer(number) | Role::Lingering(number)) = host.entry(*source).map(|entry| entry.role)
        else {
            return;
        };
        let is_of_it =
            |what: &WaitTarget| matches!(what, WaitTarget::Recv(of) | WaitTarget::Send(of) if of == source);
        let in_time = |what: &WaitTarget| host.peers[number].came_before(*what, wait.deadline());
        if let Some(what) = wait.targets().filter(is_of_it).find(in_time) {
            let deadline = wait.deadline();
            host.wrong(format!(
                "promise 10: task {task} is woken by the deadline {deadline:?}, and {what:?} was ready before"
            ));
        }
        // In the services that sinbin ships, a task that waits for input has no deadline other than the idle timeout.
        let hears =
            matches!(self, Self::Serve(..)) && wait.targets().any(|what| what == WaitTarget::Recv(*source));
        let may_speak = host.plan.idle_timeout.map(|idle| host.peers[number].moved_at + idle);
        if hears && host.evidence.tasks_ask_nothing && may_speak.is_some_and(|end| now < end) {
            host.wrong(format!("client {number} was silent for less than the idle timeout"));
        }
    }

    /// Checks that a task that waits for a client has a deadline, if there is an idle timeout. A lingering task always
    /// has one.
    fn check_patience<T: ClientModel>(&self, host: &mut World<S, T>, task: TaskId, step: &Step) {
        let Step::Wait(wait) = step else { return };
        let has_an_end = match self {
            Self::Accept(_) => false,
            Self::Serve(..) => host.plan.idle_timeout.is_some(),
            Self::Linger(..) => true,
        };
        let waits_for_client = wait
            .targets()
            .next()
            .is_some_and(|what| matches!(what, WaitTarget::Recv(_) | WaitTarget::Send(_)));
        if waits_for_client && has_an_end && wait.deadline() == Instant::NEVER {
            host.wrong(format!("task {task} waits for a client without a deadline"));
        }
    }
}
