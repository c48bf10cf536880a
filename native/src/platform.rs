//! The platform of the native loop: a reactor, worker threads, and memory that is returned to the system.

use std::io;

use sinbin_core::serve::{Admission, Platform, Until};
use sinbin_core::task::Label;
use sinbin_core::{Executor, Instant, JobId, SourceId, TaskId, WaitTarget};

use crate::caught::caught;
use crate::compute::Over;
use crate::host::{Native, NativeService, Unread, index};
use crate::observe::{CONTROL, Command, Control, EventKind, Gauges, Phase, SourceKind};
use crate::reactor;

impl<S: NativeService> Platform for Native<S> {
    type Service = S;
    type Closed = Unread;
    type Error = io::Error;

    #[inline]
    fn room(&mut self) -> &mut Admission<Unread> {
        &mut self.room
    }

    #[inline]
    fn now(&self) -> Instant {
        let now = self.clock.now();
        self.observer.turn(now);
        now
    }

    fn linger(&mut self, source: SourceId, Unread { socket, peer }: Unread) {
        self.sockets.insert(source, socket, true);
        self.observer.source(source, SourceKind::Lingering, None);
        self.peer_limit.rename(source, peer);
    }

    fn served(&self) -> impl Iterator<Item = SourceId> {
        self.sockets.served()
    }

    #[inline]
    fn is_to_stop(&self) -> bool {
        self.stopper.is_asked()
    }

    fn begin_drain(&mut self) {
        tracing::info!(connections = self.room.open(), "draining: what was received is answered");
        self.observer.draining();
        self.sockets.drain();
    }

    fn leaving(&self) -> usize {
        self.sockets.leaving()
    }

    fn cut_off(&mut self, connections: usize) {
        self.observer.cut(connections);
        self.sockets.cut();
        if connections > 0 {
            tracing::warn!(connections, "the time to drain is over: they are cut off");
        }
    }

    #[inline]
    fn take_wakes(&mut self, executor: &mut Executor<Self>) {
        if let Some(inbox) = &self.inbox {
            for task in inbox.take() {
                executor.kernel.wake(task);
            }
        }
        if self.stop_waiters.places() > 0 && self.stopper.is_asked() {
            for (task, ()) in self.stop_waiters.drain() {
                executor.kernel.wake(task);
            }
        }
    }

    #[inline]
    fn between_turns(&mut self, executor: &mut Executor<Self>) -> bool {
        let is_busy = self.compute.is_busy();
        if is_busy {
            self.observer.phase(Phase::Computing);
            let over = self.compute.slice();
            self.observer.phase(Phase::Running);
            if let Some(over) = over {
                self.tell(executor, over);
            }
        }
        let now = executor.kernel.now();
        self.decay.go_on(executor, now);
        is_busy
    }

    #[inline]
    fn is_busy(&self) -> bool {
        self.compute.is_busy()
    }

    #[inline]
    fn next_deadline(&self, executor: &Executor<Self>) -> Instant {
        self.decay.next(executor)
    }

    fn wait(&mut self, executor: &mut Executor<Self>, until: Until) -> io::Result<bool> {
        self.watch(executor);
        let until = match until {
            Until::Poll | Until::Due => reactor::Until::Now,
            Until::At(Instant::NEVER) => reactor::Until::Ever,
            Until::At(deadline) => reactor::Until::At(deadline),
        };
        self.observer.begin_wait(
            &self.counts,
            Gauges {
                open: self.room.open(),
                blocks_lent: executor.blocks_lent(),
                blocks_committed: executor.blocks_committed(),
            },
        );
        let Self { clock, sockets, reactor, control, stopper, .. } = self;
        let until = sockets.before_wait(until);
        let is_notified = reactor.wait(
            until,
            || clock.now(),
            |index, readiness| {
                if let Some((source, readiness)) = sockets.event(index, readiness) {
                    executor.kernel.ready(source, readiness);
                } else if index == CONTROL
                    && let Some(control) = control
                {
                    control.come();
                    stopper.notify();
                }
            },
        )?;
        sockets.after_wait(|source, readiness| executor.kernel.ready(source, readiness));
        if is_notified {
            for over in self.compute.finished().into_iter().chain(self.blocking.finished()) {
                self.tell(executor, over);
            }
            self.obey(executor);
        }
        Ok(true)
    }
}

impl<S: NativeService> Native<S> {
    /// Updates the reactor's registrations to the interests that the kernel requests.
    fn watch(&mut self, executor: &mut Executor<Self>) {
        while let Some((source, interest)) = executor.kernel.next_change() {
            if let Err(error) = self.sockets.watch(source, interest) {
                tracing::error!(%source, %error, "a connection cannot be watched, and is closed");
                if executor.kernel.close(source) {
                    sinbin_core::Host::close(self, source);
                }
            }
        }
    }
}

impl<S: NativeService> Native<S> {
    /// Executes the commands of other processes.
    fn obey(&mut self, executor: &mut Executor<Self>) {
        let commands = self.control.as_ref().map_or_else(Vec::new, Control::take);
        if !commands.is_empty() {
            // The events below happen now, and not at the beginning of the turn before the wait.
            self.observer.turn(self.clock.now());
        }
        for Command { task, token } in commands {
            // Without its acceptor, the server would no longer listen.
            let is_cancelled = !self.observer.is_acceptor(task) && executor.kernel.cancel(task);
            let kind = if is_cancelled { EventKind::Cancelled } else { EventKind::Refused };
            if is_cancelled {
                tracing::info!(%task, "cancelled by a command of another process");
            }
            self.observer.event(kind, Some(task), token);
        }
    }

    /// Notifies the kernel of the end of a job.
    fn tell(&mut self, executor: &mut Executor<Self>, over: Over) {
        match over {
            Over::Done(job) => {
                self.observer.event(EventKind::JobDone, None, index(job.index()));
                executor.kernel.job_done(job);
            }
            Over::Failed(job) => {
                self.observer.event(EventKind::JobCancelled, None, index(job.index()));
                let name = waiter(executor, job);
                tracing::error!(%job, "{name} has lost its job, which panicked");
                executor.kernel.end_job(job);
            }
        }
    }
}

/// Returns a description of the task that waits for a job, for the log.
fn waiter<S: NativeService>(executor: &Executor<Native<S>>, job: JobId) -> String {
    let mut tasks = executor.kernel.tasks();
    let Some(task) = tasks.find(|task| task.waits.contains(&Some(WaitTarget::Job(job)))) else {
        return "a task".to_owned();
    };
    let label = label(executor, task.id).map_or_else(String::new, |label| format!(" ({label})"));
    format!("task {}{label}", task.id)
}

/// Returns the label of a task, which user code provides.
pub(crate) fn label<S: NativeService>(executor: &Executor<Native<S>>, task: TaskId) -> Option<Label> {
    caught(|| executor.label(task)).ok().flatten()
}
