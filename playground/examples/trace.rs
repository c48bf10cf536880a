//! Prints the steps of a run: `trace [FRAGMENT [STEPS]]`, where the fragment is that of a link to the playground, such as
//! `scenario=deadlock&seed=3`.

use std::env;
use std::error::Error;
use std::io::{Write, stdout};

use sinbin_playground::{MAX_STEPS, Run, play};

fn main() -> Result<(), Box<dyn Error>> {
    let run = Run::parse(&env::args().nth(1).unwrap_or_default())?;
    let steps = env::args().nth(2).map_or(Ok(300), |steps| steps.parse())?;
    let played = play(&run, 0..MAX_STEPS.min(steps));
    let mut out = stdout().lock();
    for frame in &played.frames {
        writeln!(out, "{:5}  {:>12}  {}", frame.step, frame.time, frame.caption)?;
    }
    match played.end {
        Some(step) => writeln!(out, "the run ends with step {step}")?,
        None => writeln!(out, "the run goes on")?,
    }
    Ok(())
}
