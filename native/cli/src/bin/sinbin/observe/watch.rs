//! `sinbin watch`, which `--stall-after` starts beside a server: it warns of tasks that keep the loop.
//!
//! The watch is another process, so that the server stays one of a single thread, and so that nothing that hangs the
//! server can keep the warning from being written.

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use sinbin::observe::{LoopState, ObserveError, Observed};

use super::args::WatchArgs;
use super::{loops, place};

/// The shortest time between two looks.
const LEAST: Duration = Duration::from_millis(10);

pub(crate) fn run(args: &WatchArgs) -> Result<ExitCode, Box<dyn Error>> {
    let after = args.stall_after.0.unwrap_or(Duration::MAX);
    let every = (after / 4).clamp(LEAST, Duration::from_secs(1));
    let mut before: HashMap<u32, LoopState> = HashMap::new();
    // The steps that were warned of, by their loops.
    let mut warned: HashMap<u32, u64> = HashMap::new();
    loop {
        let loops = match loops(&[args.pid]) {
            Ok(loops) => loops,
            Err(ObserveError::NoProcess(_) | ObserveError::NothingPublished(_)) => {
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) => return Err(error.into()),
        };
        for observed in &loops {
            let Ok(state) = observed.state() else { continue };
            let last = before.insert(state.number, state.clone());
            let is_kept = last.is_some_and(|last| place::is_kept(&last, &state));
            if is_kept && state.busy_for() >= after && warned.get(&state.number) != Some(&state.steps) {
                warned.insert(state.number, state.steps);
                warn(observed);
            }
        }
        thread::sleep(every);
    }
}

fn warn(observed: &Observed) {
    let Ok(snapshot) = observed.snapshot() else { return };
    tracing::warn!("{}", place::headline(&snapshot, true));
}
