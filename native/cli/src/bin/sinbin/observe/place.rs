//! `sinbin where`: what a loop does now, and where a task stands.

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use sinbin::WaitTarget;
use sinbin::kernel::ExpectedWaker;
use sinbin::observe::{LoopState, Phase, Snapshot, TaskInfo};
use sinbin_cli::output;

use super::args::PlaceArgs;
use super::command::PollJson;
use super::guest_stack::{GuestStack, guest_stack};
use super::json::TaskJson;
use super::stack::{Stack, stack};
use super::{command, describe, loops, tasks};

/// The time between two looks at a loop that runs. If it takes no step meanwhile, a task keeps it.
pub(crate) const BETWEEN: Duration = Duration::from_millis(50);

/// The maximum number of tasks that are named because they wait for jobs.
const MAX_JOBS: usize = 5;

#[derive(Serialize)]
struct PlaceJson {
    pid: u32,
    #[serde(rename = "loop")]
    number: u32,
    phase: &'static str,
    /// True if one step has kept the loop for the whole time between two looks.
    is_kept: bool,
    busy_ns: u64,
    task: Option<TaskJson>,
    /// The wait of a WASI command.
    poll: Option<PollJson>,
    waits_for: Vec<TaskJson>,
    /// The tasks that have waited longest for jobs.
    jobs: Vec<TaskJson>,
    stack: Option<Vec<String>>,
    stack_missing: Option<String>,
    system_call: Option<String>,
    guest_stack: Option<Vec<String>>,
    guest_stack_age_ns: Option<u64>,
}

/// The stacks of the thread of a loop.
#[derive(Default)]
struct Stacks {
    native: Option<Stack>,
    guest: Option<GuestStack>,
    /// True if a turn of a guest in a sandbox is kept, and its stack is not known.
    lacks_guest: bool,
}

/// The reason why the stack of a guest in a sandbox is not known.
const NO_GUEST_STACK: &str =
    "the stack of a guest is noted at the ticks of a timer, and there was none yet: look again";

pub(crate) fn run(args: &PlaceArgs) -> Result<ExitCode, Box<dyn Error>> {
    let mut found = false;
    let mut all = Vec::new();
    for observed in loops(&[args.pid])? {
        let before = observed.state()?;
        if before.phase != Phase::Waiting {
            thread::sleep(BETWEEN);
        }
        let snapshot = observed.snapshot()?;
        let is_kept = is_kept(&before, &snapshot.state);
        let task = match args.task {
            Some(number) => snapshot.tasks.iter().find(|task| number.is(task.view.id)),
            None => snapshot.tasks.iter().find(|task| task.is_running),
        };
        found |= args.task.is_none() || task.is_some();
        // The stack of the thread says something about the task only if the task runs.
        let is_wanted = task.is_none_or(|task| task.is_running) && snapshot.state.phase != Phase::Waiting;
        let guest = if is_wanted && is_kept { guest_stack(&observed, &snapshot.state)? } else { None };
        // The native stack of a guest in a sandbox has no names.
        let native = (is_wanted && !observed.drives_sandbox()).then(|| stack(&snapshot.state));
        let lacks_guest = is_wanted && is_kept && native.is_none() && guest.is_none();
        let stacks = Stacks { native, guest, lacks_guest };
        if args.json {
            all.push(json(&snapshot, is_kept, task, stacks));
        } else if args.task.is_none() || task.is_some() {
            tell(&snapshot, is_kept, task, stacks);
        }
    }
    if args.json {
        output::line_or_end(serde_json::to_string(&all)?);
    }
    if found { Ok(ExitCode::SUCCESS) } else { Err("there is no such task".into()) }
}

/// Returns true if the loop was in one and the same step, or slice, at both looks.
pub(crate) fn is_kept(before: &LoopState, after: &LoopState) -> bool {
    let is_busy = matches!(after.phase, Phase::Running | Phase::Computing) && before.phase == after.phase;
    is_busy && before.steps == after.steps && before.waits == after.waits && before.turn == after.turn
}

fn tell(snapshot: &Snapshot, is_kept: bool, task: Option<&TaskInfo>, stacks: Stacks) {
    let state = &snapshot.state;
    let line = |text: String| output::line_or_end(text);
    line(headline(snapshot, is_kept));
    if let Some(poll) = &snapshot.poll {
        command::lines(state, poll).into_iter().for_each(line);
    }
    if let Some(task) = task {
        line(format!("task {}: {}", task.view.id, words(task, state)));
        for by in chain(snapshot, task) {
            line(format!("  which is task {}: {}", by.view.id, words(by, state)));
        }
    }
    if task.is_none() {
        for task in longest_jobs(snapshot) {
            line(format!("task {}: {}", task.view.id, words(task, state)));
        }
    }
    for circle in snapshot.deadlocks() {
        line(tasks::deadlock(snapshot, &circle));
    }
    if let Some(stack) = stacks.guest {
        line(format!("stack of the guest, as it was {} ago:", describe::span(stack.age)));
        stack.frames.into_iter().for_each(|frame| line(format!("  {frame}")));
    }
    if stacks.lacks_guest {
        line(NO_GUEST_STACK.to_owned());
    }
    let Some(stack) = stacks.native else { return };
    if let Some(call) = &stack.system_call {
        line(format!("system call: {call}"));
    }
    match stack.frames {
        Ok(frames) => {
            line("native stack:".to_owned());
            frames.into_iter().for_each(|frame| line(format!("  {frame}")));
        }
        Err(missing) => line(format!("no native stack: {missing}")),
    }
}

/// Returns the tasks that have waited longest for jobs, which a worker thread may hang in.
fn longest_jobs(snapshot: &Snapshot) -> Vec<&TaskInfo> {
    let waits_for_job = |task: &&TaskInfo| {
        task.view.waits.iter().flatten().any(|target| matches!(target, WaitTarget::Job(_)))
    };
    let mut tasks: Vec<_> = snapshot.tasks.iter().filter(waits_for_job).collect();
    tasks.sort_by_key(|task| task.view.since);
    tasks.truncate(MAX_JOBS);
    tasks
}

/// Returns a line about what the loop does.
pub(crate) fn headline(snapshot: &Snapshot, is_kept: bool) -> String {
    let state = &snapshot.state;
    let running = snapshot.tasks.iter().find(|task| task.is_running);
    let who = describe::heading(state);
    let busy = describe::span(state.busy_for());
    if let Some(poll) = &snapshot.poll {
        return format!("{who}: the WASI command {}", command::does(state, poll));
    }
    match (state.phase, running) {
        (Phase::Starting, _) => format!("{who}: has not begun"),
        (Phase::Ended, _) => format!("{who}: has ended"),
        (Phase::Running, Some(task)) if state.is_guest && is_kept => {
            let (turn, task) = (state.steps, named(task, state));
            format!("{who}: turn {turn} of the guest has kept the loop for {busy}, in its task {task}")
        }
        (Phase::Running, None) if state.is_guest && is_kept => {
            format!(
                "{who}: turn {} of the guest has kept the loop for {busy}, outside of its tasks",
                state.steps
            )
        }
        (Phase::Running, _) if state.is_guest => format!("{who}: runs turn {} of its guest", state.steps),
        (Phase::Computing, _) if is_kept => format!("{who}: one slice of a job has kept the loop for {busy}"),
        (Phase::Computing, _) => format!("{who}: computes a job on the loop"),
        (Phase::Running, Some(task)) if is_kept => {
            format!("{who}: task {} has kept the loop for {busy}", named(task, state))
        }
        (Phase::Running, Some(task)) => {
            format!("{who}: runs task {} now, in a turn that began {busy} ago", named(task, state))
        }
        (Phase::Running, None) if is_kept => format!("{who}: has been between two tasks for {busy}"),
        (Phase::Running, None) => format!("{who}: is between two tasks, in a turn that began {busy} ago"),
        _ if state.is_guest && snapshot.tasks.is_empty() => {
            format!("{who}: waits for events; its guest publishes no tasks")
        }
        _ => format!(
            "{who}: waits for events; {} tasks{}: {}",
            snapshot.tasks.len(),
            if state.is_guest { " of the guest" } else { "" },
            tasks::summary(&snapshot.tasks)
        ),
    }
}

/// Returns a task with its name and the place where it was spawned.
pub(crate) fn named(task: &TaskInfo, state: &LoopState) -> String {
    let name = describe::name(task, state);
    let place = describe::place(task);
    let place = if place.is_empty() { String::new() } else { format!(", spawned at {place}") };
    let source = task.source.and_then(|source| source.address);
    let peer = source.map_or_else(String::new, |address| format!(", serves {address}"));
    match format!("{name}{place}{peer}") {
        what if what.is_empty() => task.view.id.to_string(),
        what => format!("{} ({})", task.view.id, what.trim_start_matches(", ")),
    }
}

fn words(task: &TaskInfo, state: &LoopState) -> String {
    let name = describe::name(task, state);
    let since = describe::span(state.now.since(task.view.since));
    let place = describe::place(task);
    let place = if place.is_empty() { String::new() } else { format!(", spawned at {place}") };
    let does = match describe::state(task) {
        "waiting" => format!("has waited for {since} for {}", describe::waits(task, state)),
        "running" => format!("has run for {}", describe::since(task, state).replace("< ", "at most ")),
        _ => format!("has been in the run queue for {since}"),
    };
    format!("{name}{place}, {does}").trim_start_matches(", ").to_owned()
}

/// Returns the tasks that end each other's waits, beginning with the one that ends the wait of `task`.
fn chain<'a>(snapshot: &'a Snapshot, task: &TaskInfo) -> Vec<&'a TaskInfo> {
    let mut chain: Vec<&TaskInfo> = Vec::new();
    let mut by = task.view.by;
    while let ExpectedWaker::Task(id) = by {
        let is_seen = id == task.view.id || chain.iter().any(|seen| seen.view.id == id);
        let Some(next) = snapshot.tasks.iter().find(|task| task.view.id == id).filter(|_| !is_seen) else {
            break;
        };
        chain.push(next);
        by = next.view.by;
    }
    chain
}

fn json(snapshot: &Snapshot, is_kept: bool, task: Option<&TaskInfo>, stacks: Stacks) -> PlaceJson {
    let state = &snapshot.state;
    let (guest_stack, age) = stacks.guest.map(|stack| (stack.frames, stack.age)).unzip();
    let (system_call, frames) = match stacks.native {
        Some(stack) => (stack.system_call, Some(stack.frames)),
        None => (None, None),
    };
    let (stack, stack_missing) = match frames {
        Some(Ok(frames)) => (Some(frames), None),
        Some(Err(missing)) => (None, Some(missing)),
        None => (None, stacks.lacks_guest.then(|| NO_GUEST_STACK.to_owned())),
    };
    PlaceJson {
        pid: state.pid,
        number: state.number,
        phase: state.phase.name(),
        is_kept,
        busy_ns: u64::try_from(state.busy_for().as_nanos()).unwrap_or(u64::MAX),
        task: task.map(|task| TaskJson::new(task, state)),
        poll: snapshot.poll.as_ref().map(|poll| PollJson::new(poll, state)),
        waits_for: task.map_or_else(Vec::new, |task| {
            chain(snapshot, task).into_iter().map(|task| TaskJson::new(task, state)).collect()
        }),
        jobs: longest_jobs(snapshot).into_iter().map(|task| TaskJson::new(task, state)).collect(),
        stack,
        stack_missing,
        system_call,
        guest_stack,
        guest_stack_age_ns: age.map(|age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)),
    }
}
