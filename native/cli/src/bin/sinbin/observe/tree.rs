//! `sinbin tree`: which task waits for which.

use std::collections::{BTreeMap, HashMap, HashSet};
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

/// The indentation, in characters, below which no further tasks are drawn.
const MAX_INDENT: usize = 150;

/// The tasks by what they wait for.
struct Forest<'a> {
    snapshot: &'a Snapshot,
    tasks: HashMap<TaskId, &'a TaskInfo>,
    /// The tasks that wait for each task.
    waiters: HashMap<TaskId, Vec<&'a TaskInfo>>,
    /// The tasks that wait for named synchronizers, and for no task of which that is known.
    synchronizers: BTreeMap<String, Vec<&'a TaskInfo>>,
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
        let mut forest = Self { snapshot, tasks, waiters, synchronizers: BTreeMap::new() };
        for task in &snapshot.tasks {
            if let Some(wait) = task.waits_for.as_ref().filter(|_| !forest.waits_for_task(task)) {
                forest.synchronizers.entry(wait.to_string()).or_default().push(task);
            }
        }
        forest
    }

    /// Returns the tasks that other tasks wait for, and that wait for no task or named synchronizer themselves.
    fn roots(&self) -> impl Iterator<Item = &'a TaskInfo> {
        let is_root = |task: &&TaskInfo| {
            self.waiters.contains_key(&task.view.id) && !self.waits_for_task(task) && task.waits_for.is_none()
        };
        self.snapshot.tasks.iter().filter(is_root)
    }

    fn waits_for_task(&self, task: &TaskInfo) -> bool {
        matches!(task.view.by, ExpectedWaker::Task(by) if self.tasks.contains_key(&by))
    }

    /// Returns the tasks that no task waits for, and that wait for no task or named synchronizer.
    fn alone(&self) -> Vec<TaskInfo> {
        let is_alone = |task: &&TaskInfo| {
            !self.waiters.contains_key(&task.view.id)
                && !self.waits_for_task(task)
                && task.waits_for.is_none()
        };
        self.snapshot.tasks.iter().filter(is_alone).cloned().collect()
    }

    fn line(&self, task: &TaskInfo) -> String {
        let state = &self.snapshot.state;
        let waits = describe::waits(task, state);
        let does = match describe::state(task) {
            "waiting" => format!("waits for {waits}"),
            other => other.to_owned(),
        };
        let since = describe::since(task, state);
        let name = describe::name(task, state);
        let place = describe::place(task);
        let place = if place.is_empty() { String::new() } else { format!(", spawned at {place}") };
        let name = describe::short(name);
        let space = if name.is_empty() { "" } else { " " };
        format!("{}{space}{name} ({does}, {since}{place})", task.view.id)
    }

    /// Draws the tasks that wait for `task`. A task of a circle is drawn once.
    fn draw(&self, task: TaskId, indent: &str, drawn: &mut HashSet<TaskId>, text: &mut String) {
        let wait = self.tasks.get(&task).and_then(|task| task.waits_for.as_ref());
        let waiters =
            self.waiters_of(task).filter(|waiter| wait.is_none() || waiter.waits_for.as_ref() != wait);
        self.draw_all(waiters.collect(), indent, drawn, text);
    }

    /// Draws tasks that wait for one thing, each with those that wait for it. The tasks behind them in the queue of a
    /// named lock are drawn at the same level.
    fn draw_all(
        &self,
        mut waiters: Vec<&'a TaskInfo>,
        indent: &str,
        drawn: &mut HashSet<TaskId>,
        text: &mut String,
    ) {
        if indent.chars().count() > MAX_INDENT {
            writeln!(text, "{indent}└─ … ({} tasks and those that wait for them)", waiters.len()).ok();
            return;
        }
        let mut number = 0;
        while let Some(waiter) = waiters.get(number).copied() {
            number += 1;
            let is_new = drawn.insert(waiter.view.id);
            if is_new && waiter.waits_for.is_some() {
                let behind = self.waiters_of(waiter.view.id);
                waiters.extend(behind.filter(|behind| behind.waits_for == waiter.waits_for));
            }
            let (branch, below) =
                if number == waiters.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let again = if is_new { "" } else { " (see above)" };
            writeln!(text, "{indent}{branch}{}{again}", self.line(waiter)).ok();
            if is_new {
                self.draw(waiter.view.id, &format!("{indent}{below}"), drawn, text);
            }
        }
    }

    fn waiters_of(&self, task: TaskId) -> impl Iterator<Item = &'a TaskInfo> {
        self.waiters.get(&task).into_iter().flatten().copied()
    }
}

/// Returns the tree as text. The tasks below a task wait for it.
fn text(snapshot: &Snapshot, all: bool) -> String {
    let state = &snapshot.state;
    if state.is_guest && snapshot.tasks.is_empty() {
        return tasks::list(snapshot, None);
    }
    let forest = Forest::new(snapshot);
    let whose = if state.is_guest { "a guest, " } else { "" };
    let count = snapshot.tasks.len();
    let mut text = format!("{}: {whose}{count} tasks\n", describe::heading(state));
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
    for (name, waiters) in &forest.synchronizers {
        writeln!(text, "{name}").ok();
        forest.draw_all(waiters.clone(), "", &mut drawn, &mut text);
    }
    let beside = snapshot.stuck().len() - snapshot.deadlocks().iter().map(Vec::len).sum::<usize>();
    if beside > 0 {
        writeln!(text, "{beside} more tasks wait for those of a deadlock: their waits can never end either")
            .ok();
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
    /// The tasks whose waits can never end: those of the deadlocks, and those that wait for them.
    stuck: Vec<String>,
    /// The tasks that wait for each named lock, channel or other synchronizer, if no task of that is known.
    synchronizers: BTreeMap<String, Vec<String>>,
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
            stuck: ids(&snapshot.stuck()),
            synchronizers: forest
                .synchronizers
                .iter()
                .map(|(name, waiters)| {
                    (name.clone(), waiters.iter().map(|task| task.view.id.to_string()).collect())
                })
                .collect(),
            waits: waits.collect(),
            alone: forest.alone().iter().map(|task| task.view.id.to_string()).collect(),
        }
    }
}
