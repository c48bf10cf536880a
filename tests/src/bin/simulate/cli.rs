//! The command line.

use clap::Parser;
use sinbin_simulator::Plan;

/// Run the shipped services under faults, in virtual time, and check the kernel's promises before every step.
///
/// A seed determines everything that happens, for one build of the simulator and of the code that it runs. A change to
/// either can make it a different run. If a seed fails, its run is reduced to a short run that fails as well, and the
/// steps of the short run are printed.
#[derive(Parser)]
#[command(name = "simulate", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// The number of seeds to run.
    #[arg(long, default_value_t = 1000, value_name = "N", conflicts_with = "seed", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: u64,
    /// The first seed; with --steps, the only seed.
    #[arg(long, default_value_t = 0, value_name = "SEED", conflicts_with = "seed")]
    pub(crate) from: u64,
    /// The number of threads (default: the number of cores).
    #[arg(long, value_name = "N", conflicts_with_all = ["seed", "steps"], value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Continue after a seed fails, and report up to this many failures.
    #[arg(long, default_value_t = 1, value_name = "N", conflicts_with_all = ["seed", "steps"], value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) failures: u64,
    /// Run this seed alone, twice, to check that both runs are equal.
    #[arg(long, value_name = "SEED")]
    pub(crate) seed: Option<u64>,
    /// With --seed: print what happens, line by line.
    #[arg(long, requires = "seed", conflicts_with = "steps")]
    pub(crate) trace: bool,
    /// With --seed: if the seed fails, print a short run that fails as well, in full.
    #[arg(long, requires = "seed", conflicts_with = "steps")]
    pub(crate) shrink: bool,
    /// A long run of about this many steps with all faults enabled, for measurements.
    #[arg(long, value_name = "N", conflicts_with_all = ["seed", "seeds"], value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: Option<u64>,
    /// With --steps: the number of concurrent clients.
    #[arg(long, default_value_t = 100, value_name = "N", requires = "steps", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) clients: u32,
}

/// The command line with which a user of the repository calls this program.
pub(crate) const COMMAND: &str = "cargo run --package sinbin-tests --bin simulate --";

const EXIT_CODES: &str = "Exit codes: 0 no failure; 1 a promise was broken or a client got a wrong answer; 2 wrong \
arguments; 130 ended by Ctrl-C, and 143 by SIGTERM: prints the results so far, and how to continue. Try: cargo run \
--package sinbin-tests --bin simulate -- --seed 7 --trace | less";

impl Cli {
    /// Returns the plan of a long run, if the command line asks for one.
    pub(crate) fn plan(&self) -> Option<Plan> {
        self.steps.map(|steps| Plan::endless(self.clients, steps))
    }
}
