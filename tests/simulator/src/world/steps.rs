//! Checks before and after each step of a task.

use sinbin_core::serve::Linger;
use sinbin_core::{Instant, Kernel, Limits, Service, SourceId, Step, TaskId, Wait, WaitTarget, WakeReason};

use crate::client_model::ClientModel;
use crate::panics::give_up;
use crate::world::{Role, World};

/// The purpose of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Accepts connections.
    Accept,
    /// Serves a connection, or helps a task that does.
    Serve,
    /// Reads the remaining input of a closed connection.
    Linger,
}

/// The purpose of a task and its source.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    kind: Kind,
    source: SourceId,
}

impl<S: Service, T: ClientModel> World<S, T> {
    /// Notes that a task was spawned for a source.
    pub(super) fn begin_task(&mut self, task: TaskId, source: SourceId) {
        let now = self.now;
        let kind = match self.entry(source).map(|entry| entry.role) {
            Some(Role::Listener) => {
                self.acceptor = Some(task);
                Kind::Accept
            }
            Some(Role::Peer(number)) => {
                self.peers[number].task = Some(task);
                if self.is_spawned_too_late() {
                    self.peers[number].cancelled = true;
                    self.evidence.ask_as(task, WakeReason::Cancelled, false);
                }
                Kind::Serve
            }
            Some(Role::Lingering(number)) => {
                let peer = &mut self.peers[number];
                peer.lingering = Some(task);
                peer.lingers_until = now + Linger::PATIENCE;
                Kind::Linger
            }
            Some(Role::Upstream(_)) | None => {
                return self.wrong(format!("task {task} is for source {source}, which was not accepted"));
            }
        };
        self.owners.insert(task, Owner { kind, source });
    }

    /// Checks the promises before the first task of the run queue runs a step.
    pub(super) fn begin_step(&mut self, kernel: &Kernel<Limits>) {
        let Some(task) = kernel.queue().next() else {
            self.wrong("promise 1: a task runs that is not queued".to_owned());
            give_up();
        };
        let Self { promises, evidence, .. } = self;
        if let Err(broken) = promises.before_step(kernel, evidence, task) {
            // A turn of a broken kernel may never end.
            self.wrong(broken);
            give_up();
        }
        let wake_reason = kernel.wake_reason(task).unwrap_or(WakeReason::Spawned);
        self.running = Some((task, wake_reason));
        let is_late = self.promises.is_late(task);
        if wake_reason == WakeReason::TimedOut
            && let Some(wait) = self.promises.timely_wait(task)
        {
            self.check_deadline(kernel.now(), task, &wait);
        }
        self.note(kernel.now(), task, wake_reason, is_late);
        self.dawdle();
    }

    /// Notes the step that the task has run, and checks its wait.
    pub(super) fn end_step(&mut self, step: &Step) {
        let Some((task, wake_reason)) = self.running.take() else {
            return self.wrong("promise 1: a step ends that has not begun".to_owned());
        };
        self.promises.after_step(&mut self.evidence, task, step, self.now);
        self.check_patience(task, step);
        self.check_call_deadline(task, step);
        self.story.add(task.to_bits());
        self.story.add(wake_reason as u64);
    }

    /// Returns the task that runs a step.
    pub(super) fn running_task(&self) -> Option<TaskId> {
        self.running.map(|(task, _)| task)
    }

    /// Returns the source for which the running task was spawned.
    pub(super) fn running_source(&self) -> Option<SourceId> {
        self.owners.get(self.running_task()?).map(|owner| owner.source)
    }

    /// Records which task runs, and the reasons for which the task may close its connection in this step.
    fn note(&mut self, now: Instant, task: TaskId, wake_reason: WakeReason, is_late: bool) {
        let owner = self.owners.get(task).filter(|owner| owner.kind != Kind::Accept);
        let source = owner.map(|owner| owner.source);
        self.tell(|| match source {
            None => format!("task {task} runs ({wake_reason:?})"),
            Some(source) => format!("task {task} runs ({wake_reason:?}), for source {source}"),
        });
        let Some(Role::Peer(number)) = source.and_then(|source| self.entry(source)).map(|entry| entry.role)
        else {
            return;
        };
        let idle = self.plan.idle_timeout;
        let reads_clocks = self.tasks_read_clocks;
        let peer = &mut self.peers[number];
        // An `async fn` may read the clock in any step, whatever woke it. An expired deadline permits a close in this
        // step only. The deadline of a task that yielded is not known, but it is no earlier than `began_at + idle`.
        let may_be_late =
            wake_reason == WakeReason::Yielded && idle.is_some_and(|idle| now >= peer.began_at + idle);
        let is_over = wake_reason == WakeReason::TimedOut || reads_clocks && (is_late || may_be_late);
        peer.timed_out = is_over && idle.is_some();
        let is_early = !reads_clocks && idle.is_some_and(|idle| now < peer.moved_at + idle);
        // `Evidence::check_asked` has already checked that the cancellation was requested.
        peer.cancelled |= wake_reason == WakeReason::Cancelled;
        if is_over && is_early {
            self.wrong(format!("client {number} is timed out before its idle timeout"));
        }
    }

    /// Checks that a task whose deadline has ended its wait missed no earlier event, and that no idle timeout is too
    /// early.
    fn check_deadline(&mut self, now: Instant, task: TaskId, wait: &Wait) {
        let Some(Owner { kind, source }) = self.owners.get(task).copied() else { return };
        let Some(Role::Peer(number) | Role::Lingering(number)) = self.entry(source).map(|entry| entry.role)
        else {
            return;
        };
        let in_time = |what: &WaitTarget| match what {
            WaitTarget::Recv(of) | WaitTarget::Send(of) if *of == source => {
                self.peers[number].came_before(*what, wait.deadline())
            }
            WaitTarget::Recv(of) | WaitTarget::Send(of) => {
                self.upstream_came_before(*of, *what, wait.deadline())
            }
            WaitTarget::Hangup(_) | WaitTarget::Job(_) => false,
        };
        if let Some(what) = wait.targets().find(in_time) {
            let deadline = wait.deadline();
            self.wrong(format!(
                "promise 10: task {task} is woken by its deadline {deadline:?}, and {what:?} was ready before"
            ));
        }
        // When a shipped service waits to receive from a client, its only deadline is the idle timeout.
        let hears = kind == Kind::Serve && wait.targets().any(|what| what == WaitTarget::Recv(source));
        let may_speak = self.plan.idle_timeout.map(|idle| self.peers[number].moved_at + idle);
        if hears && self.evidence.tasks_ask_nothing && may_speak.is_some_and(|end| now < end) {
            self.wrong(format!("client {number} is timed out before its idle timeout"));
        }
    }

    /// Checks that a task that waits for a client has a deadline, if the plan has an idle timeout or the task lingers.
    fn check_patience(&mut self, task: TaskId, step: &Step) {
        let Step::Wait(wait) = step else { return };
        let has_an_end = match self.owners.get(task).map_or(Kind::Serve, |owner| owner.kind) {
            Kind::Accept => false,
            Kind::Serve => self.plan.idle_timeout.is_some(),
            Kind::Linger => true,
        };
        let waits_for_client = wait
            .targets()
            .next()
            .is_some_and(|what| matches!(what, WaitTarget::Recv(_) | WaitTarget::Send(_)));
        if waits_for_client && has_an_end && wait.deadline() == Instant::NEVER {
            self.wrong(format!("task {task} waits for a client without a deadline"));
        }
    }
}
