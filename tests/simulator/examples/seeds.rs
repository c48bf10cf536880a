//! Runs seeds from 0 on, and prints the first that fails: `seeds [COUNT]`.

use std::process::ExitCode;

use sinbin_simulator::{Report, Rng, shipped};

fn main() -> ExitCode {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1000);
    let mut total = Report::default();
    for seed in 0..count {
        match shipped(Rng::seeded(seed), false).outcome {
            Ok(report) => total.add(&report),
            Err(failure) => {
                println!("seed {seed} failed {failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{count} seeds went well: {} steps, {} answers checked", total.steps, total.answers);
    ExitCode::SUCCESS
}
