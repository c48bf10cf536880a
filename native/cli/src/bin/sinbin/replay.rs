//! `sinbin replay`.

use std::error::Error;
use std::process::ExitCode;

use sinbin::guests::{InProcess, Playback};
use sinbin_cli::replay::{ReplayArgs, play};

use crate::services;

pub(crate) fn run(args: &ReplayArgs) -> Result<ExitCode, Box<dyn Error>> {
    let playback = Playback::open(&args.file)?;
    match playback.header().service.as_str() {
        "fib" => play(playback, &InProcess::new(services::fib), args),
        "echo" => play(playback, &InProcess::new(services::echo), args),
        "upper" => play(playback, &InProcess::new(services::upper), args),
        other => Err(format!(
            "cannot replay {}: it is a recording of {other:?}, and not of fib, echo or upper; \
             run `sinbin-wasi replay {} GUEST.wasm`",
            args.file.display(),
            args.file.display()
        )
        .into()),
    }
}
