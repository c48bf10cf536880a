//! `sinbin replay` and `sinbin-wasi replay`.

use std::error::Error;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sinbin::driven::recording::Header;

use crate::output;
use crate::stream::{ERR, OUT, Waiting};
use sinbin::guests::{Difference, Ending, GuestFactory, Part, Playback, PlaybackError, Played};

/// What is played back, and what of it is shown.
#[derive(Args)]
pub struct ReplayArgs {
    /// The recording.
    pub file: PathBuf,
    /// Print the story: what the service is told, turn by turn, and what it answers.
    #[arg(long)]
    pub trace: bool,
    /// Print it from this turn on; those before are run in silence.
    #[arg(long, default_value_t = 1, value_name = "TURN", requires = "trace", value_parser = clap::value_parser!(u64).range(1..))]
    pub from: u64,
    /// Print, and run, so many turns and no more.
    #[arg(long, value_name = "N", requires = "trace", value_parser = clap::value_parser!(u64).range(1..))]
    pub turns: Option<u64>,
    /// Limits of what a recording may ask for.
    #[command(flatten)]
    pub limits: ReplayLimits,
}

/// How large a server may have been whose recording is replayed.
#[derive(Args)]
pub struct ReplayLimits {
    /// The most connections at a time that the recorded server may have had (its --max-connections): a recording of one
    /// with more is refused, since replaying it may take as much memory.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,
    /// The most that the recorded server may have kept for slow clients and jobs, in MiB (its --max-buffered),
    /// likewise.
    #[arg(long, default_value_t = 64, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub max_buffered: u32,
}

impl ReplayLimits {
    /// Checks what a recording says of its server.
    fn check(&self, header: &Header) -> Result<(), String> {
        let start = &header.start;
        let (option, had) = if start.max_connections > self.max_connections {
            ("--max-connections", start.max_connections)
        } else if start.max_buffered.div_ceil(1 << 20) > self.max_buffered {
            ("--max-buffered", start.max_buffered.div_ceil(1 << 20))
        } else {
            return Ok(());
        };
        Err(format!(
            "it says that its server had {option} {had}, and to replay it may take as much memory; {option} {had} allows that"
        ))
    }
}

/// The exit code when a recording is cut short, and nothing is wrong with what there is of it.
pub const SHORT: u8 = 4;

/// Plays a recording back to guests of `factory`.
///
/// # Errors
///
/// When it can't be played; when a turn is answered otherwise than was recorded; when it has not the turn that is to be
/// shown first.
pub fn play<B: GuestFactory>(
    playback: Playback,
    factory: &B,
    args: &ReplayArgs,
) -> Result<ExitCode, Box<dyn Error>> {
    let refused = |what| format!("cannot play {} back: {what}", args.file.display());
    args.limits.check(playback.header()).map_err(refused)?;
    let part = Part { from: args.from, turns: args.turns.unwrap_or(u64::MAX) };
    let (played, written) =
        if args.trace { trace(playback, factory, part) } else { compare(playback, factory) };
    let played = match played {
        // The reader has gone, as behind `| head`.
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
            "there is no turn {}: {} has {} turns",
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

/// Plays it back, and says how it went. Returns that, and whether it could be said.
fn compare<B: GuestFactory>(playback: Playback, factory: &B) -> Outcome {
    let played = playback.run(factory, Part::default(), None);
    let written = played.as_ref().map_or(Ok(()), |played| output::try_line(Told(played)).map(drop));
    (played, written)
}

/// Plays it back, and tells the story on stdout. How it went is said on stderr, so that two stories can be compared.
fn trace<B: GuestFactory>(playback: Playback, factory: &B, part: Part) -> Outcome {
    let mut out = BufWriter::with_capacity(64 * 1024, Waiting(&OUT));
    let played = playback.run(factory, part, Some(&mut out));
    let written = out.flush();
    // The rest in the buffer can't be written either.
    let _ = out.into_parts();
    if let Ok(played) = &played
        && (written.is_ok() || played.difference.is_some())
    {
        // The reader of the story may be gone.
        ERR.offer(format!("{}\n", Told(played)).as_bytes()).ok();
    }
    (played, written)
}

/// How it went, and what came of writing to stdout.
type Outcome = (Result<Played, PlaybackError>, io::Result<()>);

fn is_unread(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Returns what is different, without the turn's story if that is shown already.
fn differs(difference: &Difference, is_shown: bool) -> String {
    let Difference { turn, story, why } = difference;
    let mut text = format!(
        "turn {turn} is answered otherwise than was recorded (another version of the service, or another service?)"
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

/// Why a recording may have no end.
const WHY_SHORT: &str = "(the server still runs, or was killed)";

/// How it went, in a line.
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
                write!(f, "; nothing is compared, as the recording is cut short behind byte {at} {WHY_SHORT}")
            }
            Ending::Short(at) => write!(
                f,
                "; every answer the same, up to byte {at}, where the recording is cut short {WHY_SHORT}"
            ),
            _ if *turns == 0 => write!(f, "; nothing is compared, as there is no turn"),
            Ending::Whole => write!(f, "; every answer the same"),
            Ending::Limit => write!(f, "; every answer the same, up to the recording's limit"),
            Ending::Wished => write!(f, "; every answer the same so far"),
        }
    }
}
