//! The log: a line of text or of JSON for each event, on stderr, which never waits.
//!
//! A line may hold what a client or a guest has said, as often as they like. So each value is escaped and cut (see
//! `log/escape.rs`), and of each kind of event no more is written than some lines in a span of time; the others are counted
//! (see `log/limit.rs`). There is no timer and no thread: the count is written once the span is over and anything else is
//! logged, and at the end of the process ([`finish`]).

mod escape;
mod limit;
mod line;

use std::fmt::{Arguments, Display};
use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::stream::ERR;
use crate::{complain, is_coloured};
pub(crate) use escape::lines_escaped;
use limit::{Key, LeftOut, Limiter, Rule};
use line::Line;

/// The levels of `--log`, from the least that is told to the most.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// In this span the lines of one kind are counted.
const SPAN: Duration = Duration::from_secs(10);

/// In this span so many times the lines of one kind may be written that somebody has asked for: those of `--log debug` and
/// `--log trace`, and a guest's own.
const SHORT_SPAN: Duration = Duration::from_secs(1);
const ASKED_FOR: u32 = 100;

/// The options of the log.
#[derive(Args)]
pub struct LogArgs {
    /// Level of the log on stderr: error, warn, info, debug, trace or off.
    #[arg(
        id = "log",
        long = "log",
        global = true,
        default_value = "info",
        env = "SINBIN_LOG",
        value_name = "LEVEL"
    )]
    pub level: String,
    /// How to log: a line of text for people, or a JSON object a line for programs, with timestamp, level, message and
    /// fields. Control characters are escaped in both, and what is longer than 1 KiB is cut.
    #[arg(
        id = "log_format",
        long = "log-format",
        global = true,
        default_value = "text",
        value_enum,
        value_name = "FORMAT"
    )]
    pub format: Format,
    /// Lines of one kind that are logged in 10 seconds; the others are counted, and the log says how many there were. Of
    /// debug and trace, and of what a guest writes to its stderr, 100 times as many a second. 0 is no limit.
    #[arg(id = "log_limit", long = "log-limit", global = true, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub limit: u32,
}

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The log of this process.
static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    format: Format,
    is_coloured: bool,
    /// Lines of one kind in a span; 0 is no limit.
    limit: u32,
    limiter: Mutex<Limiter>,
}

/// Sends logs to stderr, and leaves stdout to the command's output. An unknown level is reported, and ends the
/// process as other wrong arguments do, with code 2.
pub fn begin(args: &LogArgs) {
    let level = &args.level;
    let Some((_, filter)) = LEVELS.iter().find(|(known, _)| known == level) else {
        complain(format_args!(
            "--log (or SINBIN_LOG) {level:?}: there is no such level; it takes error, warn, info, debug, trace or off"
        ));
        std::process::exit(2);
    };
    LOG.get_or_init(|| Log::new(args.format, args.limit));
    tracing_subscriber::registry().with(*filter).with(Lines).init();
}

/// Writes how many lines were left out and not spoken of yet: at the end of the process.
pub fn finish() {
    let log = log();
    let left_out = log.limiter().all();
    log.tell_left_out(left_out);
}

/// Logs a panic: where it was, what it said, and the stack if somebody has asked for it.
pub(crate) fn panicked(place: (String, u32), what: Arguments<'_>, stack: Option<&dyn Display>) {
    let log = log();
    let key = Key::Panic(place);
    if !log.admits(&key, Level::ERROR, log.rule(Level::ERROR)) {
        return;
    }
    let mut line = Line::new(log.format, log.is_coloured, Level::ERROR);
    let excerpt = line.message(what);
    if let Some(stack) = stack {
        line.stack(stack);
    }
    log.write(line);
    log.limiter().remember(&key, excerpt);
}

/// Logs a line that a guest has written to its stderr.
pub fn guest_says(text: &str) {
    let log = log();
    if !log.admits(&Key::Guest, Level::INFO, log.rule(Level::DEBUG)) {
        return;
    }
    let mut line = Line::new(log.format, log.is_coloured, Level::INFO);
    line.message(format_args!("guest: {text}"));
    log.write(line);
    log.limiter().remember(&Key::Guest, "guest: its lines on stderr".to_owned());
}

fn log() -> &'static Log {
    LOG.get_or_init(|| Log::new(Format::Text, 10))
}

impl Log {
    fn new(format: Format, limit: u32) -> Self {
        let is_coloured = format == Format::Text && is_coloured(&io::stderr());
        Self { format, is_coloured, limit, limiter: Mutex::new(Limiter::new()) }
    }

    /// Locks the state. Nobody else's code runs under the lock, and the state is whole at any time.
    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an event, and returns true if it is to be written. Kinds whose span is over are told first.
    fn admits(&self, key: &Key, level: Level, rule: Rule) -> bool {
        if self.limit == 0 {
            return true;
        }
        let now = Instant::now();
        let mut limiter = self.limiter();
        let overdue = limiter.overdue(now);
        let is_admitted = limiter.admits(key, level, rule, now);
        drop(limiter);
        self.tell_left_out(overdue);
        is_admitted
    }

    /// Returns how often an event of this level may be written.
    fn rule(&self, level: Level) -> Rule {
        if level > Level::INFO {
            Rule { lines: self.limit.saturating_mul(ASKED_FOR), span: SHORT_SPAN }
        } else {
            Rule { lines: self.limit, span: SPAN }
        }
    }

    fn tell_left_out(&self, all: Vec<LeftOut>) {
        for LeftOut { level, count, span, excerpt } in all {
            let mut line = Line::new(self.format, self.is_coloured, level);
            let seconds = span.as_secs_f32().ceil();
            line.message(format_args!("{count} more like this in the last {seconds} s: {excerpt}"));
            line.number("left_out", count);
            self.write(line);
        }
    }

    #[expect(clippy::unused_self, reason = "it is the log that writes")]
    fn write(&self, line: Line) {
        // The stream counts a line that it drops.
        ERR.offer(line.finish().as_bytes()).ok();
    }
}

/// Writes events as lines.
struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let log = log();
        let meta = event.metadata();
        let key = Key::Event(meta.callsite());
        if !log.admits(&key, *meta.level(), log.rule(*meta.level())) {
            return;
        }
        // Values of the user's are written here, with nothing locked.
        let mut line = Line::new(log.format, log.is_coloured, *meta.level());
        let excerpt = line.event(event);
        log.write(line);
        log.limiter().remember(&key, excerpt);
    }
}
