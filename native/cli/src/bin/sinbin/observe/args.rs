//! The arguments of the commands that look at running loops.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sinbin::TaskId;
use sinbin_cli::address::address;
use sinbin_cli::span::{Span, span};

#[derive(Args)]
pub(crate) struct PsArgs {
    /// Processes whose tasks to list; without one, lists the loops of all processes.
    #[arg(value_name = "PID")]
    pub(crate) pids: Vec<u32>,
    /// Look two thousand times a second for this long, and list the share of the time that each task ran for.
    #[arg(long, value_name = "SPAN", requires = "pids", value_parser = some_span)]
    pub(crate) sample: Option<Duration>,
    /// Print one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct TreeArgs {
    /// Process to look at.
    #[arg(value_name = "PID")]
    pub(crate) pid: u32,
    /// List the tasks that wait for no other task, too, instead of their number.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct PlaceArgs {
    /// Process to look at.
    #[arg(value_name = "PID")]
    pub(crate) pid: u32,
    /// Task to look at, such as 17 or 17.3 (default: the one that runs).
    #[arg(value_name = "TASK", value_parser = task)]
    pub(crate) task: Option<TaskNumber>,
    /// Print one JSON document.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct KillArgs {
    /// Process of the task.
    #[arg(value_name = "PID")]
    pub(crate) pid: u32,
    /// Task to cancel, with its generation, such as 17.3.
    #[arg(value_name = "TASK", value_parser = whole_task)]
    pub(crate) task: TaskNumber,
    /// Loop of the task, if the process has several: its number in `sinbin ps`.
    #[arg(long = "loop", value_name = "LOOP")]
    pub(crate) number: Option<u32>,
    /// Fail if the task has not ended after this time; "off" to wait for ever. The command is not withdrawn.
    #[arg(long, default_value = "10s", value_name = "SPAN", value_parser = span)]
    pub(crate) timeout: Span,
}

#[derive(Args)]
pub(crate) struct DrainArgs {
    /// Process to end.
    #[arg(value_name = "PID")]
    pub(crate) pid: u32,
    /// Fail if the process has not ended after this time; "off" to wait for ever. The process goes on to drain.
    #[arg(long, default_value = "1m", value_name = "SPAN", value_parser = span)]
    pub(crate) timeout: Span,
}

#[derive(Args)]
pub(crate) struct EventsArgs {
    /// Process to look at.
    #[arg(value_name = "PID")]
    pub(crate) pid: u32,
    /// Print only the events of this task, such as 17 or 17.3.
    #[arg(long, value_name = "TASK", value_parser = task)]
    pub(crate) task: Option<TaskNumber>,
    /// Print only events of this kind; may be repeated.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub(crate) kind: Vec<&'static str>,
    /// Print only the events of the source with this index.
    #[arg(long, value_name = "INDEX")]
    pub(crate) source: Option<u32>,
    /// Print the last events, and end, instead of waiting for further ones.
    #[arg(long)]
    pub(crate) once: bool,
    /// Print each event as a JSON object, one a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the events as a trace for ui.perfetto.dev instead: tasks, connections and jobs as slices on tracks, and spawns
    /// as arrows. Ctrl-C ends it.
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["json", "task", "kind", "source"])]
    pub(crate) perfetto: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct TopArgs {
    /// Processes to look at; without one, looks at all.
    #[arg(value_name = "PID")]
    pub(crate) pids: Vec<u32>,
    /// Time between two looks.
    #[arg(long, default_value = "500ms", value_name = "SPAN", value_parser = span)]
    pub(crate) every: Span,
    /// Order of the tasks at first; the keys s, w, n and t change it.
    #[arg(long, default_value = "since", value_enum)]
    pub(crate) sort: Sort,
    /// Print one JSON document for each look, one a line, instead of showing a picture.
    #[arg(long)]
    pub(crate) json: bool,
    /// End after so many looks.
    #[arg(long, value_name = "N")]
    pub(crate) looks: Option<u64>,
}

/// An order of tasks.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// The task that has been in its state for the longest time first.
    Since,
    /// By what they wait for.
    Waits,
    /// By name.
    Name,
    /// By id.
    Task,
}

#[derive(Args)]
pub(crate) struct MonitorArgs {
    /// Processes to look at; without one, looks at all, including those that start later.
    #[arg(value_name = "PID")]
    pub(crate) pids: Vec<u32>,
    /// Address to listen on. Every client that can connect can read the names of
    /// tasks and the addresses of peers.
    #[arg(long, default_value = "127.0.0.1:9000", value_name = "ADDR:PORT", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// Answer requests that name this host so; may be repeated. Its addresses and localhost are always answered.
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,
    /// Time between two looks for the page, at least 100ms. One look serves all viewers, and without a viewer none is taken.
    #[arg(long, default_value = "500ms", value_name = "SPAN", value_parser = span)]
    pub(crate) every: Span,
    /// Maximum number of pages that are shown at a time.
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) max_viewers: usize,
    /// End when the processes have ended.
    #[arg(long, requires = "pids")]
    pub(crate) until_gone: bool,
}

#[derive(Args)]
pub(crate) struct WatchArgs {
    /// Process to look at.
    #[arg(value_name = "PID")]
    pub(crate) pid: u32,
    /// Time for which a task may keep the loop.
    #[arg(long, default_value = "1s", value_name = "SPAN", value_parser = span)]
    pub(crate) stall_after: Span,
}

/// The id of a task, or only its index.
#[derive(Clone, Copy)]
pub(crate) struct TaskNumber {
    pub(crate) index: usize,
    generation: Option<u32>,
}

impl TaskNumber {
    /// Returns true if it stands for this task.
    pub(crate) fn is(self, task: TaskId) -> bool {
        let generation = task.to_bits() >> 32;
        self.index == task.index() && self.generation.is_none_or(|own| u64::from(own) == generation)
    }
}

fn task(text: &str) -> Result<TaskNumber, String> {
    let parse =
        |text: &str| text.parse::<u32>().map_err(|_| "expected a task, such as 17 or 17.3".to_owned());
    let (index, generation) = match text.split_once('.') {
        Some((index, generation)) => (parse(index)?, Some(parse(generation)?)),
        None => (parse(text)?, None),
    };
    Ok(TaskNumber { index: index as usize, generation })
}

/// Parses a span that has an end.
fn some_span(text: &str) -> Result<Duration, String> {
    span(text)?.0.ok_or_else(|| "expected a span such as 1s".to_owned())
}

/// Parses a whole id: the index alone may stand for another task by the time the command is run.
fn whole_task(text: &str) -> Result<TaskNumber, String> {
    let number = task(text)?;
    match number.generation {
        Some(_) => Ok(number),
        None => {
            Err("expected a task with its generation, such as 17.3: `sinbin ps PID` lists them".to_owned())
        }
    }
}

fn kind(text: &str) -> Result<&'static str, String> {
    let mut names = sinbin::observe::EventKind::all().into_iter().map(sinbin::observe::EventKind::name);
    names.find(|name| *name == text).ok_or_else(|| {
        let names = sinbin::observe::EventKind::all().map(sinbin::observe::EventKind::name);
        format!("expected one of {}", names.join(", "))
    })
}
