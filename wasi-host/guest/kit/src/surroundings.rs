//! The facts that the host tells an instance beside its input, and the lines that the instance logs.
//!
//! All of it is state of the instance, so that any code of the guest can use it without a handle. Only guests that are
//! made by [`tasks!`](crate::tasks) contain this code.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::{self, Write as _};
use core::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use log::{Level, LevelFilter, Log, Metadata, Record};
use sinbin_core::TaskId;

use crate::bindings::exports::sinbin::service::guest::{Answer, Event, Tally};
use crate::bindings::sinbin::service::types::{Command, Entry, Level as HostLevel, Rest};
use crate::run::Run;
use crate::sole::Sole;
use crate::wakers;

/// The maximum number of bytes of a line, and of all lines of a turn. What exceeds a maximum is left out.
const MAX_LINE: usize = 1024;
const MAX_LINES: usize = 64 * 1024;

/// The state of an instance.
struct State {
    /// The time of the turn, in nanoseconds of the host's clock.
    now: u64,
    /// The wall-clock time, in nanoseconds since the Unix epoch, at a time of the host's clock.
    wall_clock: Option<(u64, u64)>,
    random: Option<Box<ChaCha20Rng>>,
    lines: Vec<Entry>,
    text: String,
    left_out: u32,
}

/// Calls `act` with the state of the instance. On other targets than wasm there is no instance, and no state outlasts the
/// call.
fn with_state<R>(act: impl FnOnce(&mut State) -> R) -> R {
    #[cfg(target_arch = "wasm32")]
    {
        static STATE: Sole<State> = Sole(RefCell::new(State::new()));
        act(&mut STATE.0.borrow_mut())
    }
    #[cfg(not(target_arch = "wasm32"))]
    act(&mut Sole(RefCell::new(State::new())).0.borrow_mut())
}

/// Error returned when the host has not told the guest what it asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unavailable;

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host does not provide it")
    }
}

impl core::error::Error for Unavailable {}

/// Fills `bytes` with unpredictable random numbers: those of ChaCha20, with a seed from the host. A recording contains the
/// seed, so that a replay draws the same numbers. They are no secret from a reader of the recording.
///
/// # Errors
///
/// Fails before the first turn, in a job, and if the host does not provide a seed.
pub fn random(bytes: &mut [u8]) -> Result<(), Unavailable> {
    with_state(|state| state.random.as_mut().map(|random| random.fill_bytes(bytes))).ok_or(Unavailable)
}

/// Returns the wall-clock time since 1970-01-01 00:00:00 UTC, at the beginning of this turn. A replay shows the recorded
/// time. The time can jump, if the clock of the host is set.
///
/// # Errors
///
/// Fails before the first turn, in a job, and if the host does not provide the time.
pub fn unix_time() -> Result<Duration, Unavailable> {
    with_state(|state| state.unix_time())
}

/// A logger that passes lines to the host at the end of the turn. Lines of a turn that traps are lost.
struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut line = Line { text: String::new(), room: MAX_LINE };
        // Writing fails at the maximum length. The state is not borrowed meanwhile, since it calls code of the guest.
        let _ = write!(line, "{}", record.args());
        with_state(|state| state.log(record.level(), &line.text));
    }

    fn flush(&self) {}
}

impl State {
    const fn new() -> Self {
        let lines = Vec::new();
        Self { now: 0, wall_clock: None, random: None, lines, text: String::new(), left_out: 0 }
    }

    fn unix_time(&self) -> Result<Duration, Unavailable> {
        let (at, time) = self.wall_clock.ok_or(Unavailable)?;
        Ok(Duration::from_nanos(time.saturating_add(self.now.saturating_sub(at))))
    }

    fn log(&mut self, level: Level, line: &str) {
        if self.text.len() >= MAX_LINES || self.lines.len() >= MAX_LINES / 16 {
            self.left_out += 1;
            return;
        }
        let level = match level {
            Level::Error => HostLevel::Error,
            Level::Warn => HostLevel::Warn,
            Level::Info => HostLevel::Info,
            Level::Debug => HostLevel::Debug,
            Level::Trace => HostLevel::Trace,
        };
        self.lines.push(Entry { level, len: length(line.len()) });
        self.text.push_str(line);
    }

    /// Learns from the events of a turn.
    fn hear(&mut self, now: u64, events: &[Event], input: &[u8]) {
        let mut told = 0_usize;
        for event in events {
            let len = match event {
                Event::Accepted(arrival) => arrival.len,
                Event::Received(piece) => piece.len,
                Event::Computed(parcel) => parcel.len,
                Event::Connected(connection) => connection.len,
                Event::Entropy(len) => *len,
                _ => 0,
            };
            let bytes = input.get(told..).and_then(|rest| rest.get(..len as usize)).unwrap_or_default();
            told += bytes.len();
            match event {
                Event::WallClock(time) => self.wall_clock = Some((now, *time)),
                Event::Entropy(_) => {
                    let seed = bytes.first_chunk::<32>();
                    self.random = seed.map(|seed| Box::new(ChaCha20Rng::from_seed(*seed)));
                }
                _ => {}
            }
        }
    }

    /// Moves the lines of the turn to its answer.
    fn say(&mut self, answer: &mut Answer) {
        if self.left_out > 0 {
            let before = self.text.len();
            // Writing to a string does not fail.
            let _ = write!(self.text, "{} more lines were logged in this turn", self.left_out);
            self.left_out = 0;
            self.lines.push(Entry { level: HostLevel::Warn, len: length(self.text.len() - before) });
        }
        answer.commands.extend(self.lines.drain(..).map(Command::Log));
        answer.output.extend_from_slice(self.text.as_bytes());
        self.text.clear();
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A line of limited length.
struct Line {
    text: String,
    room: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = (0..=part.len().min(self.room)).rev().find(|end| part.is_char_boundary(*end));
        let fitting = &part[..end.unwrap_or(0)];
        self.text.push_str(fitting);
        self.room -= fitting.len();
        if fitting.len() == part.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// A loop whose code can use these facts, and log.
pub(crate) struct Surrounded<R>(R);

impl<R: Run> Surrounded<R> {
    /// Surrounds a loop, and installs the logger. It passes lines of the level `info` and above, unless the guest calls
    /// [`log::set_max_level`].
    pub(crate) fn new(run: R) -> Self {
        // Another logger of the guest is left in place.
        if log::set_logger(&Logger).is_ok() {
            log::set_max_level(LevelFilter::Info);
        }
        Self(run)
    }
}

impl<R: Run> Run for Surrounded<R> {
    fn turn(&mut self, now: u64, window: u32, events: Vec<Event>, input: Vec<u8>) -> Answer {
        let is_news = |event: &Event| matches!(event, Event::WallClock(_) | Event::Entropy(_));
        with_state(|state| {
            state.now = now;
            if events.iter().any(is_news) {
                state.hear(now, &events, &input);
            }
        });
        let mut answer = self.0.turn(now, window, events, input);
        for task in wakers::take_pending() {
            if self.0.wake(task) {
                answer.rest = Rest::Ready;
            }
        }
        with_state(|state| {
            if !state.lines.is_empty() {
                state.say(&mut answer);
            }
        });
        answer
    }

    fn counts(&self) -> Tally {
        self.0.counts()
    }

    fn wake(&mut self, task: TaskId) -> bool {
        self.0.wake(task)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;
    use std::{format, vec};

    use super::*;
    use crate::bindings::sinbin::service::types::Piece;

    fn answer() -> Answer {
        Answer { rest: Rest::Waiting, room: 0, commands: Vec::new(), output: vec![b'x'] }
    }

    #[test]
    fn the_seed_and_the_time_are_found_among_other_events() {
        let mut state = State::new();
        assert_eq!(state.unix_time(), Err(Unavailable));
        let events = [
            Event::Received(Piece { source: 1, len: 3 }),
            Event::WallClock(5_000_000_000),
            Event::Entropy(32),
            Event::Received(Piece { source: 2, len: 1 }),
        ];
        let input = [&b"abc"[..], &[7; 32], b"d"].concat();
        state.hear(1_000, &events, &input);
        state.now = 1_000_001_000;
        assert_eq!(state.unix_time(), Ok(Duration::from_secs(6)));
        let (mut drawn, mut expected) = ([0; 16], [0; 16]);
        state.random.expect("a seed").fill_bytes(&mut drawn);
        ChaCha20Rng::from_seed([7; 32]).fill_bytes(&mut expected);
        assert_eq!(drawn, expected);
        // A seed that is too short is none.
        let mut state = State::new();
        state.hear(0, &[Event::Entropy(31)], &[7; 31]);
        state.hear(0, &[Event::Entropy(u32::MAX)], &[7; 40]);
        assert!(state.random.is_none());
    }

    #[test]
    fn lines_follow_the_answer_and_are_limited() {
        let mut state = State::new();
        state.log(Level::Info, "one");
        state.log(Level::Error, "");
        let mut said = answer();
        state.say(&mut said);
        let len = |command: &Command| match command {
            Command::Log(Entry { len, .. }) => *len,
            _ => u32::MAX,
        };
        let lens: Vec<_> = said.commands.iter().map(len).collect();
        assert_eq!((lens.as_slice(), said.output.as_slice()), (&[3, 0][..], &b"xone"[..]));
        (0..6_000).for_each(|_| state.log(Level::Debug, "again"));
        let mut said = answer();
        state.say(&mut said);
        assert!(said.commands.len() <= MAX_LINES / 16 + 1 && said.output.len() <= MAX_LINES + 100);
        assert!(said.output.ends_with(b" more lines were logged in this turn"));
        assert!(state.lines.is_empty() && state.text.is_empty());
    }

    #[test]
    fn a_long_line_ends_within_no_character() {
        for width in 1..5 {
            let mut line = Line { text: String::new(), room: 10 };
            let char = ["a", "é", "€", "😀"][width - 1];
            assert!(write!(line, "{}", format!("x{}", char.repeat(20))).is_err());
            assert_eq!(line.text.len(), 1 + 9 / width * width);
        }
    }
}
