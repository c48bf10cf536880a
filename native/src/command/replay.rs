//! `sinbin replay` and `sinbin-wasi replay`.

use std::error::Error;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::command::output;
use crate::driver::{Blueprint, Ending, Part, Playback, PlaybackError, Played};

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
}

/// Plays a recording back to guests of `blueprint`.
///
/// # Errors
///
/// When it can't be played; when a turn is answered otherwise than was recorded.
pub fn play<B: Blueprint>(
    playback: Playback,
    blueprint: &B,
    args: &ReplayArgs,
) -> Result<ExitCode, Box<dyn Error>> {
    let part = Part { from: args.from, turns: args.turns.unwrap_or(u64::MAX) };
    let played = if args.trace {
        let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        let played = playback.run(blueprint, part, Some(&mut out));
        match played.and_then(|played| out.flush().map(|()| played).map_err(PlaybackError::Write)) {
            // Nobody reads any more, as behind `| head`.
            Err(PlaybackError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                // What is left in there can't be written either.
                let _ = out.into_parts();
                return Ok(ExitCode::SUCCESS);
            }
            played => played?,
        }
    } else {
        playback.run(blueprint, part, None)?
    };
    // Of two traces, nothing but the story is to be compared.
    if args.trace {
        // Whoever has read the story may be gone.
        writeln!(io::stderr(), "{}", Told(&played)).ok();
    } else {
        output::line(Told(&played));
    }
    match played.difference {
        None => Ok(ExitCode::SUCCESS),
        Some(difference) => Err(format!(
            "turn {} is answered otherwise than was recorded (another version of the service, or another service?)\n{}",
            difference.turn,
            difference.story.trim_end()
        )
        .into()),
    }
}

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
            Ending::Whole => write!(f, "; every answer the same"),
            Ending::Limit => write!(f, "; every answer the same, up to the recording's limit"),
            Ending::Short(at) => {
                write!(f, "; every answer the same, up to byte {at}, where the recording is cut short")
            }
            Ending::Wished => write!(f, "; every answer the same so far"),
        }
    }
}
