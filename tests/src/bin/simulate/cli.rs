//! The command line.

use clap::Parser;
use sinbin_simulator::Plan;

/// Run the shipped services under bad luck, in virtual time, and check the kernel's promises before every step.
///
/// A seed decides all that happens, for one build of the simulator and of what it runs: a change of either can make it
/// another run. One that fails is named, cut down to a short run that fails as well, and that is told step by step.
#[derive(Parser)]
#[command(name = "simulate", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000, value_name = "N", conflicts_with = "seed", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: u64,
    /// The first of them; with --steps, the seed.
    #[arg(long, default_value_t = 0, value_name = "SEED", conflicts_with = "seed")]
    pub(crate) from: u64,
    /// Threads (default: as many as there are cores).
    #[arg(long, value_name = "N", conflicts_with_all = ["seed", "steps"], value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Go on after a seed that fails, and tell of this many.
    #[arg(long, default_value_t = 1, value_name = "N", conflicts_with_all = ["seed", "steps"], value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) failures: u64,
    /// Run this seed alone; and again, to see that it gives the same run.
    #[arg(long, value_name = "SEED")]
    pub(crate) seed: Option<u64>,
    /// With --seed: tell what happens, line by line.
    #[arg(long, requires = "seed", conflicts_with = "steps")]
    pub(crate) trace: bool,
    /// With --seed: if it fails, tell all of a short run that fails as well.
    #[arg(long, requires = "seed", conflicts_with = "steps")]
    pub(crate) shrink: bool,
    /// One long run of about this many steps, with all faults at once: what is measured.
    #[arg(long, value_name = "N", conflicts_with_all = ["seed", "seeds"], value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: Option<u64>,
    /// With --steps: clients at a time.
    #[arg(long, default_value_t = 100, value_name = "N", requires = "steps", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) clients: u32,
}

/// How a user of the repository calls this.
pub(crate) const COMMAND: &str = "cargo run --package sinbin-tests --bin simulate --";

const EXIT_CODES: &str = "Exit codes: 0 all went well; 1 a promise was broken or a client got a wrong answer; 2 wrong \
arguments; 130 Ctrl-C, and 143 SIGTERM, ended it: what was found so far is told, and how to go on. Try: cargo run \
--package sinbin-tests --bin simulate -- --seed 7 --trace | less";

impl Cli {
    /// The plan of a long run, if that is asked for.
    pub(crate) fn plan(&self) -> Option<Plan> {
        self.steps.map(|steps| Plan::endless(self.clients, steps))
    }
}
