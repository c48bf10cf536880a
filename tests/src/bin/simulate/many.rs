//! Runs of many seeds on all cores.

use std::mem::take;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use sinbin_simulator::{Failure, Report, Rng, shipped};

use crate::cli::{COMMAND, Cli};
use crate::one::{sentence, tell_failure};
use crate::progress::Progress;
use crate::say;
use crate::stop::Stop;

/// The number of seeds that a thread claims at once. A thread runs all seeds that it has claimed, so the seeds that
/// have run are contiguous.
const BATCH: u64 = 64;

/// The interval of seeds that run twice: the same seed must give the same run (promise 4).
const TWICE: u64 = 50;

/// The state that the threads share.
struct Shared {
    first: u64,
    seeds: u64,
    /// The number of seeds that threads have claimed.
    taken: AtomicU64,
    failures: u64,
    found: Mutex<Vec<(u64, Failure)>>,
    total: Mutex<(u64, Report)>,
    progress: Progress,
    stop: Stop,
    began: Instant,
}

/// Runs all seeds. Stops at the first failure, unless the command line asks for more failures.
pub(crate) fn run(cli: &Cli) -> ExitCode {
    let threads =
        cli.jobs.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    if cli.from.checked_add(cli.seeds - 1).is_none() {
        eprintln!(
            "simulate: --from {} and --seeds {}: the last seed is {}, so there are {} from there on",
            cli.from,
            cli.seeds,
            u64::MAX,
            u64::MAX - cli.from + 1
        );
        return ExitCode::from(2);
    }
    let stop = match Stop::on_signal() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("simulate: cannot wait for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shared = Shared {
        first: cli.from,
        seeds: cli.seeds,
        taken: AtomicU64::new(0),
        failures: cli.failures,
        found: Mutex::default(),
        total: Mutex::default(),
        progress: Progress::new(cli.seeds, "seeds"),
        stop,
        began: Instant::now(),
    };
    shared.progress.during(
        || shared.look(),
        || {
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| shared.work());
                }
            });
        },
    );
    shared.finish()
}

impl Shared {
    fn work(&self) {
        while let Some((begin, end)) = self.take() {
            let mut sum = Report::default();
            for seed in begin..end {
                match trial(self.first + seed) {
                    Ok(report) => sum.add(&report),
                    Err(failure) => self.note(self.first + seed, failure),
                }
            }
            let mut total = lock(&self.total);
            total.0 += end - begin;
            total.1.add(&sum);
        }
    }

    /// Claims the next batch of seeds, as offsets from the first. Returns `None` if the run is to stop.
    fn take(&self) -> Option<(u64, u64)> {
        if self.stop.code().is_some() || lock(&self.found).len() as u64 >= self.failures {
            return None;
        }
        let next = |taken: u64| (taken < self.seeds).then(|| self.seeds.min(taken.saturating_add(BATCH)));
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some((taken, next(taken)?))
    }

    /// Records a seed that failed. The failure is printed now, and again at the end, in order and with its story.
    fn note(&self, seed: u64, failure: Failure) {
        let mut found = lock(&self.found);
        // If only one failure is asked for, the run ends now and prints it.
        if self.failures > 1 && (found.len() as u64) < self.failures {
            self.progress.tell(&format!("seed {seed} failed {failure}"));
        }
        found.push((seed, failure));
    }

    fn look(&self) -> (u64, String) {
        let (done, report) = *lock(&self.total);
        let speed = report.simulated.as_secs_f64() / self.began.elapsed().as_secs_f64();
        let failed = match lock(&self.found).len() {
            0 => String::new(),
            failed => format!("{failed} failed, "),
        };
        (done, format!("{failed}{speed:.0} simulated s/s"))
    }

    /// Returns the command that runs the remaining seeds.
    fn go_on(&self, done: u64) -> String {
        let failures =
            if self.failures > 1 { format!(" --failures {}", self.failures) } else { String::new() };
        format!("{COMMAND} --from {} --seeds {}{failures}", self.first + done, self.seeds - done)
    }

    fn finish(mut self) -> ExitCode {
        let mut found = take(self.found.get_mut().unwrap_or_else(PoisonError::into_inner));
        found.sort_by_key(|(seed, _)| *seed);
        let failed = found.len();
        found.truncate(usize::try_from(self.failures).unwrap_or(usize::MAX));
        let (done, total) = *lock(&self.total);
        let all_told = found.iter().all(|(seed, failure)| tell_failure(*seed, failure, &self.stop));
        if let Some(code) = self.stop.code() {
            let left = self.seeds - done;
            if all_told && left > 0 {
                let seeds = self.seeds;
                let (went, go_on) = (sentence(&total), self.go_on(done));
                say(&format!(
                    "stopped after {done} of {seeds} seeds, of which {failed} failed: {went}\nto go on: {go_on}\n"
                ));
            }
            if left > 0 || failed > 0 {
                return ExitCode::from(code);
            }
        }
        if failed > 0 {
            return ExitCode::FAILURE;
        }
        let seconds = self.began.elapsed().as_secs_f64();
        let rate = total.steps as f64 / seconds * 60.0 / 1e6;
        let speed = total.simulated.as_secs_f64() / seconds;
        say(&format!(
            "{done} seeds went well in {seconds:.1} s: {}\n{rate:.1} million steps a minute, {speed:.0} simulated seconds a \
             second\n",
            sentence(&total)
        ));
        ExitCode::SUCCESS
    }
}

/// Runs a seed, and every [`TWICE`]th seed a second time.
fn trial(seed: u64) -> Result<Report, Failure> {
    let report = shipped(Rng::seeded(seed), false).outcome?;
    if seed.is_multiple_of(TWICE) && shipped(Rng::seeded(seed), false).outcome.as_ref() != Ok(&report) {
        return Err(Failure {
            what: "promise 4: the same seed gave a different run".to_owned(),
            step: report.steps,
        });
    }
    Ok(report)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
