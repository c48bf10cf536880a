//! The state after a step, as the page shows it.

use serde::Serialize;
use sinbin_core::Instant;

/// The state of the loop and its clients after a step.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct Frame {
    /// The number of the step.
    pub step: usize,
    /// The virtual time.
    pub time: String,
    /// The kind of the step.
    pub kind: Kind,
    /// The event of the step, in words.
    pub caption: String,
    /// The task that ran in this step, or runs.
    pub ran: Option<String>,
    /// The tasks: first those in the run queue, in their order, then those that wait, the longest first.
    pub tasks: Vec<Dot>,
    /// The clients, in the order of their numbers.
    pub clients: Vec<ClientRow>,
    /// The jobs.
    pub jobs: Vec<JobRow>,
    /// The lines that the program has printed, and the failures of its tasks, at most the last ones.
    pub output: Vec<String>,
}

/// The kinds of steps.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A task ran to its next wait.
    Run,
    /// Something outside of the loop happened.
    Event,
    /// The loop learned of events.
    Poll,
    /// The loop computed a slice of a job.
    Compute,
    /// The visitor acted.
    You,
    /// Nothing more happens, unless the visitor acts.
    Rest,
}

/// A task.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct Dot {
    /// The id of the task.
    pub id: String,
    /// The task's function, and its client.
    pub name: String,
    /// The place where the task is.
    pub place: Place,
    /// The state of the task, in words.
    pub state: String,
    /// The time since the task came to its place.
    pub waited: String,
    /// The magnitude of that time, from 0 (less than a millisecond) to 4 (a second and more).
    pub age: usize,
    /// The task that is expected to end the wait.
    pub waits_for: Option<String>,
    /// The line of the program where the task is, from 0.
    pub line: Option<usize>,
    /// The number of steps that the task has run.
    pub steps: u32,
}

/// The places of tasks: the run queue, and the bins of waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The task runs.
    Running,
    /// The task is ready.
    Queue,
    /// The task waits to receive.
    Recv,
    /// The task waits to send.
    Send,
    /// The task waits for a job.
    Job,
    /// The task waits for a deadline.
    Time,
    /// The task waits for another task.
    Task,
}

/// A client.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct ClientRow {
    /// The number of the client, from 1.
    pub number: usize,
    /// The requests of the client, in words.
    pub asks: String,
    /// The state of the client, in words.
    pub state: String,
    /// True if the client is slow.
    pub is_slow: bool,
    /// True if the client is cut off.
    pub is_cut: bool,
    /// True if the client has left.
    pub is_gone: bool,
    /// The number of requests and the number of replies.
    pub replies: String,
    /// The longest time of a reply.
    pub longest: String,
    /// The bytes that the server has not received, and those that the client has not.
    pub unread: String,
}

/// A job.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct JobRow {
    /// The id of the job.
    pub id: String,
    /// The computation, and where it is.
    pub text: String,
}

/// The result of playing a part of a run.
#[derive(Clone, Serialize, Debug)]
pub struct Played {
    /// The fragment of the link to this run.
    pub link: String,
    /// The number of the first of the frames.
    pub from: usize,
    /// The frames.
    pub frames: Vec<Frame>,
    /// The number of the last step, if the run has ended.
    pub end: Option<usize>,
}

/// Returns the time since the beginning in milliseconds.
pub(crate) fn time(now: Instant) -> String {
    let micros = now.as_nanos() / 1000;
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}

/// Returns a span in words.
pub(crate) fn span(nanos: u64) -> String {
    match nanos / 1000 {
        micros @ ..1000 => format!("{micros} µs"),
        micros @ 1000..10_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        micros @ 10_000..1_000_000 => format!("{} ms", micros / 1000),
        micros => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// Returns the magnitude of a span.
pub(crate) fn age(nanos: u64) -> usize {
    [1_000_000, 10_000_000, 100_000_000, 1_000_000_000].iter().filter(|least| nanos >= **least).count()
}
