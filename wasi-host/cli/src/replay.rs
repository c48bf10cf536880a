//! `sinbin-wasi replay`.

use std::error::Error;
use std::process::ExitCode;

use sinbin::guests::{Playback, PlaybackError};
use sinbin_cli::replay::play;
use sinbin_wasi::{Artefact, engine};

use crate::cli::GuestReplayArgs;
use crate::run::{factory, with_memory};

pub(crate) fn run(args: &GuestReplayArgs) -> Result<ExitCode, Box<dyn Error>> {
    let playback = Playback::open(&args.replay.file).map_err(|error| advised(error, args))?;
    let engine = engine()?;
    let Artefact::Driven(component) = args.load.load(&args.guest, &engine)? else {
        return Err(format!(
            "cannot replay with {}: it is a WASI command; give a service that the host drives",
            args.guest.display()
        )
        .into());
    };
    let factory = factory(&component, &args.guest, args.max_memory, args.turn_limit)?;
    play(playback, &factory, &args.replay).map_err(|error| with_memory(error, args.max_memory))
}

/// Adds advice to the error if the user has swapped the recording and the guest.
fn advised(error: PlaybackError, args: &GuestReplayArgs) -> Box<dyn Error> {
    if !matches!(error, PlaybackError::Recording { .. }) || Playback::open(&args.guest).is_err() {
        return error.into();
    }
    let (recording, guest) = (args.guest.display(), args.replay.file.display());
    format!("{error}; give the recording first: `sinbin-wasi replay {recording} {guest}`").into()
}
