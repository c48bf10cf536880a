//! `sinbin events`: what happens in a loop, one line each.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use sinbin::observe::{Event, EventKind, ObserveError, Observed};
use sinbin_cli::signals::{interrupted, keep_signals};
use sinbin_cli::{complain, output};

use super::args::EventsArgs;
use super::event_trace::EventTrace;
use super::loops;

/// The time between two looks at the ring, which holds 1024 events.
const EVERY: Duration = Duration::from_millis(20);

#[derive(Serialize)]
struct EventJson {
    #[serde(rename = "loop")]
    number: u32,
    event: u64,
    at_ns: u64,
    kind: &'static str,
    task: Option<String>,
    parent: Option<u32>,
    source: Option<u32>,
    job: Option<u32>,
}

pub(crate) fn run(args: &EventsArgs) -> Result<ExitCode, Box<dyn Error>> {
    match &args.perfetto {
        Some(path) => trace(args, path),
        None => follow(args, |observed, events| {
            events
                .iter()
                .filter(|event| is_wanted(args, event))
                .try_for_each(|event| print(args, observed, event))
        }),
    }
}

/// Passes the events of all loops to `tell`, as they come, until the process ends or a signal arrives.
fn follow(
    args: &EventsArgs,
    mut tell: impl FnMut(&Observed, &[Event]) -> Result<(), Box<dyn Error>>,
) -> Result<ExitCode, Box<dyn Error>> {
    let loops = loops(&[args.pid])?;
    let mut seen: HashMap<u32, u64> = HashMap::new();
    loop {
        for observed in &loops {
            let last = seen.entry(observed.number()).or_default();
            let events = observed.events_after(*last);
            let Some(newest) = events.last() else { continue };
            let missed = newest.number - *last - events.len() as u64;
            if missed > 0 && *last > 0 {
                complain(format_args!("{missed} events were missed: they came faster than they were read"));
            }
            *last = newest.number;
            tell(observed, &events)?;
        }
        if args.once || interrupted() {
            return Ok(ExitCode::SUCCESS);
        }
        thread::sleep(EVERY);
        match super::loops(&[args.pid]) {
            Ok(_) => {}
            // The process has ended, or is another one.
            Err(ObserveError::NoProcess(_) | ObserveError::NothingPublished(_)) => {
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes the events as a trace for perfetto to `path`.
fn trace(args: &EventsArgs, path: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let failed = |error: io::Error| format!("cannot write {}: {error}", path.display());
    keep_signals()?;
    // A process that cannot be looked at leaves no file.
    loops(&[args.pid])?;
    let mut trace = EventTrace::new(BufWriter::new(File::create(path).map_err(failed)?)).map_err(failed)?;
    let ended = follow(args, |observed, events| {
        events.iter().try_for_each(|event| trace.event(observed.number(), event)).map_err(failed)?;
        // A reader of the file sees meanwhile what has happened.
        Ok(trace.flush().map_err(failed)?)
    });
    let count = trace.finish().map_err(failed)?;
    let code = ended?;
    output::line_or_end(format_args!("{count} events in {}", path.display()));
    Ok(code)
}

fn print(args: &EventsArgs, observed: &Observed, event: &Event) -> Result<(), Box<dyn Error>> {
    let json = json(observed, event);
    if args.json {
        output::line_or_end(serde_json::to_string(&json)?);
    } else {
        output::line_or_end(line(event, &json));
    }
    Ok(())
}

fn is_wanted(args: &EventsArgs, event: &Event) -> bool {
    let is_of_task = args.task.is_none_or(|wanted| event.task.is_some_and(|task| wanted.is(task)));
    let is_of_kind = args.kind.is_empty() || args.kind.contains(&event.kind.name());
    is_of_task && is_of_kind && args.source.is_none_or(|source| subject(event).1 == Some(source))
}

/// Returns the indexes of the parent, source and job that the event is about.
fn subject(event: &Event) -> (Option<u32>, Option<u32>, Option<u32>) {
    let argument = Some(event.argument);
    match event.kind {
        EventKind::Spawned => (argument.filter(|parent| *parent != u32::MAX), None, None),
        EventKind::Accepted | EventKind::Closed => (None, argument, None),
        EventKind::Submitted | EventKind::JobDone | EventKind::JobCancelled => (None, None, argument),
        _ => (None, None, None),
    }
}

fn json(observed: &Observed, event: &Event) -> EventJson {
    let (parent, source, job) = subject(event);
    EventJson {
        number: observed.number(),
        event: event.number,
        at_ns: event.at.as_nanos(),
        kind: event.kind.name(),
        task: event.task.map(|task| task.to_string()),
        parent,
        source,
        job,
    }
}

fn line(event: &Event, json: &EventJson) -> String {
    let at = Duration::from_nanos(json.at_ns).as_secs_f64();
    let mut line = format!("{at:12.6}  {:13}", event.kind.name());
    let parts = [
        json.task.as_ref().map(|task| format!("task {task}")),
        json.parent.map(|parent| format!("by task {parent}")),
        json.source.map(|source| format!("source {source}")),
        json.job.map(|job| format!("job {job}")),
    ];
    for part in parts.into_iter().flatten() {
        line.push_str("  ");
        line.push_str(&part);
    }
    line.trim_end().to_owned()
}
