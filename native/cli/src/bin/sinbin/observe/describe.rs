//! Words for what is seen of a loop.

use std::time::Duration;

use sinbin::kernel::{ExpectedWaker, TaskState};
use sinbin::observe::{LoopState, Source, SourceKind, TaskInfo};
use sinbin::{Instant, Interest, SourceId, WaitTarget};

/// Returns the process and the number of a loop, and the name of the guest that it runs.
pub(crate) fn heading(state: &LoopState) -> String {
    let guest = state.service.as_ref().filter(|_| state.is_guest);
    let guest = guest.map_or_else(String::new, |guest| format!(" ({guest})"));
    format!("process {}, loop {}{guest}", state.pid, state.number)
}

/// Returns a span in the unit that fits, such as "1.2 s", rounded down.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match () {
        () if seconds >= 86_400 => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
        () if seconds >= 3600 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        () if seconds >= 60 => format!("{} min {} s", seconds / 60, seconds % 60),
        () if seconds >= 10 => format!("{seconds} s"),
        () if seconds >= 1 => format!("{seconds}.{} s", span.subsec_millis() / 100),
        () if span.as_millis() >= 1 => format!("{} ms", span.as_millis()),
        () => format!("{} µs", span.as_micros()),
    }
}

/// Returns the state of a task in one word.
pub(crate) fn state(task: &TaskInfo) -> &'static str {
    match task.view.state {
        TaskState::Ready if task.is_running => "running",
        TaskState::Ready => "ready",
        TaskState::Waiting => "waiting",
    }
}

/// Returns the time since which a task is in its state: of a task that runs, since its step began at the earliest.
pub(crate) fn since(task: &TaskInfo, state: &LoopState) -> String {
    match task.step {
        Some(step) if step.is_first => span(state.now.since(step.turn)),
        Some(step) => format!("< {}", span(state.now.since(step.turn))),
        None => span(state.now.since(task.view.since)),
    }
}

/// Returns true if the task accepts connections for its loop.
pub(crate) fn is_acceptor(task: &TaskInfo) -> bool {
    task.source.is_some_and(|source| source.kind == SourceKind::Listener)
}

/// Returns the name of a task: that of its `async fn`, its role, or that of its service.
pub(crate) fn name<'a>(task: &'a TaskInfo, state: &'a LoopState) -> &'a str {
    let role = task.source.map(|source| source.kind);
    match (&task.label, role) {
        (Some(label), _) => &label.name,
        (None, Some(SourceKind::Listener)) => "accept",
        (None, Some(SourceKind::Lingering)) => "linger",
        (None, Some(_)) => state.service.as_deref().unwrap_or(""),
        (None, None) => "",
    }
}

/// Returns the last part of a path of a type or function, for narrow columns.
pub(crate) fn short(name: &str) -> &str {
    let path = name.split('<').next().unwrap_or(name);
    let start = path.rmatch_indices("::").nth(1).map_or(0, |(at, _)| at + 2);
    path.get(start..).unwrap_or(name)
}

/// Returns the place where a task was spawned.
pub(crate) fn place(task: &TaskInfo) -> &str {
    task.label.as_ref().and_then(|label| label.spawned.as_deref()).unwrap_or("")
}

/// Returns what a task waits for, in words.
pub(crate) fn waits(task: &TaskInfo, state: &LoopState) -> String {
    let view = &task.view;
    if view.state == TaskState::Ready {
        return String::new();
    }
    let mut parts: Vec<String> =
        view.waits.iter().flatten().map(|target| self::target(task, *target)).collect();
    if let Some(wait) = &task.waits_for {
        // The task is the holder of a lock, or the one ahead in the queue for it.
        parts.push(match view.by {
            ExpectedWaker::Task(by) => format!("{wait}, after task {by}"),
            _ => wait.to_string(),
        });
    }
    if parts.is_empty() {
        match view.by {
            ExpectedWaker::Task(by) => parts.push(format!("task {by}")),
            ExpectedWaker::Outside => parts.push("a wake from outside".to_owned()),
            ExpectedWaker::Anyone if view.deadline == Instant::NEVER => parts.push("a wake".to_owned()),
            ExpectedWaker::Anyone => {}
        }
    }
    let words = parts.join(" or ");
    match (deadline(task, state), words.is_empty()) {
        (None, _) => words,
        (Some(left), true) => format!("time: {}", span(left)),
        (Some(left), false) => format!("{words}, at most {}", span(left)),
    }
}

/// Returns the time that is left until a task's deadline, if it has one.
pub(crate) fn deadline(task: &TaskInfo, state: &LoopState) -> Option<Duration> {
    let deadline = task.view.deadline;
    (deadline != Instant::NEVER).then(|| deadline.since(state.now))
}

fn target(task: &TaskInfo, target: WaitTarget) -> String {
    let on = |verb: &str, preposition: &str, id: SourceId| {
        let source = task.waits_on.iter().find(|(source, _)| *source == id).map(|(_, source)| source);
        match source {
            Some(Source { address: Some(address), .. }) => format!("{verb} {preposition} {address}"),
            Some(Source { kind: SourceKind::Unknown, .. }) | None => {
                format!("{verb} {preposition} source {id}")
            }
            Some(source) => format!("{verb} {preposition} source {id} ({})", source.kind.name()),
        }
    };
    let is_listener = |id: SourceId| {
        task.waits_on.iter().any(|(source, what)| *source == id && what.kind == SourceKind::Listener)
    };
    match target {
        WaitTarget::Recv(id) if is_listener(id) => on("accept", "on", id),
        WaitTarget::Recv(id) => on("recv", "from", id),
        WaitTarget::Send(id) => on("send", "to", id),
        WaitTarget::Hangup(id) if is_listener(id) => on("capacity", "for", id),
        WaitTarget::Hangup(id) => on("hangup", "of", id),
        WaitTarget::Job(job) => format!("job {job}"),
    }
}

/// Returns what a guest waits for on a source.
pub(crate) fn interest(interest: Interest) -> String {
    let all = [(Interest::RECV, "recv"), (Interest::SEND, "send"), (Interest::HANGUP, "hangup")];
    let names: Vec<_> =
        all.iter().filter(|(one, _)| interest.contains(*one)).map(|(_, name)| *name).collect();
    names.join(" or ")
}

/// Returns the bin that a task is in, for counts: ready, or the first thing that it waits for.
pub(crate) fn bin(task: &TaskInfo) -> &'static str {
    if task.view.state == TaskState::Ready {
        return "ready";
    }
    match task.view.waits[0] {
        Some(WaitTarget::Recv(id)) => {
            let is_listener =
                |(source, what): &(SourceId, Source)| *source == id && what.kind == SourceKind::Listener;
            if task.waits_on.iter().any(is_listener) { "accept" } else { "recv" }
        }
        Some(WaitTarget::Send(_)) => "send",
        Some(WaitTarget::Hangup(_)) => "hangup",
        Some(WaitTarget::Job(_)) => "job",
        None => match task.view.by {
            ExpectedWaker::Task(_) => "task",
            ExpectedWaker::Outside => "outside",
            ExpectedWaker::Anyone if task.view.deadline == Instant::NEVER => "wake",
            ExpectedWaker::Anyone => "time",
        },
    }
}

/// All bins, in the order in which they are shown.
pub(crate) const BINS: [&str; 10] =
    ["ready", "accept", "recv", "send", "hangup", "job", "time", "task", "wake", "outside"];

/// Returns the number of tasks in each of the [`BINS`].
pub(crate) fn count(tasks: &[TaskInfo]) -> [u64; BINS.len()] {
    let mut counts = [0; BINS.len()];
    for task in tasks {
        let bin = bin(task);
        if let Some(at) = BINS.iter().position(|name| *name == bin) {
            counts[at] += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_the_unit_that_fits() {
        let told = [0, 999, 1_000, 1_299_999, 59_999_999, 61_000_000, 3_700_000_000, 90_000_000_000]
            .map(|micros| span(Duration::from_micros(micros)));
        let expected = ["0 µs", "999 µs", "1 ms", "1.2 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_path_is_shortened_to_its_last_two_parts() {
        assert_eq!(short("my_crate::service::handler"), "service::handler");
        assert_eq!(short("handler"), "handler");
        assert_eq!(short("a::b::C<d::E, f::G>"), "b::C");
    }
}
