//! One figure: what every server reached in every round, how it is shown, and what sinbin should reach.

use std::collections::BTreeSet;

use crate::server::Who;

/// Where and how a figure is shown.
#[derive(Clone, Copy)]
pub(crate) enum View {
    /// Among the ratios, relative to this server; the absolute medians in the second table.
    RatioTo(Who),
    /// Among the ratios, as it is.
    Plain,
    /// In the second table only.
    Detail,
}

/// What is asked of one of sinbin's forms.
struct Target {
    who: Who,
    aim: Aim,
}

enum Aim {
    Least { share: f64, of: Who },
    Most { share: f64, of: Who },
    Limit(f64),
    Floor(f64),
}

pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) view: View,
    targets: Vec<Target>,
    samples: Vec<Sample>,
    /// Who failed in a round, or served only some of its clients.
    flawed: BTreeSet<Who>,
}

struct Sample {
    who: Who,
    round: usize,
    value: f64,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, view: View) -> Self {
        Self { name: name.into(), view, targets: Vec::new(), samples: Vec::new(), flawed: BTreeSet::new() }
    }

    /// Asks for at least this share of what another server reaches in the same round.
    pub(crate) fn at_least(mut self, who: Who, share: f64, of: Who) -> Self {
        self.targets.push(Target { who, aim: Aim::Least { share, of } });
        self
    }

    /// Asks for at most this share of what another takes in the same round.
    pub(crate) fn at_most_of(mut self, who: Who, share: f64, of: Who) -> Self {
        self.targets.push(Target { who, aim: Aim::Most { share, of } });
        self
    }

    pub(crate) fn at_most(mut self, who: Who, limit: f64) -> Self {
        self.targets.push(Target { who, aim: Aim::Limit(limit) });
        self
    }

    pub(crate) fn at_least_so_much(mut self, who: Who, floor: f64) -> Self {
        self.targets.push(Target { who, aim: Aim::Floor(floor) });
        self
    }

    pub(crate) fn add(&mut self, round: usize, who: Who, value: f64) {
        self.samples.push(Sample { who, round, value });
    }

    pub(crate) fn flawed(&mut self, who: Who) {
        self.flawed.insert(who);
    }

    /// Points to the problems that the report lists.
    pub(crate) fn mark(&self, who: Who) -> &'static str {
        if self.flawed.contains(&who) { " †" } else { "" }
    }

    pub(crate) fn has(&self, who: Who) -> bool {
        self.flawed.contains(&who) || self.samples.iter().any(|sample| sample.who == who)
    }

    /// What stands in a cell without a value: this server takes no part, or nobody could be measured.
    pub(crate) fn nothing(&self) -> &'static str {
        if self.samples.is_empty() { "n/a" } else { "–" }
    }

    pub(crate) fn values(&self, who: Who) -> Vec<f64> {
        self.samples.iter().filter(|sample| sample.who == who).map(|sample| sample.value).collect()
    }

    pub(crate) fn value(&self, who: Who, round: usize) -> Option<f64> {
        let found = self.samples.iter().find(|sample| sample.who == who && sample.round == round);
        found.map(|sample| sample.value)
    }

    /// Ratios within a round, of the rounds in which both were measured.
    pub(crate) fn ratios(&self, who: Who, to: Who) -> Vec<f64> {
        let mine = self.samples.iter().filter(|sample| sample.who == who);
        mine.filter_map(|sample| Some(sample.value / self.value(to, sample.round)?)).collect()
    }

    /// What the view shows of a server, round by round.
    pub(crate) fn shown(&self, who: Who) -> Vec<f64> {
        match self.view {
            View::RatioTo(to) => self.ratios(who, to),
            View::Plain | View::Detail => self.values(who),
        }
    }

    /// What sinbin should reach, and whether it does.
    pub(crate) fn verdicts(&self) -> String {
        self.targets.iter().map(|target| target.verdict(self)).collect::<Vec<_>>().join("; ")
    }

    /// As many decimals as say something.
    pub(crate) fn format(&self, value: f64) -> String {
        match self.view {
            View::RatioTo(_) => ratio(value),
            View::Plain | View::Detail => absolute(value),
        }
    }
}

impl Target {
    /// What is asked, what was reached, and the verdict, which is passed on the figures as they are printed.
    fn verdict(&self, figure: &Figure) -> String {
        let ratio_to = |of| median(&figure.ratios(self.who, of)).map(ratio);
        let (asked, reached, met) = match self.aim {
            Aim::Least { share, of } => {
                let reached = ratio_to(of);
                let met = reached.as_deref().map(|reached| printed(reached) >= share);
                (format!("≥ {} of {}", ratio(share), of.name()), reached, met)
            }
            Aim::Most { share, of } => {
                let reached = ratio_to(of);
                let met = reached.as_deref().map(|reached| printed(reached) <= share);
                (format!("≤ {} of {}", ratio(share), of.name()), reached, met)
            }
            Aim::Limit(limit) => {
                let reached = median(&figure.values(self.who)).map(absolute);
                let met = reached.as_deref().map(|reached| printed(reached) <= limit);
                (format!("≤ {limit}"), reached, met)
            }
            Aim::Floor(floor) => {
                let reached = median(&figure.values(self.who)).map(absolute);
                let met = reached.as_deref().map(|reached| printed(reached) >= floor);
                (format!("≥ {floor}"), reached, met)
            }
        };
        // The plain form needs no name.
        let asked = match self.who {
            Who::Sinbin => asked,
            who => format!("{} {asked}", who.name()),
        };
        let met = met.map(|met| met && !figure.flawed.contains(&self.who));
        match (reached, met) {
            (Some(reached), Some(true)) => format!("{asked}: {reached}, met"),
            (Some(reached), _) => format!("{asked}: {reached}, **not met**"),
            (None, _) if figure.flawed.contains(&self.who) => format!("{asked}: **not met** †"),
            (None, _) if figure.samples.is_empty() => format!("{asked}: n/a"),
            (None, _) => format!("{asked}: not measured"),
        }
    }
}

fn printed(figure: &str) -> f64 {
    figure.parse().unwrap_or(f64::NAN)
}

pub(crate) fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

pub(crate) fn absolute(value: f64) -> String {
    let decimals = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}
