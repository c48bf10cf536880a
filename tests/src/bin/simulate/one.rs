//! A single run: one seed, optionally with its story, or a long run that is measured.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sinbin_simulator::{Ended, Failure, Report, Rng, shipped, shipped_watched, shrink};

use crate::cli::{COMMAND, Cli};
use crate::progress::Progress;
use crate::say;
use crate::stop::Stop;

/// The number of lines of a story that are printed for a failed seed.
const END: usize = 40;

pub(crate) fn run(seed: u64, cli: &Cli) -> ExitCode {
    let ended = shipped(Rng::seeded(seed), cli.trace);
    if cli.trace && !say(&format!("seed {seed}: {}", ended.story)) {
        return if ended.outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let again = shipped(Rng::seeded(seed), false);
    if again.outcome != ended.outcome {
        say(&format!(
            "seed {seed}: promise 4: the second run differs: {:?}, {:?}\n",
            ended.outcome, again.outcome
        ));
        return ExitCode::FAILURE;
    }
    match &ended.outcome {
        Ok(report) => {
            say(&format!("seed {seed}: {}\n", sentence(report)));
            ExitCode::SUCCESS
        }
        Err(failure) if cli.shrink => {
            let short = shortened(seed, &Stop::default());
            say(&format!("seed {seed} failed {failure}\n{}{}", short.sentence(), short.ended.story));
            ExitCode::FAILURE
        }
        Err(failure) => {
            tell_failure(seed, failure, &Stop::default());
            ExitCode::FAILURE
        }
    }
}

/// Runs a long run and prints its speed.
pub(crate) fn endless(cli: &Cli) -> ExitCode {
    let Some(plan) = cli.plan() else { return ExitCode::FAILURE };
    let began = Instant::now();
    let steps = Arc::new(AtomicU64::new(0));
    let look = || {
        let count = steps.load(Ordering::Relaxed);
        (count, format!("{:.1} million a minute", count as f64 / began.elapsed().as_secs_f64() * 60.0 / 1e6))
    };
    let run = || shipped_watched(&plan, Rng::seeded(cli.from), &steps);
    let Ended { outcome, .. } = Progress::new(plan.steps, "steps").during(look, run);
    let seconds = began.elapsed().as_secs_f64();
    match outcome {
        Ok(report) => {
            let rate = report.steps as f64 / seconds * 60.0 / 1e6;
            say(&format!("{}\n{rate:.1} million steps a minute\n", sentence(&report)));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let (seed, clients, steps) = (cli.from, cli.clients, plan.steps);
            say(&format!(
                "seed {seed} failed {failure}\n\nto see it again: {COMMAND} --steps {steps} --clients {clients} --from {seed}\n"
            ));
            ExitCode::FAILURE
        }
    }
}

/// Prints how a seed failed, and a short run that fails as well unless a signal asked to stop. Returns false if no
/// reader is left.
pub(crate) fn tell_failure(seed: u64, failure: &Failure, stop: &Stop) -> bool {
    let found = format!("seed {seed} failed {failure}\n");
    let hints = format!(
        "the short run in full: {COMMAND} --seed {seed} --shrink\nthe original run: {COMMAND} --seed {seed} --trace\n"
    );
    if stop.code().is_some() {
        return say(&found) && say(&hints);
    }
    // Print the failure first: the search for a short run takes a while.
    if !say(&found) {
        return false;
    }
    let short = shortened(seed, stop);
    let mut lines = short.ended.story.lines();
    let plan = lines.next().unwrap_or_default();
    let lines: Vec<_> = lines.collect();
    let left_out = lines.len().saturating_sub(END);
    let before = if left_out > 0 { format!("… {left_out} lines before\n") } else { String::new() };
    say(&format!("{}{plan}\n{before}{}\n\n{hints}", short.sentence(), lines[left_out..].join("\n")))
}

/// A short run that fails, derived from a longer one.
struct Short {
    ended: Ended,
    decisions: usize,
    enough: usize,
}

impl Short {
    fn sentence(&self) -> String {
        let Self { decisions, enough, .. } = self;
        format!("\nof its {decisions} decisions, {enough} are enough for a run that fails:\n\n")
    }
}

fn shortened(seed: u64, stop: &Stop) -> Short {
    let recorded = shipped(Rng::seeded(seed).recorded(), false).tape;
    // After a signal no tape counts as failing, so the search ends with the shortest tape so far.
    let fails = |tape: &[u32]| stop.code().is_none() && shipped(Rng::replayed(tape), false).outcome.is_err();
    let tape = shrink(&recorded, fails);
    let ended = shipped(Rng::replayed(&tape), true);
    Short { ended, decisions: recorded.len(), enough: tape.len() }
}

/// Summarizes a run in a sentence.
pub(crate) fn sentence(report: &Report) -> String {
    let Report { steps, turns, connections, answers, jobs, calls, simulated, .. } = report;
    let calls = match calls.begun {
        0 => String::new(),
        begun => format!(", {begun} outgoing connections"),
    };
    format!(
        "{steps} steps in {turns} turns, {connections} connections{calls}, {answers} answers checked, {jobs} jobs, \
         {:.0} simulated seconds",
        simulated.as_secs_f64()
    )
}
