//! `sinbin perf mixed`, the main result of the talk.

use std::cell::RefCell;
use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use super::client::{Role, play};
use super::stats::{Stats, per_second, rate};
use crate::cli::MixedArgs;
use sinbin_cli::output;
use sinbin_cli::signals::interrupted;

/// The n of the fast client's requests.
const FAST_N: u32 = 1;

pub(crate) fn run(args: &MixedArgs) -> Result<ExitCode, Box<dyn Error>> {
    // Each of the two parts gets half of the time.
    let time = Duration::from_secs(args.perf.seconds.into()) / 2;
    let (alone, _) = lap(args, &[FAST_N], time)?;
    alone.check("fast client alone")?;
    if !args.brief {
        output::line_or_end(format_args!("fast client alone: {}", alone.line()));
    }
    if interrupted() {
        return Ok(ExitCode::SUCCESS);
    }
    // The slow client connects first, so that a server that serves one client after the other shows it.
    let (slow, beside) = lap(args, &[args.slow_n, FAST_N], time)?;
    let beside = beside.ok_or("the measurement has one client, not two")?;
    // A fast client without replies is a valid result: the server serves one client after the other.
    slow.check("slow client")?;
    if args.brief {
        output::line_or_end(format_args!(
            "{:.0}\t{:.0}\t{:.1}\t{:.1}\t{:.1}",
            alone.rate(),
            beside.rate(),
            alone.stats.p99_micros(),
            beside.stats.p99_micros(),
            slow.rate(),
        ));
        return Ok(ExitCode::SUCCESS);
    }
    output::line_or_end(format_args!("beside fib({}):     {}", args.slow_n, beside.line()));
    output::line_or_end(format_args!("slow client:       {}", slow.line()));
    let kept = beside.rate() / alone.rate().max(f64::MIN_POSITIVE);
    output::line_or_end(format_args!("the fast client keeps {:.1} % of its rate", kept * 100.0));
    Ok(ExitCode::SUCCESS)
}

/// The results of one client.
struct Part {
    stats: Stats,
    seconds: f64,
}

impl Part {
    fn rate(&self) -> f64 {
        per_second(self.stats.count(), self.seconds)
    }

    fn line(&self) -> String {
        let rate = rate(self.stats.count(), self.seconds);
        if self.stats.count() == 0 { rate } else { format!("{rate}, p99 {}", self.stats.p99()) }
    }

    /// Fails if the client has no results.
    fn check(&self, client: &str) -> Result<(), String> {
        super::nothing(&self.stats, self.seconds).map_or(Ok(()), |why| Err(format!("{client}: {why}")))
    }
}

/// Runs a client for each of `ns` at the same time. Returns the results of the first, and of the second if there is
/// one.
fn lap(args: &MixedArgs, ns: &[u32], time: Duration) -> Result<(Part, Option<Part>), Box<dyn Error>> {
    let all: Vec<_> = ns.iter().map(|_| Rc::new(RefCell::new(Stats::new(false)))).collect();
    let roles: Vec<_> = ns
        .iter()
        .zip(&all)
        .map(|(&n, stats)| Role {
            n,
            connections: 1,
            pipeline: 1,
            bare: args.perf.bare,
            stats: Rc::clone(stats),
        })
        .collect();
    let seconds = play(&args.perf, &roles, time)?;
    drop(roles);
    let mut parts = Vec::new();
    for stats in all {
        let stats = Rc::into_inner(stats).expect("the clients have ended").into_inner();
        if let Some(verdict) = stats.verdict() {
            return Err(verdict.into());
        }
        parts.push(Part { stats, seconds });
    }
    let mut parts = parts.into_iter();
    let first = parts.next().ok_or("the measurement has no client")?;
    Ok((first, parts.next()))
}
