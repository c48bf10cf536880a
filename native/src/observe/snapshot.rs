//! The state of a loop and its tasks, as other processes see it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sinbin_core::kernel::{ExpectedWaker, TaskState, TaskView};
use sinbin_core::{Instant, Interest, SourceId, TaskId};

use crate::observe::header::Phase;
use crate::observe::pollable::Poll;
use crate::observe::source::Source;
use crate::observe::wait_name::WaitName;

/// The name of a task and the place where it was spawned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpawnLabel {
    /// The path of the task's `async fn`, or the name of a service.
    pub name: String,
    /// The source location of the spawn.
    pub spawned: Option<String>,
}

/// A counter or gauge of a loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Counter {
    /// The number of connections accepted or adopted.
    Connections,
    /// The number of connections that were reset at once because their peers were at the limit.
    TurnedAway,
    /// The number of connections that failed.
    Failed,
    /// The number of jobs submitted.
    Jobs,
    /// The number of jobs cancelled.
    Cancelled,
    /// The number of bytes received.
    Received,
    /// The number of bytes sent.
    Sent,
    /// The number of open connections.
    Open,
    /// The number of blocks that hold bytes for slow clients or for jobs.
    BlocksLent,
    /// The number of blocks that have memory.
    BlocksCommitted,
}

/// The state of a loop.
#[derive(Clone, Debug)]
pub struct LoopState {
    /// The id of the process.
    pub pid: u32,
    /// The number of the loop in its process.
    pub number: u32,
    /// The id of the loop's thread, or 0 before its first wait.
    pub thread: u32,
    /// The name of the service.
    pub service: Option<String>,
    /// The time at which the loop was created.
    pub started: SystemTime,
    /// The activity of the loop.
    pub phase: Phase,
    /// True if the loop drives a guest. Its steps are the turns of the guest.
    pub is_guest: bool,
    /// True if that guest is a WASI command, which runs a loop of its own. It has no steps, and waits in its polls.
    pub is_command: bool,
    /// True if the loop drains.
    pub draining: bool,
    /// The loop's time at the beginning of its turn. A loop that runs or computes has done so since then.
    pub turn: Instant,
    /// The present time by the loop's clock.
    pub now: Instant,
    /// The number of waits for events so far.
    pub waits: u64,
    /// The number of steps so far.
    pub steps: u64,
    /// The number of events so far.
    pub events: u64,
    /// The number of connections that were cut off when the time to drain was over.
    pub cut: u64,
    /// The maximum number of connections.
    pub max_connections: u64,
    /// The maximum number of bytes for slow clients and jobs.
    pub max_buffered: u64,
    /// The maximum number of jobs.
    pub max_jobs: u64,
    /// The maximum number of worker threads.
    pub workers: u64,
    pub(super) counters: [u64; 10],
}

impl LoopState {
    /// Returns a counter. Counters are of the beginning of the loop's last wait.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// Returns how long the loop has been running tasks or computing without a wait, or zero if it waits.
    #[must_use]
    pub fn busy_for(&self) -> Duration {
        match self.phase {
            Phase::Running | Phase::Computing => self.now.since(self.turn),
            Phase::Starting | Phase::Waiting | Phase::Ended => Duration::ZERO,
        }
    }
}

/// A task, with what its loop has noted about it.
#[derive(Clone, Debug)]
pub struct TaskInfo {
    /// The state of the task, and what it waits for.
    pub view: TaskView,
    /// The name of the task, if it has one. Tasks with equal names share it.
    pub label: Option<Arc<SpawnLabel>>,
    /// The task that has spawned this one.
    pub parent: Option<TaskId>,
    /// The loop's time at the beginning of the turn in which the task was spawned.
    pub spawned: Option<Instant>,
    /// The connection or listener that the task serves.
    pub source: Option<Source>,
    /// The sources that the task waits for.
    pub waits_on: Vec<(SourceId, Source)>,
    /// The named lock, channel or other synchronizer that the task waits for; of several, that of the last wait.
    pub waits_for: Option<WaitName>,
    /// True if this task runs now.
    pub is_running: bool,
    /// The step that the task runs now.
    pub step: Option<RunningStep>,
}

/// The step of the task that runs. A loop notes the time of each turn, but not that of each step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunningStep {
    /// The loop's time at the beginning of the turn. The step began then, or later.
    pub turn: Instant,
    /// True if the step is the first one of the turn, and so began with it.
    pub is_first: bool,
}

/// A source of a guest, as its host knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestSource {
    /// The index of the source.
    pub index: usize,
    /// The kind and address of the source.
    pub source: Source,
    /// The conditions that the guest waits for.
    pub interest: Interest,
}

/// All tasks of a loop at one moment, or as close to it as the loop permits.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state of the loop.
    pub state: LoopState,
    /// The tasks, in the order of their ids.
    pub tasks: Vec<TaskInfo>,
    /// The sources of a guest; empty for a loop that runs its tasks itself.
    pub guest_sources: Vec<GuestSource>,
    /// The reason why the tasks of a guest in a sandbox are not known, if it is not only that the guest does not publish
    /// them.
    pub guest_failure: Option<&'static str>,
    /// The wait of a WASI command; `None` for a loop that drives none.
    pub poll: Option<Poll>,
    /// The ready tasks in the order in which they run, if the snapshot is of one moment; otherwise in the order of their
    /// ids.
    pub queue: Vec<TaskId>,
    /// True if all tasks are as they were at one moment. If the loop changes its tables faster than they can be copied,
    /// each task is as it was at some moment during the copy.
    pub is_of_one_moment: bool,
}

impl Snapshot {
    /// Returns the circles of tasks that wait for each other: none of these waits can ever end, except by a cancellation.
    #[must_use]
    pub fn deadlocks(&self) -> Vec<Vec<TaskId>> {
        let waits: HashMap<TaskId, TaskId> =
            self.tasks.iter().filter_map(|task| Some((task.view.id, waits_only_for(&task.view)?))).collect();
        let mut circles = Vec::new();
        let mut seen: HashMap<TaskId, TaskId> = HashMap::new();
        for task in &self.tasks {
            let (start, mut next) = (task.view.id, task.view.id);
            while let Some(by) = waits.get(&next).copied().filter(|_| !seen.contains_key(&next)) {
                seen.insert(next, start);
                next = by;
            }
            // A walk that comes back to itself has gone around a circle.
            if seen.get(&next) == Some(&start) {
                let mut circle = vec![next];
                while let Some(by) = circle.last().and_then(|last| waits.get(last)).filter(|by| **by != next)
                {
                    circle.push(*by);
                }
                circles.push(circle);
            }
        }
        circles
    }
}

/// Returns the task that alone can end the wait of this one.
pub(crate) fn waits_only_for(task: &TaskView) -> Option<TaskId> {
    let is_open =
        task.state == TaskState::Waiting && task.deadline == Instant::NEVER && task.waits[0].is_none();
    match task.by {
        ExpectedWaker::Task(by) if is_open => Some(by),
        _ => None,
    }
}
