//! The trace of a recording.
//!
//! A recording has the input of the turns of a loop, and the loop answers with commands. What runs within a turn is not
//! visible from outside, but each connection and each listener is served by one task, and each job has an id. A turn is
//! a step of each source that an event or a command names.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;
use sinbin::driven::recording::Turn;
use sinbin::driven::{Command, Event, SourceHandle, TurnOutput};
use sinbin::guests::TurnReader;
use sinbin::{Interest, JobId, SourceId};

use super::{Moment, Slice, Trace, Track};

/// The maximum number of sources, and of jobs, that are drawn at a time. A recording may name any number of them.
pub const MAX_TRACKS: usize = 1 << 16;

/// The groups of tracks.
const LOOP: u32 = 1;
const SOURCES: u32 = 2;
const JOBS: u32 = 3;

const TURNS: Track = Track { group: LOOP, number: 1 };

/// The duration that is drawn for a turn of less than a millisecond, whose duration is not recorded.
const SHORT: u64 = 1000;

/// A writer of the trace of a recording. It holds the turn whose end is not yet known, and the sources and jobs that exist.
#[derive(Debug)]
pub struct ReplayTrace<W> {
    trace: Trace<W>,
    sources: BTreeMap<u32, Source>,
    /// The jobs that run, by their indexes, and the times at which they were submitted.
    jobs: BTreeMap<u32, (JobId, u64)>,
    /// The tracks that have names.
    named: BTreeSet<Track>,
    pending: Option<Pending>,
    /// The number of events and commands of sources and jobs beyond the limit.
    left_out: u64,
}

/// A source that exists.
#[derive(Debug)]
struct Source {
    handle: SourceHandle,
    interest: Interest,
    /// The end of its last step, from which it waits.
    since: Option<u64>,
}

/// A turn whose end is not yet known.
#[derive(Debug)]
struct Pending {
    at: u64,
    args: TurnArgs,
    has_failed: bool,
    /// True if another guest takes over after this turn.
    is_last: bool,
    /// The steps of the sources, by their indexes.
    steps: BTreeMap<u32, Step>,
}

#[derive(Debug, Serialize)]
struct TurnArgs {
    turn: u64,
    events: u64,
    pieces: u64,
    commands: u64,
}

#[derive(Debug)]
struct Step {
    handle: SourceHandle,
    /// The first event, which woke the task; or the first command.
    name: &'static str,
    /// The listener whose task accepted the connection in this turn.
    accepted_by: Option<u32>,
    received: u64,
    sent: u64,
    events: u64,
    closes: bool,
}

#[derive(Serialize)]
struct StepArgs {
    turn: u64,
    source: String,
    events: u64,
    received_bytes: u64,
    sent_bytes: u64,
}

#[derive(Serialize)]
struct SourceArgs {
    source: String,
}

#[derive(Serialize)]
struct JobArgs {
    job: String,
    outcome: &'static str,
}

impl<W: Write> ReplayTrace<W> {
    /// Begins the trace of a service with this name.
    ///
    /// # Errors
    ///
    /// Fails if writing fails.
    pub fn new(out: W, service: &str) -> io::Result<Self> {
        let mut trace = Trace::new(out)?;
        for (group, what) in [(LOOP, "loop"), (SOURCES, "tasks of connections"), (JOBS, "jobs")] {
            trace.name_group(group, &format!("{service}: {what}"))?;
        }
        trace.name_track(TURNS, "turns")?;
        let (sources, jobs, named) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Ok(Self { trace, sources, jobs, named, pending: None, left_out: 0 })
    }

    /// Ends the trace. Returns the writer, and the number of events that were left out because of [`MAX_TRACKS`].
    ///
    /// # Errors
    ///
    /// Fails if writing fails.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        let end = self.pending.as_ref().map(|pending| pending.at.saturating_add(SHORT));
        self.settle(None, u64::MAX)?;
        if let Some(end) = end {
            self.end_all(end, "the end of the recording")?;
        }
        Ok((self.trace.finish()?, self.left_out))
    }

    /// Writes the pending turn, which took this time if it was a millisecond or more, and ended before the next turn.
    fn settle(&mut self, took: Option<u64>, next: u64) -> io::Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let Pending { at, args, has_failed, is_last, steps } = pending;
        let to = at.saturating_add(took.unwrap_or(SHORT)).min(next);
        let name = if has_failed { "turn that fails" } else { "turn" };
        let turn = args.turn;
        self.trace.slice(Slice { track: TURNS, name, kind: "turn", from: at, to, args })?;
        for (index, step) in steps {
            self.step(turn, index, &step, at, to)?;
        }
        if is_last { self.end_all(to, "another guest takes over") } else { Ok(()) }
    }

    /// Writes the wait and the step of a source.
    fn step(&mut self, turn: u64, index: u32, step: &Step, from: u64, to: u64) -> io::Result<()> {
        let track = source_track(index);
        self.end_wait(index, from)?;
        let args = StepArgs {
            turn,
            source: SourceId::from_bits(step.handle.0).to_string(),
            events: step.events,
            received_bytes: step.received,
            sent_bytes: step.sent,
        };
        self.trace.slice(Slice { track, name: step.name, kind: "step", from, to, args })?;
        let waker = step.accepted_by.map_or(TURNS, source_track);
        self.trace.arrow(step.name, &[Moment { track: waker, at: from }, Moment { track, at: from }])?;
        if step.closes {
            self.sources.remove(&index);
        } else if let Some(source) = self.sources.get_mut(&index) {
            source.since = Some(to);
        }
        Ok(())
    }

    /// Writes the wait of a source that ends now.
    fn end_wait(&mut self, index: u32, now: u64) -> io::Result<()> {
        let track = source_track(index);
        let Some(source) = self.sources.get_mut(&index) else { return Ok(()) };
        let Some(since) = source.since.take().filter(|since| *since < now) else { return Ok(()) };
        let name = waits_for(source.interest);
        let args = SourceArgs { source: SourceId::from_bits(source.handle.0).to_string() };
        self.trace.slice(Slice { track, name, kind: "wait", from: since, to: now, args })
    }

    /// Writes a job that ends now, with an arrow from the turn that submitted it. If a turn received the result, the
    /// arrow leads on to that turn.
    fn end_job(&mut self, job: JobId, outcome: &'static str, is_received: bool, now: u64) -> io::Result<()> {
        let index = index_of(job.to_bits());
        let Some((_, from)) = self.jobs.get(&index).copied().filter(|(own, _)| *own == job) else {
            return Ok(());
        };
        self.jobs.remove(&index);
        let track = Track { group: JOBS, number: index + 1 };
        self.name_track(track, "jobs", index)?;
        let name = format!("job {job}");
        let args = JobArgs { job: job.to_string(), outcome };
        self.trace.slice(Slice { track, name: &name, kind: "job", from, to: now, args })?;
        let moments = [(TURNS, from), (track, from), (TURNS, now)].map(|(track, at)| Moment { track, at });
        self.trace.arrow(&name, if is_received { &moments } else { &moments[..2] })
    }

    /// Names a track when it is first used.
    fn name_track(&mut self, track: Track, what: &str, index: u32) -> io::Result<()> {
        if self.named.insert(track) {
            self.trace.name_track(track, &format!("{what} {index}"))
        } else {
            Ok(())
        }
    }

    /// Notes the beginning of a source.
    fn begin(&mut self, handle: SourceHandle, what: &str, now: u64) -> io::Result<()> {
        let index = index_of(handle.0);
        if is_drawn(index) {
            self.end_wait(index, now)?;
            self.name_track(source_track(index), what, index)?;
            self.sources.insert(index, Source { handle, interest: Interest::NONE, since: None });
        }
        Ok(())
    }

    /// Returns the step of a source in this turn. Returns `None` if the source does not exist, or is not drawn.
    fn step_of<'s>(
        &mut self,
        steps: &'s mut BTreeMap<u32, Step>,
        handle: SourceHandle,
        name: &'static str,
    ) -> Option<&'s mut Step> {
        let index = index_of(handle.0);
        self.left_out += u64::from(!is_drawn(index));
        let exists = self.sources.get(&index).is_some_and(|source| source.handle == handle);
        let new = Step { handle, name, accepted_by: None, received: 0, sent: 0, events: 0, closes: false };
        exists.then(|| steps.entry(index).or_insert(new))
    }

    /// Notes an event.
    fn event(&mut self, steps: &mut BTreeMap<u32, Step>, event: Event, now: u64) -> io::Result<()> {
        let (handle, name, received) = match event {
            Event::Listener(source) => {
                self.begin(source, "listener", now)?;
                (source, "listen", 0)
            }
            Event::Accepted { listener, connection, .. } => {
                self.begin(connection, "connection", now)?;
                if let Some(step) = self.step_of(steps, listener, "accept") {
                    step.events += 1;
                }
                let listener = index_of(listener.0);
                let has_listener = steps.contains_key(&listener);
                if let Some(step) = self.step_of(steps, connection, "accepted") {
                    step.accepted_by = Some(listener).filter(|_| has_listener);
                }
                (connection, "accepted", 0)
            }
            Event::Connected { source, .. } => {
                self.begin(source, "connection", now)?;
                (source, "connected", 0)
            }
            Event::Received { source, len } => (source, "recv", len),
            Event::Ended(source) => (source, "recv: ended", 0),
            Event::Writable(source) => (source, "send: writable", 0),
            Event::Stuck(source) => (source, "send: stuck", 0),
            Event::Hangup(source) => (source, "hangup", 0),
            Event::Failed(source) => (source, "failed", 0),
            Event::Idle(source) => (source, "idle", 0),
            Event::Computed { job, .. } => return self.end_job(job, "computed", true, now),
            Event::Lost(job) => return self.end_job(job, "lost", true, now),
            _ => return Ok(()),
        };
        if let Some(step) = self.step_of(steps, handle, name) {
            step.events += 1;
            step.received += u64::from(received);
        }
        Ok(())
    }

    /// Notes a command.
    fn command(&mut self, steps: &mut BTreeMap<u32, Step>, command: Command, now: u64) -> io::Result<()> {
        // The task of a source without an event was woken by a job, by a deadline, or by another task.
        let woken = "woken";
        match command {
            Command::Watch { source, interest } => {
                if self.step_of(steps, source, woken).is_some()
                    && let Some(source) = self.sources.get_mut(&index_of(source.0))
                {
                    source.interest = interest;
                }
            }
            Command::Send { source, len } => {
                if let Some(step) = self.step_of(steps, source, woken) {
                    step.sent += u64::from(len);
                }
            }
            Command::Unread { source, .. } | Command::Shutdown(source) => {
                self.step_of(steps, source, woken);
            }
            Command::Close(source) => {
                if let Some(step) = self.step_of(steps, source, woken) {
                    step.closes = true;
                }
            }
            Command::Submit { job, .. } => {
                let index = index_of(job.to_bits());
                if let Some((older, _)) = self.jobs.get(&index).copied() {
                    self.end_job(older, "replaced", false, now)?;
                }
                if is_drawn(index) {
                    self.jobs.insert(index, (job, now));
                } else {
                    self.left_out += 1;
                }
            }
            Command::Cancel(job) => self.end_job(job, "cancelled", true, now)?,
            _ => {}
        }
        Ok(())
    }

    /// Ends all waits and jobs.
    fn end_all(&mut self, now: u64, why: &'static str) -> io::Result<()> {
        for index in self.sources.keys().copied().collect::<Vec<_>>() {
            self.end_wait(index, now)?;
        }
        self.sources.clear();
        for job in self.jobs.values().map(|(job, _)| *job).collect::<Vec<_>>() {
            self.end_job(job, why, false, now)?;
        }
        Ok(())
    }
}

impl<W: Write> TurnReader for ReplayTrace<W> {
    fn turn(&mut self, number: u64, turn: &Turn<'_>, answer: Option<&TurnOutput>) -> io::Result<()> {
        let now = turn.now.as_nanos();
        let took = turn.events.iter().find_map(|event| match event {
            Event::Took(nanos) => Some(*nanos),
            _ => None,
        });
        self.settle(took, now)?;
        let mut steps = BTreeMap::new();
        for event in turn.events {
            self.event(&mut steps, *event, now)?;
        }
        let commands = answer.map_or(&[][..], |answer| &answer.commands);
        for command in commands {
            self.command(&mut steps, *command, now)?;
        }
        let is_piece = |event: &&Event| matches!(event, Event::Received { .. });
        let args = TurnArgs {
            turn: number,
            events: turn.events.len() as u64,
            pieces: turn.events.iter().filter(is_piece).count() as u64,
            commands: commands.len() as u64,
        };
        self.pending = Some(Pending { at: now, args, has_failed: answer.is_none(), is_last: false, steps });
        Ok(())
    }

    fn fresh(&mut self) -> io::Result<()> {
        if let Some(pending) = &mut self.pending {
            pending.is_last = true;
        }
        Ok(())
    }
}

fn source_track(index: u32) -> Track {
    Track { group: SOURCES, number: index.saturating_add(1) }
}

fn is_drawn(index: u32) -> bool {
    (index as usize) < MAX_TRACKS
}

/// Returns the index of a handle or an id.
#[expect(clippy::cast_possible_truncation, reason = "the low half is the index")]
fn index_of(bits: u64) -> u32 {
    bits as u32
}

fn waits_for(interest: Interest) -> &'static str {
    let has = |one| interest.contains(one);
    match (has(Interest::RECV), has(Interest::SEND), has(Interest::HANGUP)) {
        (true, true, _) => "wait: recv or send",
        (true, false, _) => "wait: recv",
        (false, true, _) => "wait: send",
        (false, false, true) => "wait: hangup",
        (false, false, false) => "wait: job, time or task",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use sinbin::{Instant, Rest};

    use super::*;

    const LISTENER: SourceHandle = SourceHandle(1 << 32);
    const CONNECTION: SourceHandle = SourceHandle(1 << 32 | 1);

    /// A turn: its time in nanoseconds, its events, and the answer.
    type Told<'a> = (u64, &'a [Event], Option<&'a [Command]>);

    /// Returns the lines of the trace of these turns.
    fn lines(turns: &[Told<'_>]) -> Vec<Value> {
        let mut trace = ReplayTrace::new(Vec::new(), "fib").unwrap();
        for (number, (at, events, commands)) in (1..).zip(turns) {
            let turn = Turn { now: Instant::from_nanos(*at), window: 1, events, input: &[] };
            let output = |commands: &[Command]| {
                let commands = commands.to_vec();
                TurnOutput { rest: Rest::Empty, room: 1, commands, output: Vec::new() }
            };
            trace.turn(number, &turn, commands.map(output).as_ref()).unwrap();
            if commands.is_none() {
                trace.fresh().unwrap();
            }
        }
        let (text, left_out) = trace.finish().unwrap();
        assert_eq!(left_out, 0);
        let all: Value = serde_json::from_slice(&text).unwrap();
        all["traceEvents"].as_array().unwrap().clone()
    }

    type Shown<'a> = (u64, u64, &'a str, f64, f64);

    /// Returns the slices as group, track, name, beginning and end.
    fn slices(lines: &[Value]) -> Vec<Shown<'_>> {
        let slice = |line: &'_ Value| (line["ts"].as_f64().unwrap(), line["dur"].as_f64().unwrap());
        lines
            .iter()
            .filter(|line| line["ph"] == "X")
            .map(|line| {
                let (ts, dur) = slice(line);
                let number = |name: &str| line[name].as_u64().unwrap();
                (number("pid"), number("tid"), line["name"].as_str().unwrap(), ts, ts + dur)
            })
            .collect()
    }

    fn accepted() -> Event {
        Event::Accepted { listener: LISTENER, connection: CONNECTION, len: 0 }
    }

    #[test]
    fn connections_and_jobs_are_slices() {
        let job = JobId::from_bits(1 << 32);
        let watch = |source| Command::Watch { source, interest: Interest::RECV };
        let lines = lines(&[
            (0, &[Event::Listener(LISTENER)], Some(&[watch(LISTENER)])),
            (10_000, &[accepted()], Some(&[watch(CONNECTION)])),
            (
                20_000,
                &[Event::Received { source: CONNECTION, len: 3 }],
                Some(&[Command::Submit { job, len: 0 }]),
            ),
            (
                5_000_000,
                &[Event::Took(2_000_000), Event::Computed { job, len: 0 }],
                Some(&[Command::Send { source: CONNECTION, len: 7 }, Command::Close(CONNECTION)]),
            ),
        ]);
        let expected = [
            (1, 1, "turn", 0.0, 1.0),
            (2, 1, "listen", 0.0, 1.0),
            (1, 1, "turn", 10.0, 11.0),
            (2, 1, "wait: recv", 1.0, 10.0),
            (2, 1, "accept", 10.0, 11.0),
            (2, 2, "accepted", 10.0, 11.0),
            (1, 1, "turn", 20.0, 2020.0),
            (2, 2, "wait: recv", 11.0, 20.0),
            (2, 2, "recv", 20.0, 2020.0),
            (3, 1, "job 0.1", 20.0, 5000.0),
            (1, 1, "turn", 5000.0, 5001.0),
            (2, 2, "wait: recv", 2020.0, 5000.0),
            (2, 2, "woken", 5000.0, 5001.0),
            (2, 1, "wait: recv", 11.0, 5001.0),
        ];
        assert_eq!(slices(&lines), expected);
        let arrow = |ph: &str, name: &str| lines.iter().find(|line| line["ph"] == ph && line["name"] == name);
        // The connection was woken by the task of the listener, the job by a turn.
        assert_eq!(arrow("s", "accepted").unwrap()["pid"], 2);
        let job = ["s", "t", "f"].map(|ph| arrow(ph, "job 0.1").unwrap());
        assert_eq!(job.map(|line| line["pid"].as_u64()), [Some(1), Some(3), Some(1)]);
        assert!(job.iter().all(|line| line["id"] == job[0]["id"]));
        let step = lines.iter().find(|line| line["name"] == "woken" && line["ph"] == "X").unwrap();
        assert_eq!((&step["args"]["sent_bytes"], &step["args"]["source"]), (&7.into(), &"1.1".into()));
    }

    #[test]
    fn a_turn_ends_before_the_next_one() {
        let lines = lines(&[
            (0, &[], Some(&[])),
            (100, &[Event::Took(7)], Some(&[])),
            (200, &[Event::Took(u64::MAX)], Some(&[])),
            (200, &[], Some(&[])),
        ]);
        let spans: Vec<_> = slices(&lines).iter().map(|slice| (slice.3, slice.4)).collect();
        assert_eq!(spans[0].1, 0.007);
        assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
    }

    #[test]
    fn waits_and_jobs_end_with_the_guest_and_with_the_recording() {
        let job = JobId::from_bits(1 << 32);
        let submit = [Command::Submit { job, len: 0 }];
        let lines = lines(&[
            (0, &[Event::Listener(LISTENER), accepted()], Some(&submit)),
            (10_000, &[], None),
            (20_000, &[Event::Listener(LISTENER)], Some(&submit)),
            (30_000, &[], Some(&[])),
        ]);
        let all = slices(&lines);
        assert!(all.contains(&(1, 1, "turn that fails", 10.0, 11.0)), "{all:?}");
        assert!(all.contains(&(2, 2, "wait: job, time or task", 1.0, 11.0)), "{all:?}");
        let jobs: Vec<_> = all.iter().filter(|slice| slice.0 == 3).map(|slice| (slice.3, slice.4)).collect();
        assert_eq!(jobs, [(0.0, 11.0), (20.0, 31.0)]);
        for ph in ["s", "f"] {
            let ends = lines.iter().filter(|line| line["ph"] == ph && line["name"] == "job 0.1");
            assert_eq!(ends.count(), 2, "{ph}");
        }
    }

    /// A recording may come from a stranger.
    #[test]
    fn sources_beyond_the_limit_are_counted() {
        let far = SourceHandle(u64::MAX);
        let mut trace = ReplayTrace::new(Vec::new(), "fib").unwrap();
        let events = [
            Event::Listener(far),
            Event::Ended(far),
            Event::Ended(CONNECTION),
            Event::Lost(JobId::from_bits(7)),
        ];
        let turn = Turn { now: Instant::ZERO, window: 1, events: &events, input: &[] };
        trace.turn(1, &turn, None).unwrap();
        let (text, left_out) = trace.finish().unwrap();
        assert_eq!(left_out, 2);
        assert!(!String::from_utf8(text).unwrap().contains("\"tid\":4294967295"));
    }

    #[test]
    fn an_error_of_the_writer_is_returned() {
        let mut room = [0; 600];
        let trace = ReplayTrace::new(&mut room[..], "fib");
        let Ok(mut trace) = trace else { panic!("the head fits") };
        let turn = Turn { now: Instant::ZERO, window: 1, events: &[], input: &[] };
        let written = (1..10).try_for_each(|number| trace.turn(number, &turn, None));
        assert_eq!(written.map_err(|error| error.kind()), Err(io::ErrorKind::WriteZero));
    }
}
