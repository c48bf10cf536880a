//! `sinbin kill`: cancels a task of a running loop.

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use sinbin::observe::{Observed, Snapshot};
use sinbin_cli::{complain, output};

use super::args::{KillArgs, TaskNumber};
use super::{describe, loops, place};

/// The time between two looks at the answer.
const EVERY: Duration = Duration::from_millis(2);

pub(crate) fn run(args: &KillArgs) -> Result<ExitCode, Box<dyn Error>> {
    let limit = args.timeout.0.map(|span| Instant::now() + span);
    let is_late = || limit.is_some_and(|limit| Instant::now() >= limit);
    let (observed, snapshot) = find(args)?;
    if snapshot.state.is_guest {
        return Err("the loop drives a guest, whose tasks are its own: its host cannot cancel them".into());
    }
    let Some(task) = snapshot.tasks.iter().find(|task| args.task.is(task.view.id)) else {
        return Err(missing(&snapshot, args.task).into());
    };
    let (id, named) = (task.view.id, place::named(task, &snapshot.state));
    if describe::is_acceptor(task) {
        return Err(format!(
            "task {named} accepts connections: to stop the server, `sinbin drain {}`",
            args.pid
        )
        .into());
    }
    let mut cancellation = observed.cancel(id)?;
    let is_cancelled = loop {
        match cancellation.answer() {
            Some(answer) => break answer,
            None if is_late() || is_gone(&observed) => {
                complain(unanswered(&observed, &named));
                return Ok(ExitCode::FAILURE);
            }
            None => thread::sleep(EVERY),
        }
    };
    if !is_cancelled {
        return Err(format!("task {named} has ended meanwhile: nothing was cancelled").into());
    }
    while !is_gone(&observed) && observed.has_task(id)? {
        if is_late() {
            complain(format_args!(
                "task {named} is cancelled, and goes on to clean up; a second `sinbin kill` drops it where it waits"
            ));
            return Ok(ExitCode::FAILURE);
        }
        thread::sleep(EVERY);
    }
    output::line_or_end(format_args!("cancelled task {named}: it has ended"));
    Ok(ExitCode::SUCCESS)
}

/// Returns the loop that has the task; the only loop of the process, if no loop has it.
fn find(args: &KillArgs) -> Result<(Observed, Snapshot), Box<dyn Error>> {
    let mut all = Vec::new();
    for observed in loops(&[args.pid])? {
        if args.number.is_none_or(|number| number == observed.number()) {
            let snapshot = observed.snapshot()?;
            all.push((observed, snapshot));
        }
    }
    let has =
        |(_, snapshot): &(Observed, Snapshot)| snapshot.tasks.iter().any(|task| args.task.is(task.view.id));
    if all.iter().any(has) {
        all.retain(has);
    }
    match all.len() {
        0 => Err(format!("process {} has no such loop: see `sinbin ps {0}`", args.pid).into()),
        1 => Ok(all.swap_remove(0)),
        count => {
            Err(format!("{count} loops of the process may have the task: choose one with --loop").into())
        }
    }
}

fn missing(snapshot: &Snapshot, number: TaskNumber) -> String {
    let other = snapshot.tasks.iter().find(|task| task.view.id.index() == number.index);
    match other {
        Some(other) => {
            format!("there is no such task any more; its number is that of task {} now", other.view.id)
        }
        None => "there is no such task".to_owned(),
    }
}

/// Returns true if the loop has ended: its process has closed the memory that it published, or is no more.
fn is_gone(observed: &Observed) -> bool {
    let memory = format!("/proc/{}/fd/{}", observed.pid(), observed.number());
    std::fs::symlink_metadata(memory).is_err()
}

/// Returns the reason why no answer has come.
fn unanswered(observed: &Observed, named: &str) -> String {
    if is_gone(observed) {
        return format!("the loop has ended before it could cancel task {named}");
    }
    let before = observed.state();
    thread::sleep(place::BETWEEN);
    let does = before.and_then(|before| {
        let snapshot = observed.snapshot()?;
        Ok(place::headline(&snapshot, place::is_kept(&before, &snapshot.state)))
    });
    format!(
        "the loop has not taken the command yet, and will cancel task {named} as soon as it does; {}: see `sinbin where {}`",
        does.unwrap_or_default(),
        observed.pid()
    )
}
