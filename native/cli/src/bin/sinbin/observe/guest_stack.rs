//! The stack of a guest in a turn that takes long, as its host has noted it.

use std::thread;
use std::time::{Duration, Instant};

use sinbin::observe::{LoopState, ObserveError, Observed};

/// The time to wait for the first note of a turn. The host notes the stack from the second tick of its timer on, which
/// ticks once in a quarter of `--turn-limit` of processor time, at least four times a second.
const PATIENCE: Duration = Duration::from_secs(2);

/// The time between two looks.
const BETWEEN: Duration = Duration::from_millis(20);

/// The stack of a guest.
pub(crate) struct GuestStack {
    /// The frames, innermost first.
    pub(crate) frames: Vec<String>,
    /// The time that has passed since the stack was noted.
    pub(crate) age: Duration,
}

/// Returns the stack of a guest whose turn keeps the loop. Waits for the first note as long as the turn lasts. Returns
/// `None` if the loop drives no guest in a sandbox, and if there is no note.
pub(crate) fn guest_stack(observed: &Observed, turn: &LoopState) -> Result<Option<GuestStack>, ObserveError> {
    if !turn.is_guest {
        return Ok(None);
    }
    let since = Instant::now();
    loop {
        let noted = observed.guest_stack()?;
        let state = observed.state()?;
        if state.steps != turn.steps || state.turn != turn.turn {
            return Ok(None);
        }
        if let Some((at, text)) = noted {
            let frames = text.lines().map(|line| line.trim().to_owned()).collect();
            return Ok(Some(GuestStack { frames, age: state.now.since(at) }));
        }
        if since.elapsed() > PATIENCE || !observed.drives_sandbox() {
            return Ok(None);
        }
        thread::sleep(BETWEEN);
    }
}
