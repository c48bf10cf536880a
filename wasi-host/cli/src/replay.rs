//! `sinbin-wasi replay`.

use std::error::Error;
use std::process::ExitCode;

use sinbin::guests::{Playback, PlaybackError};
use sinbin_cli::replay::play;
use sinbin_wasi::portable::recording::is_recording;
use sinbin_wasi::{Artefact, engine};

use crate::cli::GuestReplayArgs;
use crate::replay_calls;
use crate::run::{factory, pace, tick, with_memory};

pub(crate) fn run(args: &GuestReplayArgs) -> Result<ExitCode, Box<dyn Error>> {
    // An error of the file is reported below.
    if is_recording(&args.replay.file).unwrap_or(false) {
        return replay_calls::run(args);
    }
    let playback = Playback::open(&args.replay.file).map_err(|error| advised(error, args))?;
    let engine = engine()?;
    let artefact = args.load.load(&args.guest, &engine)?;
    tick(&engine, pace(&artefact, args.turn_limit))?;
    let Artefact::Driven(component) = artefact else {
        return Err(format!(
            "cannot replay with {}: it is a WASI command, and {} is a recording of a service that the host drives",
            args.guest.display(),
            args.replay.file.display()
        )
        .into());
    };
    let factory = factory(&component, &args.guest, args.max_memory, args.turn_limit)?;
    play(playback, &factory, &args.replay).map_err(|error| with_memory(error, args.max_memory))
}

/// Adds advice to the error if the user has swapped the recording and the guest.
fn advised(error: PlaybackError, args: &GuestReplayArgs) -> Box<dyn Error> {
    let is_swapped = is_recording(&args.guest).unwrap_or(false) || Playback::open(&args.guest).is_ok();
    if !matches!(error, PlaybackError::Recording { .. }) || !is_swapped {
        return error.into();
    }
    let (recording, guest) = (args.guest.display(), args.replay.file.display());
    format!("{error}; give the recording first: `sinbin-wasi replay {recording} {guest}`").into()
}
