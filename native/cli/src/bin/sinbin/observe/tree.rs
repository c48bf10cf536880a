//! `sinbin tree`: which task waits for which.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;
use sinbin::TaskId;
use sinbin::kernel::ExpectedWaker;
use sinbin::observe::{Observed, Snapshot, TaskInfo};
use sinbin_cli::output;

use super::args::TreeArgs;
use super::{describe, loops, tasks};

pub(crate) fn run(args: &TreeArgs) -> Result<ExitCode, Box<dyn Error>> {
    let snapshots = loops(&[args.pid])?.iter().map(Observed::snapshot).collect::<Result<Vec<_>, _>>()?;
    if args.json {
        let all: Vec<_> = snapshots.iter().map(LoopTree::new).collect();
        output::line_or_end(serde_json::to_string(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    for snapshot in &snapshots {
        output::line_or_end(text(snapshot, args.all).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// The tasks by what they wait for.
struct Forest<'a> {
    snapshot: &'a Snapshot,
    tasks: HashMap<TaskId, &'a TaskInfo>,
    /// The tasks that wait for each task.
    waiters: HashMap<TaskId, Vec<&'a TaskInfo>>,
}

impl<'a> Forest<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let tasks = snapshot.tasks.iter().map(|task| (task.view.id, task)).collect();
        let mut waiters: HashMap<_, Vec<_>> = HashMap::new();
        for task in &snapshot.tasks {
            if let ExpectedWaker::Task(by) = task.view.by {
                waiters.entry(by).or_default().push(task);
            }
        }
        Self { snapshot, tasks, waiters }
    }

    /// Returns the tasks that other tasks wait for, and that wait for none themselves.
    fn roots(&self) -> impl Iterator<Item = &'a TaskInfo> {
        let is_root =
            |task: &&TaskInfo| self.waiters.contains_key(&task.view.id) && !self.waits_for_task(task);
        self.snapshot.tasks.iter().filter(is_root)
    }

    fn waits_for_task(&self, task: &TaskInfo) -> bool {
        matches!(task.view.by, ExpectedWaker::Task(by) if self.tasks.contains_key(&by))
    }

    /// Returns the tasks that no task waits for, and that wait for none.
    fn alone(&self) -> Vec<TaskInfo> {
        let is_alone =
            |task: &&TaskInfo| !self.waiters.contains_key(&task.view.id) && !self.waits_for_task(task);
        self.snapshot.tasks.iter().filter(is_alone).cloned().collect()
    }

    fn line(&self, task: &TaskInfo) -> String {
        let state = &self.snapshot.state;
        let waits = describe::waits(task, state);
        let does = match describe::state(task) {
            "waiting" => format!("waits for {waits}"),
            other => other.to_owned(),
        };
        let since = describe::span(state.now.since(task.view.since));
        let name = describe::name(task, state);
        let place = describe::place(task);
        let place = if place.is_empty() { String::new() } else { format!(", spawned at {place}") };
        let name = describe::short(name);
        let space = if name.is_empty() { "" } else { " " };
        format!("{}{space}{name} ({does}, {since}{place})", task.view.id)
    }

    /// Draws the tasks that wait for `task`. A task of a circle is drawn once.
    fn draw(&self, task: TaskId, indent: &str, drawn: &mut HashSet<TaskId>, text: &mut String) {
        let waiters = self.waiters.get(&task).map_or(&[][..], Vec::as_slice);
        for (number, waiter) in waiters.iter().enumerate() {
            let is_last = number + 1 == waiters.len();
            let (branch, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let is_new = drawn.insert(waiter.view.id);
            let again = if is_new { "" } else { " (see above)" };
            writeln!(text, "{indent}{branch}{}{again}", self.line(waiter)).ok();
            if is_new {
                self.draw(waiter.view.id, &format!("{indent}{below}"), drawn, text);
            }
        }
    }
}

/// Returns the tree as text. The tasks below a task wait for it.
fn text(snapshot: &Snapshot, all: bool) -> String {
    let state = &snapshot.state;
    if state.is_guest && snapshot.tasks.is_empty() {
        return tasks::list(snapshot);
    }
    let forest = Forest::new(snapshot);
    let whose = if state.is_guest { "a guest, " } else { "" };
    let count = snapshot.tasks.len();
    let mut text = format!("process {}, loop {}: {whose}{count} tasks\n", state.pid, state.number);
    let mut drawn = HashSet::new();
    for circle in snapshot.deadlocks() {
        writeln!(text, "{}", tasks::deadlock(snapshot, &circle)).ok();
        if let Some(first) = circle.first().and_then(|id| forest.tasks.get(id)) {
            drawn.insert(first.view.id);
            writeln!(text, "{}", forest.line(first)).ok();
            forest.draw(first.view.id, "", &mut drawn, &mut text);
        }
    }
    for root in forest.roots() {
        writeln!(text, "{}", forest.line(root)).ok();
        forest.draw(root.view.id, "", &mut drawn, &mut text);
    }
    let alone = forest.alone();
    if all {
        for task in &alone {
            writeln!(text, "{}", forest.line(task)).ok();
        }
    } else if !alone.is_empty() {
        let count = tasks::summary(&alone);
        writeln!(text, "{} tasks wait for no other task, and none waits for them: {count}", alone.len()).ok();
    }
    text
}

#[derive(Serialize)]
struct LoopTree {
    pid: u32,
    #[serde(rename = "loop")]
    number: u32,
    deadlocks: Vec<Vec<String>>,
    /// Which task waits for which.
    waits: Vec<[String; 2]>,
    alone: Vec<String>,
}

impl LoopTree {
    fn new(snapshot: &Snapshot) -> Self {
        let forest = Forest::new(snapshot);
        let ids = |ids: &[TaskId]| ids.iter().map(ToString::to_string).collect();
        let waits = snapshot.tasks.iter().filter_map(|task| match task.view.by {
            ExpectedWaker::Task(by) => Some([task.view.id.to_string(), by.to_string()]),
            _ => None,
        });
        Self {
            pid: snapshot.state.pid,
            number: snapshot.state.number,
            deadlocks: snapshot.deadlocks().iter().map(|circle| ids(circle)).collect(),
            waits: waits.collect(),
            alone: forest.alone().iter().map(|task| task.view.id.to_string()).collect(),
        }
    }
}
