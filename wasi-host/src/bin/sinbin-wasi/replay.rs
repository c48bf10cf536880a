//! `sinbin-wasi replay`.

use std::error::Error;
use std::process::ExitCode;

use sinbin::command::replay::play;
use sinbin::driver::Playback;
use sinbin_wasi::{Artefact, engine};

use crate::cli::GuestReplayArgs;
use crate::run::{blueprint, cache};

pub(crate) fn run(args: &GuestReplayArgs) -> Result<ExitCode, Box<dyn Error>> {
    let playback = Playback::open(&args.replay.file)?;
    let engine = engine()?;
    let Artefact::Driven(component) =
        Artefact::load(&args.guest, &engine, cache(args.cache.as_deref()).as_ref())?
    else {
        return Err(format!(
            "{} is a command of WASI, which drives itself; give a service",
            args.guest.display()
        )
        .into());
    };
    let blueprint = blueprint(&component, &args.guest, args.max_memory, args.turn_limit.0)?;
    play(playback, &blueprint, &args.replay)
}
