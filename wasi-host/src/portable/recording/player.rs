//! The host of a command that is replayed: the recording answers each call.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sinbin::guests::{Ending, Part};
use sinbin::observe::GuestMemory;
use wasmtime::component::Component;
use wasmtime::{Engine, Error, Result};

use super::super::io::Ended;
use super::super::limits::Limits;
use super::super::output::Lines;
use super::super::{Outcome, StoreData, call, execute, link};
use super::answer::Answer;
use super::commands::{DROP_OUTPUT, GET_STDERR, POLL, WRITES, written};
use super::format::{End, Header};
use super::interface::{show_answer, show_call};
use super::reader::{ReadError, Reader, Record};
use super::value::Value;

/// The number of bytes that are shown around the first difference.
const AROUND: usize = 24;

/// A function that receives each replayed call in the form of a trace.
pub type ToTrace = Box<dyn FnMut(&str) -> io::Result<()> + Send>;

/// A recording that can be replayed.
pub struct Replay {
    header: Header,
    reader: Reader,
}

/// The result of a replay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replayed {
    /// The number of calls replayed.
    pub calls: u64,
    /// The time from the beginning to the last call, as recorded.
    pub recorded: Duration,
    /// The duration of the replay.
    pub took: Duration,
    /// The reason why the replay ended.
    pub ending: Ending,
    /// A description of the first difference, at which the replay ends.
    pub difference: Option<String>,
}

/// The reason why a recording can't be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The recording can't be read.
    #[error(transparent)]
    Recording(#[from] ReadError),
    /// The command can't be started.
    #[error(transparent)]
    Start(super::super::Error),
    /// The trace can't be written.
    #[error("cannot write the trace: {0}")]
    Trace(#[source] io::Error),
}

impl Replay {
    /// Opens a recording.
    ///
    /// # Errors
    ///
    /// Fails if the file can't be read, or is no recording of a command.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let (header, reader) = Reader::open(path)?;
        Ok(Self { header, reader })
    }

    /// Returns the header of the recording.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Runs a command to its end, or until it makes another call than the recording has. The result of each call is the
    /// recorded one. Passes the calls in `part` to `trace`, if given, and each line of the command's stderr to `stderr`.
    ///
    /// A command that computes without end is not interrupted.
    ///
    /// # Errors
    ///
    /// Fails if the recording can't be read to its end, if the command can't be started, or if the trace can't be
    /// written.
    pub fn run(
        self,
        engine: &Engine,
        component: &Component,
        part: Part,
        trace: Option<ToTrace>,
        stderr: fn(&str),
    ) -> Result<Replayed, ReplayError> {
        let began = Instant::now();
        let Self { header, reader } = self;
        let size = |size| usize::try_from(size).unwrap_or(usize::MAX);
        let linker = link::replayed_linker(engine)
            .map_err(|error| ReplayError::Start(super::super::Error::Link(error)))?;
        let player = Player {
            reader,
            limits: Limits::new(size(header.max_memory)),
            arguments: Vec::new(),
            part,
            trace,
            stop: None,
            end: None,
            stderr: Vec::new(),
            lines: Lines::new(stderr),
        };
        let max_resources = size(header.max_resources).min(u32::MAX as usize);
        let (ended, mut player) = execute(engine, component, &linker, player, max_resources, call);
        player.check_end(&ended)?;
        let (calls, recorded) = (player.reader.calls, player.reader.time);
        let mut replayed =
            Replayed { calls, recorded, took: began.elapsed(), ending: Ending::Wished, difference: None };
        match player.stop {
            None => replayed.ending = Ending::Whole,
            Some(Stop::Ending(ending)) => replayed.ending = ending,
            Some(Stop::Difference(difference)) => replayed.difference = Some(difference),
            Some(Stop::Read(error)) => return Err(error.into()),
            Some(Stop::Trace(error)) => return Err(ReplayError::Trace(error)),
        }
        Ok(replayed)
    }
}

/// The reason why a replay ends before the command does.
enum Stop {
    /// The command differs from the recorded one.
    Difference(String),
    /// The recording has no more calls, or no more are to be replayed.
    Ending(Ending),
    Read(ReadError),
    Trace(io::Error),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Short(at) => Self::Ending(Ending::Short(at)),
            error => Self::Read(error),
        }
    }
}

/// The host's state of a command that is replayed.
pub(in super::super) struct Player {
    reader: Reader,
    limits: Limits,
    /// The encoded arguments of the current call.
    arguments: Vec<u8>,
    part: Part,
    trace: Option<ToTrace>,
    stop: Option<Stop>,
    /// The recorded end, if it was reached before the end of the command.
    end: Option<End>,
    /// The numbers of the streams that are stderr.
    stderr: Vec<u32>,
    lines: Lines,
}

impl StoreData for Player {
    fn limits(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// Ends a command that computes, if the recorded one was ended then, or if its recording ended.
    fn tick(&mut self) -> Result<()> {
        match self.reader.next_end() {
            Ok(Some(end @ End::Ended(Outcome::Cut))) => {
                self.end = Some(end);
                Err(Ended::Cut.into())
            }
            Ok(Some(End::Limit)) => self.stop_with(Stop::Ending(Ending::Limit)),
            Ok(_) => Ok(()),
            Err(error) => self.stop_with(error.into()),
        }
    }

    fn stack_at_tick(&mut self) -> Option<Arc<GuestMemory>> {
        None
    }

    fn finish_io(&mut self, _: Outcome) {}
}

impl Player {
    /// Begins a call.
    pub(super) fn begin(&mut self) {
        self.arguments.clear();
    }

    /// Returns the encoded arguments of the current call, to append further ones.
    pub(super) fn arguments(&mut self) -> &mut Vec<u8> {
        &mut self.arguments
    }

    /// Compares the current call with the recorded one. Returns the recorded result, or a trap that ends the command.
    pub(super) fn answer<A: Answer>(&mut self, function: u32) -> A {
        match self.next(function) {
            Ok(answer) => answer,
            Err(Stop::Ending(Ending::Whole)) => A::trap(Ended::Cut.into()),
            Err(stop) => match self.stop_with(stop) {
                Ok(()) => A::trap(Error::msg("the replay has ended")),
                Err(error) => A::trap(error),
            },
        }
    }

    fn stop_with(&mut self, stop: Stop) -> Result<()> {
        self.stop.get_or_insert(stop);
        Err(Error::msg("the replay has ended"))
    }

    fn next<A: Answer>(&mut self, function: u32) -> Result<A, Stop> {
        let number = self.reader.calls + 1;
        if number >= self.part.from && !self.part.has(number) {
            return Err(Stop::Ending(Ending::Wished));
        }
        let position = self.reader.position();
        let (recorded, arguments, mut answer) = match self.reader.next(POLL)? {
            Record::Call { function, arguments, answer } => (function, arguments, answer),
            Record::End(End::Limit) => return Err(Stop::Ending(Ending::Limit)),
            // The recorded command was ended while it computed, before this call.
            Record::End(end @ End::Ended(Outcome::Cut)) => {
                self.end = Some(end);
                return Err(Stop::Ending(Ending::Whole));
            }
            Record::End(end) => {
                let call = show_call(function, &self.arguments);
                return Err(Stop::Difference(format!(
                    "after call {}, the recorded program {}; now it calls\n  {call}",
                    number - 1,
                    told(&end)
                )));
            }
        };
        if recorded != function || arguments != self.arguments {
            let text = differs(number, (recorded, arguments, answer), (function, &self.arguments));
            return Err(Stop::Difference(text));
        }
        let whole = answer;
        let wrong = ReadError::Damaged { at: position, what: "the result of a call is wrong" };
        let Some(found) = A::take(&mut answer).filter(|_| answer.is_empty()) else {
            return Err(Stop::Read(wrong));
        };
        let (stderr, lines) = (&mut self.stderr, &mut self.lines);
        log(function, arguments, whole, stderr, lines);
        let text = (self.trace.is_some() && self.part.has(number)).then(|| {
            let mut text = show_call(function, arguments);
            show_answer(function, whole, &mut text);
            text
        });
        if let (Some(text), Some(trace)) = (text, &mut self.trace) {
            let time = self.reader.time.as_secs_f64();
            trace(&format!("{number} at {time:.6} s: {text}")).map_err(Stop::Trace)?;
        }
        Ok(found)
    }

    /// Compares the end of the command with the recorded one.
    fn check_end(&mut self, ended: &Result<Outcome, super::super::Error>) -> Result<(), ReplayError> {
        if self.stop.is_some() {
            return Ok(());
        }
        let calls = self.reader.calls;
        let now = End::of(ended);
        let recorded =
            match self.end.take().map_or_else(|| self.reader.next(POLL), |end| Ok(Record::End(end))) {
                Ok(Record::End(End::Limit)) => {
                    self.stop = Some(Stop::Ending(Ending::Limit));
                    return Ok(());
                }
                Ok(Record::End(end)) if end == now => return Ok(()),
                Ok(Record::End(end)) => told(&end),
                Ok(Record::Call { function, arguments, answer }) => {
                    let mut call = format!("called\n  {}", show_call(function, arguments));
                    show_answer(function, answer, &mut call);
                    call
                }
                Err(error) => {
                    self.stop = Some(error.into());
                    return Ok(());
                }
            };
        let now = told(&now);
        let text = format!("after call {calls}, the program {now}, but the recorded one {recorded}");
        self.stop = Some(Stop::Difference(text));
        Ok(())
    }
}

/// Passes on what a call writes to stderr.
fn log(function: u32, arguments: &[u8], answer: &[u8], stderr: &mut Vec<u32>, lines: &mut Lines) {
    let stream = |mut input: &[u8]| u32::take(&mut input);
    if function == GET_STDERR {
        stderr.extend(answer.get(1..).and_then(stream));
    } else if function == DROP_OUTPUT && !stderr.is_empty() {
        stderr.retain(|own| Some(*own) != stream(arguments));
    } else if WRITES.contains(&function)
        && stream(arguments).is_some_and(|stream| stderr.contains(&stream))
        && let Some((_, bytes)) = written(arguments)
    {
        lines.add(&bytes);
    }
}

/// Returns a description of an end.
fn told(end: &End) -> String {
    match end {
        End::Ended(Outcome::Exited(code)) => format!("exited with code {code}"),
        End::Ended(Outcome::Drained) => "was ended on request, without connections".to_owned(),
        End::Ended(Outcome::Cut) => "was ended, since its drain timeout had expired".to_owned(),
        End::Trapped(reason) => format!("trapped: {}", reason.escape_debug()),
        End::Limit => "was not recorded any further".to_owned(),
    }
}

/// Returns a description of a difference between two calls.
fn differs(number: u64, recorded: (u32, &[u8], &[u8]), now: (u32, &[u8])) -> String {
    let (function, arguments, answer) = recorded;
    let mut text = format!("call {number} differs\n  recorded: {}", show_call(function, arguments));
    show_answer(function, answer, &mut text);
    write!(text, "\n  now:      {}", show_call(now.0, now.1)).ok();
    if function == now.0 {
        let at = arguments.iter().zip(now.1).take_while(|(a, b)| a == b).count();
        let around = |bytes: &[u8]| {
            let from = at.saturating_sub(AROUND / 2).min(bytes.len());
            bytes[from..bytes.len().min(from + AROUND)].escape_ascii().to_string()
        };
        write!(
            text,
            "\n  the encoded arguments, {} and {} bytes, differ first at byte {at}: \"{}\" and \"{}\"",
            arguments.len(),
            now.1.len(),
            around(arguments),
            around(now.1)
        )
        .ok();
    }
    text
}
