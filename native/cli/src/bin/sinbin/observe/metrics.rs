//! Metrics of loops in the text format of OpenMetrics.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter as Total;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use sinbin::Instant;
use sinbin::kernel::TaskState;
use sinbin::observe::{Counter, Phase, Snapshot};

use super::describe;
use super::rates;
use super::top::Seen;

/// The content type of the format.
pub(crate) const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

/// A gauge, a counter of whole numbers, and one of fractions, each with labels.
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;
type Totals = Family<Labels, Total<u64, AtomicU64>>;
type Fractions = Family<Labels, Total<f64, AtomicU64>>;

/// Returns the metrics of the loops.
///
/// # Errors
///
/// Fails if the text cannot be formatted.
pub(crate) fn text(all: &[Seen]) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("sinbin");
    let loops = gauge(&mut registry, "loops", "The number of loops");
    loops.get_or_create(&Vec::new()).set(number(all.len() as u64));
    let info = gauge(&mut registry, "loop_info", "The name of a loop's service");
    let tasks = gauge(&mut registry, "tasks", "The number of tasks by what they wait for");
    let queue = gauge(&mut registry, "run_queue_length", "The number of tasks that are ready to run");
    let open = gauge(&mut registry, "connections", "The number of open connections");
    let limit = gauge(&mut registry, "limit", "The limits of a loop");
    let draining = gauge(&mut registry, "draining", "1 if the loop drains, otherwise 0");
    let deadlocked = gauge(&mut registry, "deadlocked_tasks", "The number of tasks that wait for each other");
    let blocks =
        gauge(&mut registry, "buffer_blocks", "The number of blocks for bytes of slow clients and of jobs");
    let busy = seconds(&mut registry, "busy", "How long the loop has run tasks without looking for events");
    let delay = seconds(
        &mut registry,
        "loop_delay",
        "How late the earliest deadline is that has passed and was not seen",
    );
    let longest = seconds(&mut registry, "longest_wait", "The longest time that a task has waited");
    let memory = Gauges::default();
    registry.register_with_unit(
        "process_memory",
        "The resident memory of the process",
        Unit::Bytes,
        memory.clone(),
    );
    let used = Fractions::default();
    registry.register_with_unit(
        "loop_cpu",
        "The processor time of the loop's thread",
        Unit::Seconds,
        used.clone(),
    );
    let steps = total(&mut registry, "steps", "The number of steps of tasks");
    let waits = total(&mut registry, "waits", "The number of times that the loop looked for events");
    let events = total(&mut registry, "events", "The number of events in the ring so far");
    let accepted = total(&mut registry, "connections_accepted", "The number of connections served so far");
    let away = total(
        &mut registry,
        "connections_turned_away",
        "The number of connections reset at the limit of a peer",
    );
    let failed = total(&mut registry, "connections_failed", "The number of connections that failed");
    let jobs = total(&mut registry, "jobs", "The number of jobs submitted");
    let cancelled = total(&mut registry, "jobs_cancelled", "The number of jobs cancelled");
    let bytes = Totals::default();
    registry.register_with_unit(
        "network_io",
        "The number of bytes received and sent",
        Unit::Bytes,
        bytes.clone(),
    );
    for seen in all {
        let state = &seen.snapshot.state;
        let labels = vec![("pid", state.pid.to_string()), ("loop", state.number.to_string())];
        let with = |name: &'static str, value: &str| {
            let mut labels = labels.clone();
            labels.push((name, value.to_owned()));
            labels
        };
        let set = |family: &Gauges, value: f64| {
            family.get_or_create(&labels).set(value);
        };
        let count = |family: &Totals, value: u64| {
            family.get_or_create(&labels).inc_by(value);
        };
        info.get_or_create(&with("service", state.service.as_deref().unwrap_or(""))).set(1.0);
        for (bin, count) in describe::BINS.into_iter().zip(describe::count(&seen.snapshot.tasks)) {
            tasks.get_or_create(&with("waits_for", bin)).set(number(count));
        }
        set(&queue, number(seen.snapshot.queue.len() as u64));
        set(&open, number(state.counter(Counter::Open)));
        for (name, value) in [
            ("connections", state.max_connections),
            ("buffered_bytes", state.max_buffered),
            ("jobs", state.max_jobs),
            ("workers", state.workers),
        ] {
            limit.get_or_create(&with("of", name)).set(number(value));
        }
        set(&draining, f64::from(u8::from(state.draining)));
        set(&deadlocked, number(seen.snapshot.deadlocks().iter().map(Vec::len).sum::<usize>() as u64));
        for (name, counter) in [("lent", Counter::BlocksLent), ("committed", Counter::BlocksCommitted)] {
            blocks.get_or_create(&with("state", name)).set(number(state.counter(counter)));
        }
        set(&busy, state.busy_for().as_secs_f64());
        set(&delay, loop_delay(&seen.snapshot));
        set(&longest, longest_wait(&seen.snapshot));
        if let Some(resident) = seen.resident {
            set(&memory, number(resident));
        }
        if let Some(seconds) = rates::used(state) {
            used.get_or_create(&labels).inc_by(seconds);
        }
        count(&steps, state.steps);
        count(&waits, state.waits);
        count(&events, state.events);
        count(&accepted, state.counter(Counter::Connections));
        count(&away, state.counter(Counter::TurnedAway));
        count(&failed, state.counter(Counter::Failed));
        count(&jobs, state.counter(Counter::Jobs));
        count(&cancelled, state.counter(Counter::Cancelled));
        for (direction, counter) in [("receive", Counter::Received), ("transmit", Counter::Sent)] {
            bytes.get_or_create(&with("direction", direction)).inc_by(state.counter(counter));
        }
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauges {
    let family = Gauges::default();
    registry.register(name, help, family.clone());
    family
}

fn seconds(registry: &mut Registry, name: &str, help: &str) -> Gauges {
    let family = Gauges::default();
    registry.register_with_unit(name, help, Unit::Seconds, family.clone());
    family
}

fn total(registry: &mut Registry, name: &str, help: &str) -> Totals {
    let family = Totals::default();
    registry.register(name, help, family.clone());
    family
}

#[expect(clippy::cast_precision_loss, reason = "the format has floating-point numbers")]
fn number(value: u64) -> f64 {
    value as f64
}

/// Returns the time by which the earliest deadline of a task has passed, in seconds.
fn loop_delay(snapshot: &Snapshot) -> f64 {
    let deadlines = snapshot.tasks.iter().map(|task| task.view.deadline);
    let first = deadlines.filter(|deadline| *deadline != Instant::NEVER).min();
    first.map_or(0.0, |first| snapshot.state.now.since(first).as_secs_f64())
}

/// Returns the longest time that a task has waited, in seconds.
fn longest_wait(snapshot: &Snapshot) -> f64 {
    let waiting = snapshot.tasks.iter().filter(|task| task.view.state == TaskState::Waiting);
    let since = waiting.map(|task| task.view.since).min();
    since.map_or(0.0, |since| snapshot.state.now.since(since).as_secs_f64())
}

/// Returns true if each loop can take connections: it runs, and does not drain.
pub(crate) fn is_ready(all: &[Seen]) -> bool {
    let is_ready =
        |seen: &Seen| !seen.snapshot.state.draining && seen.snapshot.state.phase != Phase::Starting;
    !all.is_empty() && all.iter().all(is_ready)
}
