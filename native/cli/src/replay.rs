//! The commands `sinbin replay` and `sinbin-wasi replay`.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use sinbin::driven::TurnOutput;
use sinbin::driven::recording::{Header, Turn};

use crate::perfetto::{MAX_TRACKS, ReplayTrace};
use crate::size::{Size, size_within};
use crate::stream::{ERR, OUT, Waiting};
use crate::{complain, output};
use sinbin::guests::{Difference, Ending, GuestFactory, Part, Playback, PlaybackError, Played, TurnReader};

/// The options for replaying a recording, and for printing its trace.
#[derive(Args)]
pub struct ReplayArgs {
    /// The recording's file.
    pub file: PathBuf,
    /// Print a trace: the input of the service, turn by turn, and its answers; or the calls of a WASI command, and their
    /// results.
    #[arg(long)]
    pub trace: bool,
    /// First turn to print, or first call of a WASI command; those before it run without being printed.
    #[arg(long, default_value_t = 1, value_name = "TURN", requires = "trace", value_parser = clap::value_parser!(u64).range(1..))]
    pub from: u64,
    /// Number of turns to print, or of calls; those after them do not run.
    #[arg(long, value_name = "N", requires = "trace", value_parser = clap::value_parser!(u64).range(1..))]
    pub turns: Option<u64>,
    /// Write the run as a trace for ui.perfetto.dev: turns, connections and jobs as slices on tracks, and wakes as arrows. The
    /// file has no bytes of clients.
    #[arg(long, value_name = "FILE.json", conflicts_with = "trace")]
    pub perfetto: Option<PathBuf>,
    /// Print what the recorded program printed, and the result to stderr.
    #[arg(long, conflicts_with_all = ["trace", "perfetto"])]
    pub print: bool,
    /// The limits on the resources that a recording may require.
    #[command(flatten)]
    pub limits: ReplayLimits,
}

/// The limits on the size of the recorded server.
#[derive(Args)]
pub struct ReplayLimits {
    /// Maximum --max-connections of the recorded server; a recording of a server with a larger value is refused, since
    /// replaying it may need as much memory.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,
    /// Maximum --max-buffered of the recorded server, such as 64M or 1G; a number without a unit is in MiB. A recording of
    /// a server with a larger value is refused.
    #[arg(long, default_value = "64MiB", value_name = "SIZE", value_parser = size_within(Size::mebibytes(1)..=Size::mebibytes(4096)))]
    pub max_buffered: Size,
}

impl ReplayLimits {
    /// Checks the settings in a recording's header.
    fn check(&self, header: &Header) -> Result<(), String> {
        let start = &header.start;
        let (option, had) = if start.max_connections > self.max_connections {
            ("--max-connections", start.max_connections)
        } else if u64::from(start.max_buffered) > self.max_buffered.0 {
            ("--max-buffered", start.max_buffered.div_ceil(1 << 20))
        } else {
            return Ok(());
        };
        Err(format!(
            "the recorded server had {option} {had}, and replaying may need as much memory; {option} {had} allows that"
        ))
    }
}

/// The exit code if a recording is incomplete, and all recorded answers match.
pub const SHORT: u8 = 4;

/// Replays a recording with guests of `factory`.
///
/// # Errors
///
/// Fails if the recording can't be replayed, if an answer differs from the recording, if stdout can't be written to, or
/// if the recording ends before the first turn to print.
pub fn play<B: GuestFactory>(
    playback: Playback,
    factory: &B,
    args: &ReplayArgs,
) -> Result<ExitCode, Box<dyn Error>> {
    let refused = |what| format!("cannot replay {}: {what}", args.file.display());
    args.limits.check(playback.header()).map_err(refused)?;
    let part = Part { from: args.from, turns: args.turns.unwrap_or(u64::MAX) };
    let (played, written) = match &args.perfetto {
        Some(path) => perfetto(playback, factory, path)?,
        None if args.trace => trace(playback, factory, part),
        None if args.print => print(playback, factory),
        None => compare(playback, factory),
    };
    let played = match played {
        // The reader has closed its end of stdout, as `| head` does.
        Err(PlaybackError::Write(error)) if is_unread(&error) => return Ok(ExitCode::SUCCESS),
        played => played?,
    };
    if let Some(difference) = &played.difference {
        let is_shown = args.trace && part.has(difference.turn) && written.is_ok();
        return Err(differs(difference, is_shown).into());
    }
    match written {
        Err(error) if args.trace && is_unread(&error) => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(format!("cannot write to stdout: {error}").into()),
        Ok(()) => {}
    }
    if args.trace && played.turns < args.from {
        return Err(format!(
            "--from {} is beyond the end of the recording: {} has {} turns",
            args.from,
            args.file.display(),
            played.turns
        )
        .into());
    }
    Ok(match played.ending {
        Ending::Short(_) => ExitCode::from(SHORT),
        Ending::Whole | Ending::Limit | Ending::Wished => ExitCode::SUCCESS,
    })
}

/// Replays the recording, and prints the result to stdout. Returns the result, and whether it could be printed.
fn compare<B: GuestFactory>(playback: Playback, factory: &B) -> Outcome {
    let played = playback.run(factory, Part::default(), None);
    let written = played.as_ref().map_or(Ok(()), |played| output::try_line(Told(played)).map(drop));
    (played, written)
}

/// Replays the recording, and prints its trace to stdout. The result goes to stderr, so that two traces can be
/// compared.
fn trace<B: GuestFactory>(playback: Playback, factory: &B, part: Part) -> Outcome {
    let mut out = BufWriter::with_capacity(64 * 1024, Waiting(&OUT));
    let played = playback.run(factory, part, Some(&mut out));
    let written = out.flush();
    // After a failed flush, the rest of the buffer must be discarded: dropping the writer would try to write it again.
    let _ = out.into_parts();
    if let Ok(played) = &played
        && (written.is_ok() || played.difference.is_some())
    {
        // An error is ignored: the result is also in the exit code.
        ERR.offer(format!("{}\n", Told(played)).as_bytes()).ok();
    }
    (played, written)
}

/// Replays the recording, and prints to stdout what the program prints. The result goes to stderr.
fn print<B: GuestFactory>(playback: Playback, factory: &B) -> Outcome {
    let mut printer = Printer(Waiting(&OUT));
    let played = playback.run_with(factory, Part::default(), Some(&mut printer));
    if let Ok(played) = &played {
        ERR.offer(format!("{}\n", Told(played)).as_bytes()).ok();
    }
    (played, Ok(()))
}

/// A reader of turns that prints what the program prints.
struct Printer<W>(W);

impl<W: Write> TurnReader for Printer<W> {
    fn turn(&mut self, _: u64, _: &Turn<'_>, answer: Option<&TurnOutput>) -> io::Result<()> {
        answer.map_or(Ok(()), |answer| self.0.write_all(&answer.printed()))
    }

    fn fresh(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replays the recording, writes its trace for perfetto to `path`, and prints the result to stdout.
fn perfetto<B: GuestFactory>(
    playback: Playback,
    factory: &B,
    path: &Path,
) -> Result<Outcome, Box<dyn Error>> {
    let failed = |error| format!("cannot write {}: {error}", path.display());
    let file = BufWriter::with_capacity(64 * 1024, File::create(path).map_err(failed)?);
    let mut trace = ReplayTrace::new(file, &playback.header().service).map_err(failed)?;
    let played = match playback.run_with(factory, Part::default(), Some(&mut trace)) {
        Err(PlaybackError::Write(error)) => return Err(failed(error).into()),
        played => played,
    };
    // A recording that cannot be read to its end, or is answered differently, has a trace up to there.
    let (mut file, left_out) = trace.finish().map_err(failed)?;
    file.flush().map_err(failed)?;
    if left_out > 0 {
        complain(format_args!(
            "the trace lacks {left_out} events of connections beyond the first {MAX_TRACKS}"
        ));
    }
    let written = played.as_ref().map_or(Ok(()), |played| output::try_line(Told(played)).map(drop));
    Ok((played, written))
}

/// The result of a replay, and the result of writing to stdout.
type Outcome = (Result<Played, PlaybackError>, io::Result<()>);

fn is_unread(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Returns a description of the difference, without the turn's trace if it is already printed.
fn differs(difference: &Difference, is_shown: bool) -> String {
    let Difference { turn, story, why } = difference;
    let mut text = format!(
        "the answer to turn {turn} differs from the recording (is it of another service, or of another version?)"
    );
    if !is_shown {
        text.push('\n');
        text.push_str(story.trim_end());
    }
    if let Some(why) = why {
        text.push_str("\n  ");
        text.push_str(why);
    }
    text
}

/// The reason why a recording may be incomplete.
const WHY_SHORT: &str = "(the server is still running, or was killed)";

/// The result of a replay, formatted as a line.
struct Told<'a>(&'a Played);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Played { turns, events, pieces, recorded, took, .. } = self.0;
        let (recorded, took) = (recorded.as_secs_f64(), took.as_secs_f64());
        write!(
            f,
            "{turns} turns, {events} events, {pieces} pieces received; {recorded:.3} s in {took:.3} s, {:.1} times as fast",
            recorded / took.max(1e-9)
        )?;
        match self.0.ending {
            _ if self.0.difference.is_some() => Ok(()),
            Ending::Short(at) if *turns == 0 => {
                write!(
                    f,
                    "; nothing was compared: the recording is incomplete, and ends at byte {at} {WHY_SHORT}"
                )
            }
            Ending::Short(at) => write!(
                f,
                "; all answers match up to byte {at}, where the incomplete recording ends {WHY_SHORT}"
            ),
            _ if *turns == 0 => write!(f, "; nothing was compared: the recording has no turns"),
            Ending::Whole => write!(f, "; all answers match"),
            Ending::Limit => write!(f, "; all answers match, up to the recording's limit"),
            Ending::Wished => write!(f, "; all answers match so far"),
        }
    }
}
