//! A record of the news that the kernel receives, as evidence for the wake reasons that the kernel gives to tasks.
//!
//! Each report of readiness has a number, except for sources that no longer exist. The ends of jobs, wakes by name and
//! cancellations are recorded without one. A wait records the number at which it began. A task that is woken because a
//! source is ready therefore needs news of that source with a higher number: readiness is level-triggered, and the
//! kernel does not keep earlier news. Two kinds of news do carry over from one wait to the next: the end of a job, and
//! a name or a cancellation that arrived while the task did not wait.

use sinbin_core::kernel::TaskState;
use sinbin_core::{Interest, JobId, Kernel, Limits, SourceId, TaskId, Wait, WaitTarget, WakeReason};

/// The news that the kernel has received. Each query takes constant time, except for the scan of `asked`, which is
/// short.
#[derive(Default)]
pub(crate) struct Evidence {
    /// The number of the last news.
    news: u64,
    /// The news of sources, by the index of the source's id.
    sources: Vec<SourceNews>,
    /// The news of jobs, by the index of the job's id.
    jobs: Vec<JobNews>,
    /// The names and cancellations that have not reached their tasks yet.
    asked: Vec<Asked>,
    /// The tasks that were cancelled and have not ended.
    cancelled: Vec<TaskId>,
    /// True if the record of `asked` is complete, because tasks do not name or cancel each other.
    pub(crate) tasks_ask_nothing: bool,
}

#[derive(Clone, Copy, Default)]
struct SourceNews {
    /// The source in this slot, while it is open.
    open: Option<SourceId>,
    /// The numbers of the last news of receiving, of sending, and of a hangup, for any source that was in this slot. A
    /// wait for a source begins only after the source is opened.
    last: [u64; 3],
}

#[derive(Clone, Copy, Default)]
struct JobNews {
    /// The job in this slot, until it ends.
    live: Option<JobId>,
    /// The last job in this slot that was done.
    done: Option<JobId>,
}

#[derive(Clone, Copy)]
struct Asked {
    task: TaskId,
    /// [`WakeReason::Named`] or [`WakeReason::Cancelled`].
    to_say: WakeReason,
    /// True if the task's next step must report this, because it ended the task's wait. Otherwise it ends the next
    /// wait.
    is_next: bool,
}

impl Evidence {
    /// Returns the number of the last news.
    pub(crate) fn news(&self) -> u64 {
        self.news
    }

    pub(crate) fn opened(&mut self, source: SourceId) {
        place(&mut self.sources, source.index()).open = Some(source);
    }

    pub(crate) fn closed(&mut self, source: SourceId) {
        place(&mut self.sources, source.index()).open.take_if(|open| *open == source);
    }

    /// Records that the kernel learns of the readiness of an open source.
    pub(crate) fn ready(&mut self, source: SourceId, readiness: Interest) {
        self.news += 1;
        let last = &mut place(&mut self.sources, source.index()).last;
        if readiness.contains(Interest::HANGUP) {
            // Waiting tasks then receive the hangup and nothing else.
            last[2] = self.news;
            return;
        }
        if readiness.contains(Interest::RECV) {
            last[0] = self.news;
        }
        if readiness.contains(Interest::SEND) {
            last[1] = self.news;
        }
    }

    pub(crate) fn job_begins(&mut self, job: JobId) {
        place(&mut self.jobs, job.index()).live = Some(job);
    }

    pub(crate) fn job_done(&mut self, job: JobId) {
        let news = place(&mut self.jobs, job.index());
        if news.live == Some(job) {
            news.done = Some(job);
        }
    }

    /// Records that a job is lost or cancelled, or that its result was removed.
    pub(crate) fn job_ends(&mut self, job: JobId) {
        place(&mut self.jobs, job.index()).live.take_if(|live| *live == job);
    }

    /// Records that the kernel is about to name or to cancel a task.
    pub(crate) fn ask(&mut self, kernel: &Kernel<Limits>, task: TaskId, to_say: WakeReason) {
        self.ask_as(task, to_say, kernel.state(task) == Some(TaskState::Waiting));
    }

    /// Records that a task was named or cancelled, which has ended its wait (`is_next`), or ends its next wait.
    pub(crate) fn ask_as(&mut self, task: TaskId, to_say: WakeReason, is_next: bool) {
        if to_say == WakeReason::Cancelled && !self.was_cancelled(task) {
            self.cancelled.push(task);
        }
        let is_other = |asked: &Asked| (asked.task, asked.to_say, asked.is_next) != (task, to_say, is_next);
        if self.asked.iter().all(is_other) {
            self.asked.push(Asked { task, to_say, is_next });
        }
    }

    /// Records that the task is about to wait or to yield. A name or a cancellation that has arrived meanwhile ends the
    /// wait at once. A name does not end a yield, and a cancellation takes precedence over a name.
    pub(crate) fn after_step(&mut self, task: TaskId, waits: bool) {
        let its = |to_say| move |asked: &&mut Asked| asked.task == task && asked.to_say == to_say;
        if let Some(asked) = self.asked.iter_mut().find(its(WakeReason::Cancelled)) {
            asked.is_next = true;
        } else if let Some(asked) = self.asked.iter_mut().filter(|_| waits).find(its(WakeReason::Named)) {
            asked.is_next = true;
        }
    }

    /// Removes the records of a task that has ended.
    pub(crate) fn forget(&mut self, task: TaskId) {
        self.asked.retain(|asked| asked.task != task);
        self.cancelled.retain(|cancelled| *cancelled != task);
    }

    /// Returns true if the task was cancelled at some time.
    pub(crate) fn was_cancelled(&self, task: TaskId) -> bool {
        self.cancelled.contains(&task)
    }

    /// Checks the wake reason of a task that runs. If a name or a cancellation ended the task's wait, the wake reason
    /// must be that one. No task may receive a name or a cancellation that was not requested.
    pub(crate) fn check_asked(&mut self, task: TaskId, wake_reason: WakeReason) -> Result<(), String> {
        let is_asked_for = matches!(wake_reason, WakeReason::Named | WakeReason::Cancelled);
        let place = self.asked.iter().position(|asked| asked.task == task && asked.is_next);
        match place.map(|place| (place, self.asked[place].to_say)) {
            Some((place, to_say)) if to_say == wake_reason => {
                self.asked.swap_remove(place);
                Ok(())
            }
            Some((place, _)) if wake_reason == WakeReason::Cancelled && !self.tasks_ask_nothing => {
                // Another task cancelled this one. The cancellation takes precedence over the name.
                self.asked[place].is_next = false;
                Ok(())
            }
            Some((_, to_say)) => Err(format!(
                "promise 2: task {task} must be woken as {to_say:?}, and is woken as {wake_reason:?}"
            )),
            None if is_asked_for && self.tasks_ask_nothing => {
                Err(format!("promise 2: task {task} is woken as {wake_reason:?}, which was not requested"))
            }
            None => Ok(()),
        }
    }

    /// Returns true if `wake_reason` is a possible end of a wait that began when `began` was the number of the last
    /// news.
    pub(crate) fn is_for(&self, wake_reason: WakeReason, wait: &Wait, began: u64) -> bool {
        match wake_reason {
            WakeReason::Ready => wait.targets().any(|what| self.is_ready(what, began)),
            WakeReason::Hangup => wait.targets().any(|what| self.hung_up(what, began)),
            WakeReason::Closed => wait.targets().any(|what| !self.is_there(what)),
            // `check_asked` checks these.
            WakeReason::Named | WakeReason::Cancelled => true,
            // The kernel receives no news of these.
            WakeReason::Spawned | WakeReason::Yielded | WakeReason::TimedOut | WakeReason::Busy => false,
        }
    }

    fn is_ready(&self, what: WaitTarget, began: u64) -> bool {
        match what {
            WaitTarget::Recv(source) => self.last(source)[0] > began,
            WaitTarget::Send(source) => self.last(source)[1] > began,
            WaitTarget::Hangup(_) => false,
            WaitTarget::Job(job) => self.jobs.get(job.index()).is_some_and(|news| news.done == Some(job)),
        }
    }

    fn hung_up(&self, what: WaitTarget, began: u64) -> bool {
        match what {
            WaitTarget::Recv(source) | WaitTarget::Send(source) | WaitTarget::Hangup(source) => {
                self.last(source)[2] > began
            }
            WaitTarget::Job(_) => false,
        }
    }

    fn is_there(&self, what: WaitTarget) -> bool {
        match what {
            WaitTarget::Recv(source) | WaitTarget::Send(source) | WaitTarget::Hangup(source) => {
                self.sources.get(source.index()).is_some_and(|news| news.open == Some(source))
            }
            WaitTarget::Job(job) => self.jobs.get(job.index()).is_some_and(|news| news.live == Some(job)),
        }
    }

    fn last(&self, source: SourceId) -> [u64; 3] {
        self.sources.get(source.index()).map_or([0; 3], |news| news.last)
    }
}

/// Returns the slot at `index`, and creates it if it does not exist.
fn place<T: Copy + Default>(places: &mut Vec<T>, index: usize) -> &mut T {
    if places.len() <= index {
        places.resize(index + 1, T::default());
    }
    &mut places[index]
}
