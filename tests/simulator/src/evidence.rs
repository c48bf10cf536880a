//! What the kernel was told, as evidence for what it tells the tasks.
//!
//! All that the host says to the kernel, but for the time and news of what is gone, has a number, and a wait knows the
//! number at which it began. So whoever is woken because something is ready needs news of that with a higher number:
//! readiness is level-triggered, and what was said before is not kept. What does carry over from one wait to the
//! next is the end of a job, and that a task was named or cancelled while it did not wait.

use sinbin_core::{
    Interest, JobId, Kernel, Limits, SourceId, TaskId, TaskState, Wait, WaitTarget, WakeReason,
};

/// All that the kernel was told. Each question takes constant time, but for what was asked of tasks, which is little.
#[derive(Default)]
pub(crate) struct Evidence {
    /// How much the kernel was told.
    news: u64,
    /// By the index of a source's id.
    sources: Vec<SourceNews>,
    /// By the index of a job's id.
    jobs: Vec<JobNews>,
    /// What was asked of tasks that were not told so yet.
    asked: Vec<Asked>,
    /// The tasks that were cancelled and are not gone.
    cancelled: Vec<TaskId>,
    /// All that is asked of tasks is here: they do not name or cancel each other, of which the world does not hear.
    pub(crate) tasks_ask_nothing: bool,
}

#[derive(Clone, Copy, Default)]
struct SourceNews {
    /// The source in this place, while it is open.
    open: Option<SourceId>,
    /// The last news of each direction, and of a hangup, of whichever source was in this place: a wait for a source
    /// begins when that is open.
    last: [u64; 3],
}

#[derive(Clone, Copy, Default)]
struct JobNews {
    /// The job in this place, while it is there.
    live: Option<JobId>,
    /// The last that was done.
    done: Option<JobId>,
}

#[derive(Clone, Copy)]
struct Asked {
    task: TaskId,
    /// [`WakeReason::Named`] or [`WakeReason::Cancelled`].
    to_say: WakeReason,
    /// The task is told so in its next step: that ended its wait. Else it will end the next one.
    is_next: bool,
}

impl Evidence {
    /// The number of the last news.
    pub(crate) fn news(&self) -> u64 {
        self.news
    }

    pub(crate) fn opened(&mut self, source: SourceId) {
        place(&mut self.sources, source.index()).open = Some(source);
    }

    pub(crate) fn closed(&mut self, source: SourceId) {
        place(&mut self.sources, source.index()).open.take_if(|open| *open == source);
    }

    /// The kernel is told what an open source is ready for.
    pub(crate) fn ready(&mut self, source: SourceId, readiness: Interest) {
        self.news += 1;
        let last = &mut place(&mut self.sources, source.index()).last;
        if readiness.contains(Interest::HANGUP) {
            // That is all that anybody is told then.
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

    /// The job is lost, given up, or its result was taken.
    pub(crate) fn job_ends(&mut self, job: JobId) {
        place(&mut self.jobs, job.index()).live.take_if(|live| *live == job);
    }

    /// The kernel is about to be told to name or to cancel a task.
    pub(crate) fn ask(&mut self, kernel: &Kernel<Limits>, task: TaskId, to_say: WakeReason) {
        self.ask_as(task, to_say, kernel.state(task) == Some(TaskState::Waiting));
    }

    /// Notes that a task was named or cancelled, which has ended its wait (`is_next`), or ends its next one.
    pub(crate) fn ask_as(&mut self, task: TaskId, to_say: WakeReason, is_next: bool) {
        if to_say == WakeReason::Cancelled && !self.was_cancelled(task) {
            self.cancelled.push(task);
        }
        let is_other = |asked: &Asked| (asked.task, asked.to_say, asked.is_next) != (task, to_say, is_next);
        if self.asked.iter().all(is_other) {
            self.asked.push(Asked { task, to_say, is_next });
        }
    }

    /// The task is about to wait, or else to yield: what was asked of it meanwhile ends that at once. A name does not end
    /// a yield, and to be cancelled comes first.
    pub(crate) fn after_step(&mut self, task: TaskId, waits: bool) {
        let its = |to_say| move |asked: &&mut Asked| asked.task == task && asked.to_say == to_say;
        if let Some(asked) = self.asked.iter_mut().find(its(WakeReason::Cancelled)) {
            asked.is_next = true;
        } else if let Some(asked) = self.asked.iter_mut().filter(|_| waits).find(its(WakeReason::Named)) {
            asked.is_next = true;
        }
    }

    /// The task is gone.
    pub(crate) fn forget(&mut self, task: TaskId) {
        self.asked.retain(|asked| asked.task != task);
        self.cancelled.retain(|cancelled| *cancelled != task);
    }

    /// Returns true if the task was cancelled at some time.
    pub(crate) fn was_cancelled(&self, task: TaskId) -> bool {
        self.cancelled.contains(&task)
    }

    /// The task runs, told `wake_reason`. What it was asked that ended its wait it must be told now, and nothing that nobody
    /// asked.
    pub(crate) fn check_asked(&mut self, task: TaskId, wake_reason: WakeReason) -> Result<(), String> {
        let is_asked_for = matches!(wake_reason, WakeReason::Named | WakeReason::Cancelled);
        let place = self.asked.iter().position(|asked| asked.task == task && asked.is_next);
        match place.map(|place| (place, self.asked[place].to_say)) {
            Some((place, to_say)) if to_say == wake_reason => {
                self.asked.swap_remove(place);
                Ok(())
            }
            Some((place, _)) if wake_reason == WakeReason::Cancelled && !self.tasks_ask_nothing => {
                // Another task cancelled it, which comes before its name.
                self.asked[place].is_next = false;
                Ok(())
            }
            Some((_, to_say)) => {
                Err(format!("promise 2: task {task} should be told {to_say:?}, and is told {wake_reason:?}"))
            }
            None if is_asked_for && self.tasks_ask_nothing => {
                Err(format!("promise 2: task {task} is told {wake_reason:?}, and nobody did that"))
            }
            None => Ok(()),
        }
    }

    /// Whether a wait that began when `began` was the number of the last news can have ended like this.
    pub(crate) fn is_for(&self, wake_reason: WakeReason, wait: &Wait, began: u64) -> bool {
        match wake_reason {
            WakeReason::Ready => wait.targets().any(|what| self.is_ready(what, began)),
            WakeReason::Hangup => wait.targets().any(|what| self.hung_up(what, began)),
            WakeReason::Closed => wait.targets().any(|what| !self.is_there(what)),
            // Of who was asked, `check_asked` knows more.
            WakeReason::Named | WakeReason::Cancelled => true,
            // The kernel was told nothing of these.
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

/// The place at `index`, which is made if there is none.
fn place<T: Copy + Default>(places: &mut Vec<T>, index: usize) -> &mut T {
    if places.len() <= index {
        places.resize(index + 1, T::default());
    }
    &mut places[index]
}
