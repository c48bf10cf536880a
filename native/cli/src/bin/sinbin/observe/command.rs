//! The activity of a WASI command, in words and in JSON: it computes, or it waits for the pollables of a poll.

use std::borrow::Cow;

use serde::Serialize;
use sinbin::Instant;
use sinbin::observe::{LoopState, Phase, Poll, Pollable, PollableKind, Snapshot};

use super::describe;
use super::json::nanos;
use super::table::table;

/// The maximum number of pollables that `where` tells of.
const MAX_TOLD: usize = 10;

/// Returns what the command does, in a clause after its name.
pub(crate) fn does(state: &LoopState, poll: &Poll) -> String {
    match (state.phase, poll.since) {
        (Phase::Waiting, Some(since)) => {
            let span = describe::span(state.now.since(since));
            let kinds =
                if poll.is_present { format!(": {}", summary(&poll.pollables)) } else { String::new() };
            format!("has waited for {span} in a poll of {}{kinds}", pollables(poll.count))
        }
        (Phase::Running, _) => format!("has computed for {}", describe::span(state.busy_for())),
        (Phase::Ended, _) => "has ended".to_owned(),
        _ => "has not begun".to_owned(),
    }
}

fn pollables(count: usize) -> String {
    format!("{count} pollable{}", if count == 1 { "" } else { "s" })
}

/// Returns the number of pollables of each kind.
fn summary(pollables: &[Pollable]) -> String {
    let mut counts: Vec<(PollableKind, usize)> = Vec::new();
    for pollable in pollables {
        match counts.iter_mut().find(|(kind, _)| *kind == pollable.kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((pollable.kind, 1)),
        }
    }
    let parts: Vec<_> = counts.iter().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
    parts.join(", ")
}

/// Returns the pollables of a command as text, below a summary.
pub(crate) fn list(snapshot: &Snapshot, poll: &Poll) -> String {
    let state = &snapshot.state;
    let (who, does) = (describe::heading(state), does(state, poll));
    let mut text = format!("{who}: a WASI command, which {does}; {} waits so far\n", state.waits);
    if poll.pollables.is_empty() {
        return text;
    }
    if !poll.is_present {
        let which = if state.phase == Phase::Running { "a wait before this" } else { "an earlier wait" };
        text += &format!("what it waited for in {which}:\n");
    }
    if poll.is_present && poll.pollables.len() < poll.count {
        text += &format!("the first {} of them:\n", poll.pollables.len());
    }
    let rows: Vec<_> = poll
        .pollables
        .iter()
        .map(|pollable| {
            [
                Cow::from(words(pollable)),
                pollable.address.map_or_else(String::new, |address| address.to_string()).into(),
                describe::span(state.now.since(pollable.since)).into(),
                deadline(pollable, state).unwrap_or_default().into(),
            ]
        })
        .collect();
    text + &table(["WAITS FOR", "ADDRESS", "SINCE", "DEADLINE"], &rows)
}

/// Returns the first pollables of the present wait, a line for each.
pub(crate) fn lines(state: &LoopState, poll: &Poll) -> Vec<String> {
    if !poll.is_present {
        return Vec::new();
    }
    let line = |pollable: &Pollable| {
        let since = describe::span(state.now.since(pollable.since));
        let address = pollable.address.map_or_else(String::new, |address| {
            let preposition = match pollable.kind {
                PollableKind::Recv => "from",
                PollableKind::Send | PollableKind::Connect => "to",
                _ => "on",
            };
            format!(" {preposition} {address}")
        });
        let deadline = deadline(pollable, state).map_or_else(String::new, |left| format!(" {left}"));
        format!("  {}{address}{deadline}, for {since}", words(pollable))
    };
    let mut lines: Vec<_> = poll.pollables.iter().take(MAX_TOLD).map(line).collect();
    let more = poll.count.saturating_sub(lines.len());
    if more > 0 {
        lines.push(format!("  and {more} more: see `sinbin ps {}`", state.pid));
    }
    lines
}

fn words(pollable: &Pollable) -> &'static str {
    match pollable.kind {
        PollableKind::RecvDatagram => "recv datagram",
        PollableKind::SendDatagram => "send datagram",
        PollableKind::Lookup => "lookup of a name",
        kind => kind.name(),
    }
}

/// Returns the time that is left until the deadline of a pollable.
fn deadline(pollable: &Pollable, state: &LoopState) -> Option<String> {
    match pollable.deadline {
        Instant::NEVER if pollable.kind == PollableKind::Time => Some("never".to_owned()),
        Instant::NEVER => None,
        deadline if deadline <= state.now => Some("over".to_owned()),
        deadline => Some(format!("in {}", describe::span(deadline.since(state.now)))),
    }
}

/// The wait of a WASI command. Spans are in nanoseconds.
#[derive(Serialize)]
pub(crate) struct PollJson {
    /// True if the command waits, and false if it computes or has ended.
    waits: bool,
    /// The time since the wait began; of a command that computes, its last one.
    since_ns: Option<u64>,
    count: usize,
    /// True if the list is that of the present wait.
    is_present: bool,
    pollables: Vec<PollableJson>,
}

#[derive(Serialize)]
struct PollableJson {
    kind: &'static str,
    address: Option<String>,
    since_ns: u64,
    /// The time that is left until the deadline; 0 if it is over.
    deadline_ns: Option<u64>,
}

impl PollJson {
    pub(crate) fn new(poll: &Poll, state: &LoopState) -> Self {
        let pollable = |pollable: &Pollable| PollableJson {
            kind: pollable.kind.name(),
            address: pollable.address.map(|address| address.to_string()),
            since_ns: nanos(state.now.since(pollable.since)),
            deadline_ns: (pollable.deadline != Instant::NEVER)
                .then(|| nanos(pollable.deadline.since(state.now))),
        };
        Self {
            waits: state.phase == Phase::Waiting,
            since_ns: poll.since.map(|since| nanos(state.now.since(since))),
            count: poll.count,
            is_present: poll.is_present,
            pollables: poll.pollables.iter().map(pollable).collect(),
        }
    }
}
