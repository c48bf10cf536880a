//! A figure: the values of every server in every round, their presentation, and sinbin's targets.

use std::collections::BTreeSet;

use crate::server::Who;

/// The presentation of a figure.
#[derive(Clone, Copy)]
pub(crate) enum View {
    /// In the table of ratios, relative to this server, with the absolute medians in the second table.
    RatioTo(Who),
    /// In the table of ratios, unchanged.
    Plain,
    /// In the second table only.
    Detail,
}

/// A target of one of sinbin's forms.
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
    /// The servers that failed in a round, or served only some of their clients.
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

    /// Adds a target: at least this share of another server's value in the same round.
    pub(crate) fn at_least(mut self, who: Who, share: f64, of: Who) -> Self {
        self.targets.push(Target { who, aim: Aim::Least { share, of } });
        self
    }

    /// Adds a target: at most this share of another server's value in the same round.
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

    /// Returns the mark of a server whose problems the report lists.
    pub(crate) fn mark(&self, who: Who) -> &'static str {
        if self.flawed.contains(&who) { " †" } else { "" }
    }

    pub(crate) fn has(&self, who: Who) -> bool {
        self.flawed.contains(&who) || self.samples.iter().any(|sample| sample.who == who)
    }

    /// Returns the text of a cell without a value: either no server could be measured, or this one was not.
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

    /// Returns the ratios of two servers within a round, for the rounds in which both were measured.
    pub(crate) fn ratios(&self, who: Who, to: Who) -> Vec<f64> {
        let mine = self.samples.iter().filter(|sample| sample.who == who);
        mine.filter_map(|sample| Some(sample.value / self.value(to, sample.round)?)).collect()
    }

    /// Returns the values that the view shows of a server, round by round.
    pub(crate) fn shown(&self, who: Who) -> Vec<f64> {
        match self.view {
            View::RatioTo(to) => self.ratios(who, to),
            View::Plain | View::Detail => self.values(who),
        }
    }

    /// Returns sinbin's targets and whether they are met.
    pub(crate) fn verdicts(&self) -> String {
        self.targets.iter().map(|target| target.verdict(self)).collect::<Vec<_>>().join("; ")
    }

    /// Formats a value with the number of significant decimals.
    pub(crate) fn format(&self, value: f64) -> String {
        match self.view {
            View::RatioTo(_) => ratio(value),
            View::Plain | View::Detail => absolute(value),
        }
    }
}

impl Target {
    /// Returns the target, the value and the verdict. The verdict uses the values as they are printed.
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
        // The plain form of sinbin needs no name.
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
