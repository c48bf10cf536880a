//! The log: a line of text or of JSON on stderr for each event. Logging never blocks.
//!
//! Clients and guests may determine the content and the number of the lines. Therefore each value is escaped and
//! truncated (see `log/escape.rs`), and each kind of event is limited to a number of lines per period; further events
//! are counted (see `log/limit.rs`). There is no timer and no thread: the count is written when something is logged
//! after the end of the period, and at the end of the process ([`finish`]).

mod escape;
mod limit;
mod line;

use std::cell::OnceCell;
use std::fmt::{Arguments, Display};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::stream::ERR;
use crate::{complain, is_coloured};
pub(crate) use escape::lines_escaped;
use limit::{Key, LeftOut, Limiter, Origin, Rule};
use line::Line;

/// The levels of `--log`, from the least to the most verbose.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// The period in which the lines of one kind are counted.
const SPAN: Duration = Duration::from_secs(10);

/// The period, and the factor on the limit, for lines that the user has requested: those of `--log debug` and `--log
/// trace`, and those of a guest's stderr.
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
    /// Format of the log: lines of text for people, or a JSON object per line for programs, with timestamp, level,
    /// message and fields. In both, control characters are escaped, and values longer than 1 KiB are truncated.
    #[arg(
        id = "log_format",
        long = "log-format",
        global = true,
        default_value = "text",
        value_enum,
        value_name = "FORMAT"
    )]
    pub format: Format,
    /// Maximum number of log lines of one kind in 10 seconds; further lines are counted, and the count is logged. For
    /// debug and trace, and for what a guest logs, the limit is 100 times as many lines per second. 0 for no limit.
    #[arg(id = "log_limit", long = "log-limit", global = true, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub limit: u32,
}

/// The format of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// Lines of text, for people.
    Text,
    /// A JSON object per line, for programs.
    Json,
}

/// The log of this process.
static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    format: Format,
    is_coloured: bool,
    /// The maximum number of lines of one kind in a period; 0 for no limit.
    limit: u32,
    limiter: Mutex<Limiter>,
}

/// Sets up logging to stderr; stdout is for the command's output. An unknown level is reported, and ends the process
/// with code 2, as other wrong arguments do.
pub fn begin(args: &LogArgs) {
    begin_with(args, LevelFilter::TRACE);
}

/// Sets up logging as [`begin`] does, for a command that is no server although it runs a loop: the level `info`, which is
/// the default, counts as `warn`, because it is about serving.
pub fn begin_without_info(args: &LogArgs) {
    begin_with(args, LevelFilter::WARN);
}

/// Sets up logging. The level `info` counts as `instead_of_info` if that is less verbose.
fn begin_with(args: &LogArgs, instead_of_info: LevelFilter) {
    let level = &args.level;
    let Some((_, filter)) = LEVELS.iter().find(|(known, _)| known == level) else {
        complain(format_args!(
            "--log (or SINBIN_LOG) {level:?}: unknown level; use error, warn, info, debug, trace or off"
        ));
        std::process::exit(2);
    };
    LOG.get_or_init(|| Log::new(args.format, args.limit));
    let filter = if *filter == LevelFilter::INFO { instead_of_info.min(*filter) } else { *filter };
    tracing_subscriber::registry().with(filter).with(Lines).init();
}

thread_local! {
    /// The name of the guest that this thread runs, if the process runs several.
    static GUEST: OnceCell<Arc<str>> = const { OnceCell::new() };
}

/// Names a guest in each line that this thread logs from now on, and counts its lines apart from those of other threads. Has
/// no effect if the thread has a guest already.
pub fn name_guest(name: &str) {
    GUEST.with(|guest| guest.set(name.into())).ok();
}

/// Returns the name of the guest that this thread runs, if the process runs several.
pub fn guest_name() -> Option<Arc<str>> {
    // A thread that ends may still log.
    GUEST.try_with(|guest| guest.get().cloned()).ok().flatten()
}

/// Writes the counts of the omitted lines that are not reported yet. Called at the end of the process.
pub fn finish() {
    let log = log();
    let left_out = log.limiter().all();
    log.tell_left_out(left_out);
}

/// Logs a panic: its location, its message, and the stack if the user has requested it.
pub(crate) fn panicked(place: (String, u32), what: Arguments<'_>, stack: Option<&dyn Display>) {
    let log = log();
    let key = Key::here(Origin::Panic(place));
    if !log.admits(&key, Level::ERROR, log.rule(Level::ERROR)) {
        return;
    }
    let mut line = Line::new(log.format, log.is_coloured, Level::ERROR);
    let excerpt = line.message(what);
    line.guest(&key);
    if let Some(stack) = stack {
        line.stack(stack);
    }
    log.write(line);
    log.limiter().remember(&key, excerpt);
}

/// Logs a line that a guest has written to its stderr.
pub fn guest_says(text: &str) {
    let log = log();
    let key = Key::here(Origin::Guest);
    if !log.admits(&key, Level::INFO, log.rule(Level::DEBUG)) {
        return;
    }
    let mut line = Line::new(log.format, log.is_coloured, Level::INFO);
    line.message(format_args!("guest: {text}"));
    line.guest(&key);
    log.write(line);
    log.limiter().remember(&key, "guest: its lines on stderr".to_owned());
}

fn log() -> &'static Log {
    LOG.get_or_init(|| Log::new(Format::Text, 10))
}

impl Key {
    /// Returns the key of an event of this thread.
    fn here(origin: Origin) -> Self {
        Self { guest: guest_name(), origin }
    }
}

impl Log {
    fn new(format: Format, limit: u32) -> Self {
        let is_coloured = format == Format::Text && is_coloured(&io::stderr());
        Self { format, is_coloured, limit, limiter: Mutex::new(Limiter::new()) }
    }

    /// Locks the state. No foreign code runs while the lock is held, and no panic can leave the state inconsistent.
    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an event, and returns true if it has to be written. Reports the omitted lines of expired periods first.
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

    /// Returns the limit for events of this level.
    fn rule(&self, level: Level) -> Rule {
        if level > Level::INFO {
            Rule { lines: self.limit.saturating_mul(ASKED_FOR), span: SHORT_SPAN }
        } else {
            Rule { lines: self.limit, span: SPAN }
        }
    }

    fn tell_left_out(&self, all: Vec<LeftOut>) {
        for LeftOut { guest, level, count, span, excerpt } in all {
            let mut line = Line::new(self.format, self.is_coloured, level);
            let seconds = span.as_secs_f32().ceil();
            line.message(format_args!("{count} more like this in the last {seconds} s: {excerpt}"));
            line.number("left_out", count);
            if let Some(guest) = guest {
                line.field("guest", &guest);
            }
            self.write(line);
        }
    }

    #[expect(clippy::unused_self, reason = "writing is an operation of the log")]
    fn write(&self, line: Line) {
        // The stream counts the lines that it drops.
        ERR.offer(line.finish().as_bytes()).ok();
    }
}

/// Writes events as lines.
struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let log = log();
        let meta = event.metadata();
        let key = Key::here(Origin::Event(meta.callsite()));
        // The limit of a guest's own lines is that of its stderr. They have a field with its name.
        let is_guests = meta.target() == "guest";
        let rule = log.rule(if is_guests { Level::DEBUG } else { *meta.level() });
        if !log.admits(&key, *meta.level(), rule) {
            return;
        }
        // Formatting the values runs foreign code, so no lock is held here.
        let mut line = Line::new(log.format, log.is_coloured, *meta.level());
        let excerpt = line.event(event);
        if !is_guests {
            line.guest(&key);
        }
        log.write(line);
        log.limiter().remember(&key, excerpt);
    }
}
