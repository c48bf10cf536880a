//! One run: a seed, perhaps as a story; or a long one that is measured.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use sinbin_simulator::{Ended, Failure, Luck, Report, shipped, shipped_by, shrink};

use crate::cli::Cli;

/// How much of a story is told of a seed that nobody asked for.
const END: usize = 40;

/// Runs a seed.
pub(crate) fn run(seed: u64, cli: &Cli) -> ExitCode {
    let ended = shipped(Luck::seeded(seed), cli.trace);
    if cli.trace && !say(&ended.story) {
        return if ended.outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let again = shipped(Luck::seeded(seed), false);
    if again.outcome != ended.outcome {
        say(&format!(
            "seed {seed}: promise 4: the second run is another: {:?}, {:?}\n",
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
            let short = shortened(seed);
            say(&format!("seed {seed} failed {failure}\n{}{}", short.sentence(), short.ended.story));
            ExitCode::FAILURE
        }
        Err(failure) => {
            tell_failure(seed, failure);
            ExitCode::FAILURE
        }
    }
}

/// Runs a long run, and measures it.
pub(crate) fn endless(cli: &Cli) -> ExitCode {
    let Some(plan) = cli.plan() else { return ExitCode::FAILURE };
    let began = Instant::now();
    let Ended { outcome, .. } = shipped_by(&plan, Luck::seeded(cli.from), false);
    let seconds = began.elapsed().as_secs_f64();
    match outcome {
        Ok(report) => {
            let rate = report.steps as f64 / seconds * 60.0 / 1e6;
            say(&format!("{}\n{rate:.1} million steps a minute\n", sentence(&report)));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            say(&format!("{failure}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Tells how a seed failed: the failure, and a short run that fails as well.
pub(crate) fn tell_failure(seed: u64, failure: &Failure) {
    say(&format!("seed {seed} failed {failure}\n"));
    let short = shortened(seed);
    let lines: Vec<_> = short.ended.story.lines().collect();
    let left_out = lines.len().saturating_sub(END);
    say(&short.sentence());
    if left_out > 0 {
        say(&format!("… {left_out} lines before\n"));
    }
    say(&format!("{}\n", lines[left_out..].join("\n")));
    say(&format!(
        "\nthe whole of it: simulate --seed {seed} --shrink\nas it was found: simulate --seed {seed} --trace\n"
    ));
}

/// A short run that fails, made of a long one.
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

fn shortened(seed: u64) -> Short {
    let recorded = shipped(Luck::seeded(seed).recorded(), false).tape;
    let tape = shrink(&recorded, |tape| shipped(Luck::replayed(tape), false).outcome.is_err());
    let ended = shipped(Luck::replayed(&tape), true);
    Short { ended, decisions: recorded.len(), enough: tape.len() }
}

/// What a run came to, for people.
pub(crate) fn sentence(report: &Report) -> String {
    let Report { steps, turns, connections, answers, jobs, simulated, .. } = report;
    format!(
        "{steps} steps in {turns} turns, {connections} connections, {answers} answers checked, {jobs} jobs, {:.0} \
         simulated seconds",
        simulated.as_secs_f64()
    )
}

/// Prints; whether somebody still listens.
pub(crate) fn say(text: &str) -> bool {
    std::io::stdout().write_all(text.as_bytes()).is_ok()
}
