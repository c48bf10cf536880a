//! Seed after seed, on all cores.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use sinbin_simulator::{Failure, Luck, Report, shipped};

use crate::cli::Cli;
use crate::one::{say, sentence, tell_failure};

/// Seeds that a thread takes at once.
const BATCH: u64 = 64;

/// Seeds that the threads together may reach for behind the last.
const SLACK: u64 = 1 << 20;

/// One seed in so many runs twice: the same seed must give the same run (promise 4).
const TWICE: u64 = 50;

/// What the threads share.
struct Shared {
    next: AtomicU64,
    end: u64,
    failures: u64,
    found: Mutex<Vec<(u64, Failure)>>,
    total: Mutex<Report>,
    bar: ProgressBar,
}

/// Runs them all. Ends with the first that fails, unless more are asked for.
pub(crate) fn run(cli: &Cli) -> ExitCode {
    let threads =
        cli.jobs.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    let Some(end) = cli.from.checked_add(cli.seeds).filter(|end| end.checked_add(SLACK).is_some()) else {
        eprintln!(
            "simulate: --from {} and --seeds {} are more than there are: the last seed is {}",
            cli.from,
            cli.seeds,
            u64::MAX - SLACK
        );
        return ExitCode::from(2);
    };
    let shared = Shared {
        next: AtomicU64::new(cli.from),
        end,
        failures: cli.failures,
        found: Mutex::default(),
        total: Mutex::default(),
        bar: bar(cli.seeds),
    };
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&shared, began));
        }
    });
    shared.bar.finish_and_clear();
    finish(cli, shared, began)
}

fn finish(cli: &Cli, shared: Shared, began: Instant) -> ExitCode {
    let mut found = shared.found.into_inner().unwrap_or_default();
    found.sort_by_key(|(seed, _)| *seed);
    for (seed, failure) in found.iter().take(usize::try_from(cli.failures).unwrap_or(usize::MAX)) {
        tell_failure(*seed, failure);
    }
    if !found.is_empty() {
        return ExitCode::FAILURE;
    }
    let total = shared.total.into_inner().unwrap_or_default();
    let seconds = began.elapsed().as_secs_f64();
    let rate = total.steps as f64 / seconds * 60.0 / 1e6;
    let speed = total.simulated.as_secs_f64() / seconds;
    say(&format!(
        "{} seeds went well in {seconds:.1} s: {}\n{rate:.1} million steps a minute, {speed:.0} simulated seconds a \
         second\n",
        cli.seeds,
        sentence(&total)
    ));
    ExitCode::SUCCESS
}

fn bar(seeds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{pos}/{len} seeds {wide_bar} {msg} {eta} left");
    ProgressBar::new(seeds).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn work(shared: &Shared, began: Instant) {
    loop {
        let first = shared.next.fetch_add(BATCH, Ordering::Relaxed);
        if first >= shared.end || is_enough(shared) {
            return;
        }
        let seeds = first..shared.end.min(first + BATCH);
        let count = seeds.end - seeds.start;
        let mut sum = Report::default();
        for seed in seeds {
            match trial(seed) {
                Ok(report) => sum.add(&report),
                Err(failure) => {
                    shared.found.lock().unwrap_or_else(|held| held.into_inner()).push((seed, failure));
                }
            }
        }
        let mut total = shared.total.lock().unwrap_or_else(|held| held.into_inner());
        total.add(&sum);
        let speed = total.simulated.as_secs_f64() / began.elapsed().as_secs_f64();
        drop(total);
        shared.bar.set_message(format!("{speed:.0} simulated s/s,"));
        shared.bar.inc(count);
    }
}

fn is_enough(shared: &Shared) -> bool {
    shared.found.lock().unwrap_or_else(|held| held.into_inner()).len() as u64 >= shared.failures
}

/// Runs a seed, and now and then again.
fn trial(seed: u64) -> Result<Report, Failure> {
    let report = shipped(Luck::seeded(seed), false).outcome?;
    if seed.is_multiple_of(TWICE) && shipped(Luck::seeded(seed), false).outcome.as_ref() != Ok(&report) {
        return Err(Failure {
            what: "promise 4: the same seed gave another run".to_owned(),
            step: report.steps,
        });
    }
    Ok(report)
}
