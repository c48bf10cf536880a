//! The JSON form of a loop and its tasks. Spans are in nanoseconds, ids are "index.generation".

use serde::Serialize;
use sinbin::WaitTarget;
use sinbin::kernel::{ExpectedWaker, TaskState};
use sinbin::observe::{Counter, GuestSource, LoopState, Snapshot, Source, TaskInfo, WaitName};

use super::command::PollJson;
use super::describe;
use super::samples::Samples;

#[derive(Serialize)]
pub(crate) struct LoopJson {
    pid: u32,
    #[serde(rename = "loop")]
    number: u32,
    thread: u32,
    service: Option<String>,
    started: String,
    phase: &'static str,
    busy_ns: u64,
    draining: bool,
    waits: u64,
    steps: u64,
    events: u64,
    open_connections: u64,
    connections: u64,
    turned_away: u64,
    failed: u64,
    jobs: u64,
    cancelled_jobs: u64,
    received_bytes: u64,
    sent_bytes: u64,
    blocks_lent: u64,
    blocks_committed: u64,
    max_connections: u64,
    max_buffered: u64,
    max_jobs: u64,
    workers: u64,
}

/// A loop with its tasks.
#[derive(Serialize)]
pub(crate) struct SnapshotJson {
    #[serde(flatten)]
    pub(crate) state: LoopJson,
    is_guest: bool,
    is_command: bool,
    /// The wait of a WASI command.
    poll: Option<PollJson>,
    guest_sources: Vec<GuestSourceJson>,
    guest_failure: Option<&'static str>,
    of_one_moment: bool,
    queue: Vec<String>,
    deadlocks: Vec<Vec<String>>,
    /// The tasks whose waits can never end.
    stuck: Vec<String>,
    pub(crate) tasks: Vec<TaskJson>,
}

#[derive(Serialize)]
pub(crate) struct TaskJson {
    pub(crate) id: String,
    name: String,
    spawned_at: Option<String>,
    state: &'static str,
    since_ns: u64,
    /// The time for which the present step of a task that runs has taken at most.
    step_ns: Option<u64>,
    /// True if the step has taken exactly that time.
    step_is_exact: bool,
    age_ns: Option<u64>,
    /// The share of the time that the task ran for, if it was sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<f64>,
    bin: &'static str,
    waits: Vec<WaitJson>,
    waits_for: String,
    deadline_ns: Option<u64>,
    by: Option<String>,
    parent: Option<String>,
    synchronizer: Option<SynchronizerJson>,
    serves: Option<SourceJson>,
}

#[derive(Serialize)]
struct WaitJson {
    event: &'static str,
    id: String,
    #[serde(flatten)]
    source: Option<SourceJson>,
}

/// A named lock, channel or other synchronizer that a task waits for.
#[derive(Serialize)]
struct SynchronizerJson {
    kind: String,
    name: String,
}

impl From<&WaitName> for SynchronizerJson {
    fn from(wait: &WaitName) -> Self {
        Self { kind: format!("{:?}", wait.kind).to_lowercase(), name: wait.label.name.clone() }
    }
}

#[derive(Serialize)]
pub(crate) struct GuestSourceJson {
    index: usize,
    #[serde(flatten)]
    source: SourceJson,
    waits_for: String,
}

impl GuestSourceJson {
    pub(crate) fn new(source: &GuestSource) -> Self {
        Self {
            index: source.index,
            source: source.source.into(),
            waits_for: describe::interest(source.interest),
        }
    }
}

#[derive(Serialize)]
struct SourceJson {
    kind: &'static str,
    address: Option<String>,
}

impl From<Source> for SourceJson {
    fn from(source: Source) -> Self {
        Self { kind: source.kind.name(), address: source.address.map(|address| address.to_string()) }
    }
}

/// Returns a span in nanoseconds.
pub(crate) fn nanos(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl LoopJson {
    pub(crate) fn new(state: &LoopState) -> Self {
        Self {
            pid: state.pid,
            number: state.number,
            thread: state.thread,
            service: state.service.clone(),
            started: humantime::format_rfc3339_millis(state.started).to_string(),
            phase: state.phase.name(),
            busy_ns: nanos(state.busy_for()),
            draining: state.draining,
            waits: state.waits,
            steps: state.steps,
            events: state.events,
            open_connections: state.counter(Counter::Open),
            connections: state.counter(Counter::Connections),
            turned_away: state.counter(Counter::TurnedAway),
            failed: state.counter(Counter::Failed),
            jobs: state.counter(Counter::Jobs),
            cancelled_jobs: state.counter(Counter::Cancelled),
            received_bytes: state.counter(Counter::Received),
            sent_bytes: state.counter(Counter::Sent),
            blocks_lent: state.counter(Counter::BlocksLent),
            blocks_committed: state.counter(Counter::BlocksCommitted),
            max_connections: state.max_connections,
            max_buffered: state.max_buffered,
            max_jobs: state.max_jobs,
            workers: state.workers,
        }
    }
}

impl SnapshotJson {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let ids = |ids: &[sinbin::TaskId]| ids.iter().map(ToString::to_string).collect();
        Self {
            state: LoopJson::new(&snapshot.state),
            is_guest: snapshot.state.is_guest,
            is_command: snapshot.state.is_command,
            poll: snapshot.poll.as_ref().map(|poll| PollJson::new(poll, &snapshot.state)),
            guest_sources: snapshot.guest_sources.iter().map(GuestSourceJson::new).collect(),
            guest_failure: snapshot.guest_failure,
            of_one_moment: snapshot.is_of_one_moment,
            queue: ids(&snapshot.queue),
            deadlocks: snapshot.deadlocks().iter().map(|circle| ids(circle)).collect(),
            stuck: ids(&snapshot.stuck()),
            tasks: snapshot.tasks.iter().map(|task| TaskJson::new(task, &snapshot.state)).collect(),
        }
    }
}

impl SnapshotJson {
    /// Adds the shares of time that the tasks ran for.
    pub(crate) fn sampled(mut self, snapshot: &Snapshot, samples: &Samples) -> Self {
        for (json, task) in self.tasks.iter_mut().zip(&snapshot.tasks) {
            json.runs = Some(samples.share(task.view.id));
        }
        self
    }
}

impl TaskJson {
    pub(crate) fn new(task: &TaskInfo, state: &LoopState) -> Self {
        let view = &task.view;
        let by = match view.by {
            ExpectedWaker::Task(by) => Some(by.to_string()),
            ExpectedWaker::Outside => Some("outside".to_owned()),
            ExpectedWaker::Anyone => None,
        };
        let wait = |target: &WaitTarget| {
            let (event, id, source) = match target {
                WaitTarget::Recv(id) => ("recv", id.to_string(), Some(id)),
                WaitTarget::Send(id) => ("send", id.to_string(), Some(id)),
                WaitTarget::Hangup(id) => ("hangup", id.to_string(), Some(id)),
                WaitTarget::Job(id) => ("job", id.to_string(), None),
            };
            let source = source.and_then(|id| task.waits_on.iter().find(|(source, _)| source == id));
            WaitJson { event, id, source: source.map(|(_, source)| (*source).into()) }
        };
        Self {
            id: view.id.to_string(),
            name: describe::name(task, state).to_owned(),
            spawned_at: task.label.as_ref().and_then(|label| label.spawned.clone()),
            state: describe::state(task),
            since_ns: nanos(state.now.since(view.since)),
            step_ns: task.step.map(|step| nanos(state.now.since(step.turn))),
            step_is_exact: task.step.is_some_and(|step| step.is_first),
            age_ns: task.spawned.map(|spawned| nanos(state.now.since(spawned))),
            runs: None,
            bin: describe::bin(task),
            waits: view.waits.iter().flatten().map(wait).collect(),
            waits_for: describe::waits(task, state),
            deadline_ns: describe::deadline(task, state).map(nanos),
            by: by.filter(|_| view.state == TaskState::Waiting),
            parent: task.parent.map(|parent| parent.to_string()),
            synchronizer: task.waits_for.as_ref().map(Into::into),
            serves: task.source.map(Into::into),
        }
    }
}
