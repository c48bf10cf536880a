//! The list of a loop's tasks.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use sinbin::observe::{LoopState, Snapshot, TaskInfo};

use super::samples::Samples;
use super::table::table;
use super::{command, describe};

/// Returns the tasks of a loop as text, below a summary, with the shares of time that they ran for if those are known.
pub(crate) fn list(snapshot: &Snapshot, samples: Option<&Samples>) -> String {
    let state = &snapshot.state;
    if let Some(poll) = &snapshot.poll {
        return command::list(snapshot, poll);
    }
    if state.is_guest && snapshot.tasks.is_empty() {
        return sources(snapshot);
    }
    let mut text = format!(
        "{}: {}{} tasks, {}",
        describe::heading(state),
        if state.is_guest { "a guest, " } else { "" },
        snapshot.tasks.len(),
        summary(&snapshot.tasks)
    );
    if state.is_guest {
        write!(text, "; {} turns{}", state.steps, busy(state)).ok();
    }
    if !snapshot.is_of_one_moment {
        text.push_str("; each task as it was at a moment of its own, since the loop is busy");
    }
    text.push('\n');
    for circle in snapshot.deadlocks() {
        writeln!(text, "{}", deadlock(snapshot, &circle)).ok();
    }
    let rows: Vec<_> = snapshot
        .tasks
        .iter()
        .map(|task| {
            let share = samples.map_or(0.0, |samples| samples.share(task.view.id));
            [
                Cow::from(task.view.id.to_string()),
                match samples {
                    Some(_) => format!("{} {:.0} %", describe::state(task), share * 100.0).into(),
                    None => describe::state(task).into(),
                },
                describe::since(task, state).into(),
                describe::waits(task, state).into(),
                describe::name(task, state).into(),
                describe::place(task).into(),
                task.parent.map_or_else(String::new, |parent| parent.to_string()).into(),
            ]
        })
        .collect();
    let state = if samples.is_some() { "STATE, RUNS" } else { "STATE" };
    text + &table(["TASK", state, "SINCE", "WAITS FOR", "NAME", "SPAWNED AT", "PARENT"], &rows)
}

/// Returns the sources of a guest whose tasks are not known as text, below a summary.
fn sources(snapshot: &Snapshot) -> String {
    let state = &snapshot.state;
    let count = snapshot.guest_sources.len();
    let turns = state.steps;
    let mut text = format!(
        "{}: a guest that publishes no tasks, {count} sources, {turns} turns{}",
        describe::heading(state),
        busy(state)
    );
    if let Some(broken) = snapshot.guest_failure {
        write!(text, "; its tables contradict each other: {broken}").ok();
    }
    text.push('\n');
    let rows: Vec<_> = snapshot
        .guest_sources
        .iter()
        .map(|source| {
            [
                Cow::from(source.index.to_string()),
                source.source.kind.name().into(),
                source.source.address.map_or_else(String::new, |address| address.to_string()).into(),
                describe::interest(source.interest).into(),
            ]
        })
        .collect();
    text + &table(["SOURCE", "KIND", "ADDRESS", "GUEST WAITS FOR"], &rows)
}

/// Returns the time for which a loop has run its guest, if it does.
fn busy(state: &LoopState) -> String {
    match state.busy_for() {
        Duration::ZERO => String::new(),
        busy => format!(", busy for {}", describe::span(busy)),
    }
}

/// Returns the number of tasks in each bin that is not empty.
pub(crate) fn summary(tasks: &[TaskInfo]) -> String {
    let counts = describe::BINS.into_iter().zip(describe::count(tasks));
    let parts: Vec<_> =
        counts.filter(|(_, count)| *count > 0).map(|(bin, count)| format!("{count} {bin}")).collect();
    parts.join(", ")
}

/// Returns a line about tasks that wait for each other.
pub(crate) fn deadlock(snapshot: &Snapshot, circle: &[sinbin::TaskId]) -> String {
    let names: Vec<_> = circle
        .iter()
        .map(|id| {
            let task = snapshot.tasks.iter().find(|task| task.view.id == *id);
            let name = task.map_or("", |task| describe::name(task, &snapshot.state));
            let wait = task.and_then(|task| task.waits_for.as_ref());
            let wait = wait.map_or_else(String::new, |wait| format!("for {wait}"));
            let about: Vec<_> =
                [describe::short(name), &wait].into_iter().filter(|part| !part.is_empty()).collect();
            if about.is_empty() { id.to_string() } else { format!("{id} ({})", about.join(", ")) }
        })
        .collect();
    format!("deadlock: these waits can never end: {} -> {}", names.join(" -> "), circle[0])
}
