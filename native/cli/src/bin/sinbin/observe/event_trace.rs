//! The trace of `sinbin events --perfetto`: what exists in a loop, from its beginning to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;
use sinbin::TaskId;
use sinbin::observe::{Event, EventKind};
use sinbin_cli::perfetto::{MAX_TRACKS, Moment, Slice, Trace, Track};

/// The kinds of things that have tracks, in groups of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Loop,
    Task,
    Connection,
    Job,
}

const KINDS: u32 = 4;

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::Task => "task",
            Self::Connection => "connection",
            Self::Job => "job",
        }
    }
}

/// A thing that exists.
struct Open {
    name: String,
    from: u64,
    outcome: Option<&'static str>,
}

#[derive(Serialize)]
struct Args {
    outcome: &'static str,
}

/// A writer of the trace of loops.
pub(crate) struct EventTrace<W: Write> {
    trace: Trace<W>,
    /// The loops, in the order in which they were seen, and the times of their first and last events.
    loops: Vec<(u32, u64, u64)>,
    open: BTreeMap<Track, Open>,
    named: BTreeSet<Track>,
    count: u64,
}

impl<W: Write> EventTrace<W> {
    pub(crate) fn new(out: W) -> io::Result<Self> {
        let (loops, open, named) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Ok(Self { trace: Trace::new(out)?, loops, open, named, count: 0 })
    }

    /// Writes what has ended by this event of the loop with this number.
    pub(crate) fn event(&mut self, number: u32, event: &Event) -> io::Result<()> {
        self.count += 1;
        let at = event.at.as_nanos();
        let place = self.place(number, at)?;
        let task = event.task.map(|task| u32::try_from(task.index()).unwrap_or(u32::MAX));
        let argument = event.argument;
        match (event.kind, task) {
            (EventKind::Spawned, Some(task)) => {
                self.begin(place, Kind::Task, task, task_name(event.task), at)?;
                if argument != u32::MAX && argument != task {
                    self.ensure(place, Kind::Task, argument)?;
                    self.arrow(place, argument, task, at)?;
                }
                Ok(())
            }
            (EventKind::Panicked, Some(task)) => {
                if let Some(open) = self.open.get_mut(&track(place, Kind::Task, task)) {
                    open.outcome = Some("panicked");
                }
                Ok(())
            }
            (EventKind::Ended, Some(task)) => self.end(place, Kind::Task, task, "ended", at),
            (EventKind::Failed, Some(task)) => self.end(place, Kind::Task, task, "failed", at),
            (EventKind::Accepted, _) => {
                self.begin(place, Kind::Connection, argument, format!("connection {argument}"), at)
            }
            (EventKind::Closed, _) => self.end(place, Kind::Connection, argument, "closed", at),
            (EventKind::Submitted, _) => {
                self.begin(place, Kind::Job, argument, format!("job {argument}"), at)
            }
            (EventKind::JobDone, _) => self.end(place, Kind::Job, argument, "done", at),
            (EventKind::JobCancelled, _) => self.end(place, Kind::Job, argument, "cancelled", at),
            (kind, _) => {
                self.begin(place, Kind::Loop, 0, kind.name().to_owned(), at)?;
                self.end(place, Kind::Loop, 0, kind.name(), at)
            }
        }
    }

    /// Writes the bytes that are buffered.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.trace.flush()
    }

    /// Ends everything that still exists, and the trace. Returns the number of events.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        while let Some((track, _)) = self.open.first_key_value() {
            let track = *track;
            let place = (track.group - 1) / KINDS;
            let last = self.loops.get(place as usize).map_or(0, |(_, _, last)| *last);
            self.close(track, "still exists", last)?;
        }
        self.trace.finish()?.flush()?;
        Ok(self.count)
    }

    /// Returns the index of a loop, and notes the time of its event.
    fn place(&mut self, number: u32, at: u64) -> io::Result<u32> {
        let known = self.loops.iter().position(|(own, ..)| *own == number);
        let place = known.unwrap_or(self.loops.len());
        let index = u32::try_from(place).unwrap_or(u32::MAX);
        if known.is_none() {
            self.loops.push((number, at, at));
            for kind in [Kind::Loop, Kind::Task, Kind::Connection, Kind::Job] {
                let group = track(index, kind, 0).group;
                self.trace.name_group(group, &format!("loop {number}: {}", kind.name()))?;
            }
        }
        self.loops[place].2 = at;
        Ok(index)
    }

    /// Begins something. What was not seen to end before has ended.
    fn begin(&mut self, place: u32, kind: Kind, index: u32, name: String, at: u64) -> io::Result<()> {
        if index as usize >= MAX_TRACKS {
            return Ok(());
        }
        let track = track(place, kind, index);
        self.close(track, "its end was missed", at)?;
        if self.named.insert(track) {
            self.trace.name_track(track, &format!("{} {index}", kind.name()))?;
        }
        self.open.insert(track, Open { name, from: at, outcome: None });
        Ok(())
    }

    /// Notes that something exists whose beginning was not seen: it has existed since the first event.
    fn ensure(&mut self, place: u32, kind: Kind, index: u32) -> io::Result<()> {
        let first = self.loops.get(place as usize).map_or(0, |(_, first, _)| *first);
        if self.open.contains_key(&track(place, kind, index)) {
            return Ok(());
        }
        // A track that had something else before is occupied until then.
        let track = track(place, kind, index);
        let from = if self.named.contains(&track) { self.loops[place as usize].2 } else { first };
        self.begin(place, kind, index, format!("{} {index}", kind.name()), from)
    }

    fn end(&mut self, place: u32, kind: Kind, index: u32, outcome: &'static str, at: u64) -> io::Result<()> {
        self.ensure(place, kind, index)?;
        self.close(track(place, kind, index), outcome, at)
    }

    fn close(&mut self, track: Track, outcome: &'static str, at: u64) -> io::Result<()> {
        let Some(Open { name, from, outcome: known }) = self.open.remove(&track) else { return Ok(()) };
        let args = Args { outcome: known.unwrap_or(outcome) };
        self.trace.slice(Slice { track, name: &name, kind: "life", from, to: at, args })
    }

    /// Draws that a task has spawned another.
    fn arrow(&mut self, place: u32, parent: u32, child: u32, at: u64) -> io::Result<()> {
        let moments = [parent, child].map(|task| Moment { track: track(place, Kind::Task, task), at });
        let are_drawn = moments.iter().all(|moment| self.open.contains_key(&moment.track));
        if are_drawn { self.trace.arrow("spawn", &moments) } else { Ok(()) }
    }
}

fn task_name(task: Option<TaskId>) -> String {
    task.map_or_else(String::new, |task| format!("task {task}"))
}

fn track(place: u32, kind: Kind, index: u32) -> Track {
    Track { group: place * KINDS + kind as u32 + 1, number: index.saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use sinbin::Instant;

    use super::*;

    /// An event of a loop: microseconds, kind, task index, argument.
    type Short = (u64, EventKind, Option<u64>, u32);

    fn lines(events: &[Short]) -> Vec<Value> {
        let mut text = Vec::new();
        let mut trace = EventTrace::new(&mut text).unwrap();
        for (number, (at, kind, task, argument)) in (1..).zip(events) {
            let at = Instant::from_nanos(at * 1000);
            let task = task.map(|index| TaskId::from_bits(1 << 32 | index));
            trace.event(8, &Event { number, at, kind: *kind, task, argument: *argument }).unwrap();
        }
        assert_eq!(trace.finish().unwrap(), events.len() as u64);
        let all: Value = serde_json::from_slice(&text).unwrap();
        all["traceEvents"].as_array().unwrap().clone()
    }

    fn slices(lines: &[Value]) -> Vec<(String, u64, u64, String)> {
        let number = |line: &Value, name: &str| line[name].as_f64().unwrap().to_string().parse().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        lines
            .iter()
            .filter(|line| line["ph"] == "X")
            .map(|line| {
                (text(&line["name"]), number(line, "ts"), number(line, "dur"), text(&line["args"]["outcome"]))
            })
            .collect()
    }

    fn slice(name: &str, from: u64, dur: u64, outcome: &str) -> (String, u64, u64, String) {
        (name.to_owned(), from, dur, outcome.to_owned())
    }

    #[test]
    fn lives_are_slices_and_spawns_are_arrows() {
        let lines = lines(&[
            (0, EventKind::Spawned, Some(0), u32::MAX),
            (5, EventKind::Accepted, None, 1),
            (5, EventKind::Spawned, Some(1), 0),
            (6, EventKind::Submitted, None, 0),
            (9, EventKind::JobDone, None, 0),
            (10, EventKind::Closed, None, 1),
            (10, EventKind::Panicked, Some(1), 0),
            (10, EventKind::Failed, Some(1), 0),
            (12, EventKind::Draining, None, 0),
        ]);
        let expected = [
            slice("job 0", 6, 3, "done"),
            slice("connection 1", 5, 5, "closed"),
            slice("task 1.1", 5, 5, "panicked"),
            slice("draining", 12, 0, "draining"),
            slice("task 0.1", 0, 12, "still exists"),
        ];
        assert_eq!(slices(&lines), expected);
        let arrows: Vec<_> = lines.iter().filter(|line| line["name"] == "spawn").collect();
        assert_eq!(arrows.len(), 2);
        assert_eq!(
            (&arrows[0]["tid"], &arrows[1]["tid"], &arrows[1]["ph"]),
            (&1.into(), &2.into(), &"f".into())
        );
    }

    #[test]
    fn what_was_missed_begins_with_the_first_event_and_overlaps_nothing() {
        let lines = lines(&[
            (100, EventKind::Closed, None, 3),
            (110, EventKind::Ended, Some(5), 0),
            (120, EventKind::Spawned, Some(6), 5),
            (130, EventKind::Spawned, Some(6), 5),
            (140, EventKind::JobCancelled, None, u32::MAX),
        ]);
        let expected = [
            slice("connection 3", 100, 0, "closed"),
            slice("task 5", 100, 10, "ended"),
            slice("task 6.1", 120, 10, "its end was missed"),
            slice("task 5", 120, 20, "still exists"),
            slice("task 6.1", 130, 10, "still exists"),
        ];
        assert_eq!(slices(&lines), expected);
    }
}
