//! `sinbin-wasi replay` of the recording of a WASI command.

use std::error::Error;
use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use sinbin::guests::{Ending, Part};
use sinbin_cli::replay::SHORT;
use sinbin_cli::stream::{ERR, OUT, Waiting};
use sinbin_cli::{log, output};
use sinbin_wasi::portable::recording::{Header, Replay, ReplayError, Replayed, ToTrace, digest};
use sinbin_wasi::{Artefact, engine};

use crate::cli::{GuestReplayArgs, refuse};
use crate::run::{pace, tick, with_memory};

/// The destination of a trace.
type Out = Arc<Mutex<BufWriter<Waiting>>>;

pub(crate) fn run(args: &GuestReplayArgs) -> Result<ExitCode, Box<dyn Error>> {
    if args.replay.perfetto.is_some() {
        refuse("--perfetto requires a recording of a service; this is one of a WASI command: give --trace");
    }
    let refused = |what: String| format!("cannot replay {}: {what}", args.replay.file.display());
    let replay = Replay::open(&args.replay.file).map_err(|error| refused(error.to_string()))?;
    check(args, replay.header()).map_err(refused)?;
    let engine = engine()?;
    let artefact = args.load.load(&args.guest, &engine)?;
    tick(&engine, pace(&artefact, args.turn_limit))?;
    let Artefact::Portable(component) = artefact else {
        let guest = args.guest.display();
        return Err(refused(format!("it is a recording of a WASI command, and {guest} is a service")).into());
    };
    let part = Part { from: args.replay.from, turns: args.replay.turns.unwrap_or(u64::MAX) };
    let out: Out = Arc::new(Mutex::new(BufWriter::with_capacity(64 * 1024, Waiting(&OUT))));
    let trace = args.replay.trace.then(|| to_trace(Arc::clone(&out)));
    let replayed = replay.run(&engine, &component, part, trace, log::guest_says);
    let written = out.lock().unwrap_or_else(PoisonError::into_inner).flush();
    let replayed = match replayed {
        // The reader has closed its end of stdout, as `| head` does.
        Err(ReplayError::Trace(error)) if error.kind() == ErrorKind::BrokenPipe => {
            return Ok(ExitCode::SUCCESS);
        }
        Err(error @ ReplayError::Recording(_)) => return Err(refused(error.to_string()).into()),
        Err(error) => return Err(with_memory(error.into(), args.max_memory)),
        Ok(replayed) => replayed,
    };
    end(args, &replayed, written)
}

/// Checks that the recording is one of this component, and needs no more memory than allowed.
fn check(args: &GuestReplayArgs, header: &Header) -> Result<(), String> {
    let allowed = args.max_memory.bytes() as u64;
    if header.max_memory > allowed {
        let had = header.max_memory.div_ceil(1 << 20);
        return Err(format!("the recorded program had --max-memory {had}; --max-memory {had} allows that"));
    }
    let guest = args.guest.display();
    let found = digest(&args.guest).map_err(|error| format!("cannot read {guest}: {error}"))?;
    if found != header.component && !args.any_component {
        return Err(format!(
            "it is a recording of another component, {:?} with the SHA-256 {}, and that of {guest} is {}; with \
             --any-component, it is compared nevertheless",
            header.program,
            Hex(&header.component),
            Hex(&found)
        ));
    }
    Ok(())
}

fn to_trace(out: Out) -> ToTrace {
    Box::new(move |call| writeln!(out.lock().unwrap_or_else(PoisonError::into_inner), "{call}"))
}

/// Prints the result.
fn end(
    args: &GuestReplayArgs,
    replayed: &Replayed,
    written: io::Result<()>,
) -> Result<ExitCode, Box<dyn Error>> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.map_err(|error| format!("cannot write to stdout: {error}"))?,
    }
    let told = Told(replayed);
    if args.replay.trace {
        // The result is also in the exit code.
        ERR.offer(format!("{told}\n").as_bytes()).ok();
    } else {
        output::try_line(&told).map_err(|error| format!("cannot write to stdout: {error}"))?;
    }
    if let Some(difference) = &replayed.difference {
        let why = "(is it of another version of the program? Were the same limits given?)";
        return Err(format!("the program differs from the recorded one {why}: {difference}").into());
    }
    if args.replay.trace && replayed.calls < args.replay.from {
        let (from, calls) = (args.replay.from, replayed.calls);
        return Err(
            format!("--from {from} is beyond the end of the recording, which has {calls} calls").into()
        );
    }
    Ok(match replayed.ending {
        Ending::Short(_) => ExitCode::from(SHORT),
        Ending::Whole | Ending::Limit | Ending::Wished => ExitCode::SUCCESS,
    })
}

/// Bytes, formatted as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The result of a replay, formatted as a line.
struct Told<'a>(&'a Replayed);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Replayed { calls, recorded, took, .. } = self.0;
        let (recorded, took) = (recorded.as_secs_f64(), took.as_secs_f64());
        let times = recorded / took.max(1e-9);
        write!(f, "{calls} calls; {recorded:.3} s in {took:.3} s, {times:.1} times as fast")?;
        match self.0.ending {
            _ if self.0.difference.is_some() => Ok(()),
            Ending::Short(at) => write!(
                f,
                "; all calls match up to byte {at}, where the incomplete recording ends (the program is still \
                 running, or was killed)"
            ),
            Ending::Whole => write!(f, "; all calls match"),
            Ending::Limit => write!(f, "; all calls match, up to the recording's limit"),
            Ending::Wished => write!(f, "; all calls match so far"),
        }
    }
}
