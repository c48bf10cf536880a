//! A part of a measurement: clients that run at the same time.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use sinbin_cli::signals::interrupted;

use super::client::{Played, Role, play};
use super::console::Console;
use super::cpu::Share;
use super::live::Live;
use super::noise::{Noise, spread};
use super::stats::{Stats, rate};
use super::ticker::Ticker;
use crate::cli::PerfArgs;

/// A kind of clients, and the name that the results have.
pub(crate) struct Plan {
    pub(crate) title: String,
    pub(crate) n: u32,
    pub(crate) connections: u32,
    pub(crate) pipeline: u32,
    /// True if a measurement without a reply to these clients is a failure.
    pub(crate) must_answer: bool,
}

impl Plan {
    /// A single client that waits for each reply.
    pub(crate) fn one(title: impl Into<String>, n: u32) -> Self {
        Self { title: title.into(), n, connections: 1, pipeline: 1, must_answer: true }
    }
}

/// The results of the clients of a plan.
pub(crate) struct Part {
    pub(crate) plan: Plan,
    pub(crate) stats: Stats,
}

/// The results of a part of a measurement.
pub(crate) struct Lap {
    pub(crate) parts: Vec<Part>,
    pub(crate) seconds: f64,
    /// The duration that was asked for.
    pub(crate) asked: Duration,
    pub(crate) share: Share,
    /// True if the rate of the first clients does not depend on others, so that its spread is noise.
    pub(crate) is_steady: bool,
}

/// The way to run a part of a measurement.
pub(crate) struct Conditions<'a> {
    pub(crate) args: &'a PerfArgs,
    pub(crate) console: &'a Console,
    pub(crate) time: Duration,
    pub(crate) prints: Prints,
}

/// The lines that a measurement prints while it goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prints {
    Nothing,
    /// The time of each request.
    Times,
    /// The rate of each second.
    Rates,
}

/// Runs clients of all plans at the same time. Shows those with the index `watched` while they run.
pub(crate) fn run(
    conditions: &Conditions<'_>,
    plans: Vec<Plan>,
    watched: usize,
) -> Result<Lap, Box<dyn Error>> {
    let Conditions { args, console, time, prints } = *conditions;
    let stats: Vec<_> =
        plans.iter().map(|_| Rc::new(RefCell::new(Stats::new(time, prints == Prints::Times)))).collect();
    let role = |(plan, stats): (&Plan, &Rc<RefCell<Stats>>)| Role {
        n: plan.n,
        connections: plan.connections,
        pipeline: plan.pipeline,
        bare: args.bare,
        stats: Rc::clone(stats),
    };
    let roles: Vec<_> = plans.iter().zip(&stats).map(role).collect();
    let is_alone = plans.len() == 1;
    let live = console.screen.as_ref().zip(stats.get(watched)).map(|(screen, stats)| {
        let title = &plans[watched].title;
        let label = if title.is_empty() { String::new() } else { format!("{title}: ") };
        Live::new(screen, &label, stats, time)
    });
    let counter = stats.first().map(|stats| stats.borrow().counter()).filter(|_| prints == Prints::Rates);
    let ticker = counter.map(Ticker::start).transpose()?;
    let Played { seconds, share } = play(args, &roles, time, live)?;
    drop((ticker, roles));
    let stats =
        stats.into_iter().map(|stats| Rc::into_inner(stats).expect("the clients have ended").into_inner());
    let parts = plans.into_iter().zip(stats).map(|(plan, stats)| Part { plan, stats }).collect();
    Ok(Lap { parts, seconds, asked: time, share, is_steady: is_alone })
}

impl Lap {
    /// Returns the problem of the clients, or that some have no results although no signal ended the measurement.
    pub(crate) fn problem(&self) -> Option<String> {
        let problems = self.parts.iter().find_map(|part| part.stats.verdict());
        problems.or_else(|| self.parts.iter().find_map(|part| part.nothing(self.seconds)))
    }

    /// Returns what may have disturbed the measurement.
    pub(crate) fn noise(&self) -> Noise {
        let steady = self.parts.first().filter(|_| self.is_steady);
        let spread = steady.and_then(|part| spread(part.stats.windows(self.seconds).1));
        Noise { share: self.share, spread }
    }

    /// Returns the rate and the times of a part, with a remark if the measurement is incomplete.
    pub(crate) fn line(&self, part: &Part) -> String {
        let rate = rate(part.stats.count(), self.seconds);
        let p99 = if part.stats.count() == 0 { String::new() } else { format!(", p99 {}", part.stats.p99()) };
        format!("{rate}{p99}{}", self.incomplete())
    }

    /// Returns a remark if a signal ended the measurement early, and nothing otherwise.
    pub(crate) fn incomplete(&self) -> String {
        let (seconds, asked) = (self.seconds, self.asked.as_secs_f64());
        if self.is_incomplete() {
            format!(" (interrupted after {seconds:.1} s of {asked:.1} s)")
        } else {
            String::new()
        }
    }

    /// Returns true if a signal ended the measurement early.
    pub(crate) fn is_incomplete(&self) -> bool {
        interrupted() && self.seconds < self.asked.as_secs_f64()
    }
}

impl Part {
    /// Returns an error message if there are no results, unless a signal ended the measurement.
    fn nothing(&self, seconds: f64) -> Option<String> {
        let is_missing = self.plan.must_answer && self.stats.count() == 0 && !interrupted();
        let title = &self.plan.title;
        let prefix = if title.is_empty() { String::new() } else { format!("{title}: ") };
        is_missing.then(|| {
            format!("{prefix}no request was answered in {seconds:.1} s; measure for longer (--seconds)")
        })
    }
}
