//! `sinbin perf mixed`: the talk's headline.

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

/// What the fast client asks for.
const FAST_N: u32 = 1;

pub(crate) fn run(args: &MixedArgs) -> Result<ExitCode, Box<dyn Error>> {
    // Half of the time for each part.
    let time = Duration::from_secs(args.perf.seconds.into()) / 2;
    let (alone, _) = lap(args, &[FAST_N], time)?;
    alone.check("fast client alone")?;
    if !args.brief {
        output::line_or_end(format_args!("fast client alone: {}", alone.line()));
    }
    if interrupted() {
        return Ok(ExitCode::SUCCESS);
    }
    // The slow one is there first: a server that serves one after the other shows what it is.
    let (slow, beside) = lap(args, &[args.slow_n, FAST_N], time)?;
    let beside = beside.ok_or("one client took part, not two")?;
    // A fast client that gets nothing is a result: a server that serves one after the other.
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

/// One client's part in a lap.
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

    /// Fails when there is nothing to tell or to compare with.
    fn check(&self, client: &str) -> Result<(), String> {
        super::nothing(&self.stats, self.seconds).map_or(Ok(()), |why| Err(format!("{client}: {why}")))
    }
}

/// Clients of the numbers `ns` together. Returns what the first did, and the second if there is one.
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
        let stats = Rc::into_inner(stats).expect("the lap is over").into_inner();
        if let Some(verdict) = stats.verdict() {
            return Err(verdict.into());
        }
        parts.push(Part { stats, seconds });
    }
    let mut parts = parts.into_iter();
    let first = parts.next().ok_or("no client took part")?;
    Ok((first, parts.next()))
}
