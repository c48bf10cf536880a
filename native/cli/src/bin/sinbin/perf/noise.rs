//! The rule by which a machine is too noisy to judge, and the measurements that are repeated because of it.
//!
//! A measurement is noisy if others took more than [`NoiseArgs::max_others`] of the processor time while it ran, or if
//! the spread of its windows is more than [`NoiseArgs::max_spread`]. A value that is unknown is no noise.

use std::fmt::{self, Display};
use std::str::FromStr;

use clap::Args;

use super::cpu::Share;

/// The number of windows that a measurement is divided into.
pub(crate) const WINDOWS: u32 = 10;

/// The least number of whole windows that have a spread.
const LEAST_WINDOWS: usize = 5;

/// The least number of requests in the median window. With fewer, one request more or less is a difference.
const LEAST_REQUESTS: u64 = 20;

#[derive(Args)]
pub(crate) struct NoiseArgs {
    /// Maximum share of the CPU time of this machine that others may take while it measures: other processes than
    /// this one and the server's, and other virtual machines (Linux); "off" for any.
    #[arg(long, default_value = "10%", value_name = "PERCENT")]
    pub(crate) max_others: Percent,
    /// Maximum spread of the rates in the ten windows of a measurement: the difference of the second fastest and the second
    /// slowest, relative to the median; "off" for any.
    #[arg(long, default_value = "30%", value_name = "PERCENT")]
    pub(crate) max_spread: Percent,
    /// Number of times to measure, at most, until the machine is quiet enough to judge. Each takes --seconds.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) attempts: u32,
    /// Process of the server, if it does not listen itself: its CPU time does not count as that of others. By default,
    /// it is found by its socket.
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
}

/// A share in percent, or no limit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Percent(pub(crate) Option<f64>);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let number = text.strip_suffix('%').unwrap_or(text).trim_end().parse::<f64>();
        match number {
            Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(Self(Some(percent / 100.0))),
            _ => Err("expected a percentage from 0% to 1000%, such as 10%, or off".to_owned()),
        }
    }
}

/// The disturbances of a measurement.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(crate) struct Noise {
    /// The share of the processor time that others took.
    pub(crate) share: Share,
    /// The spread of the windows.
    pub(crate) spread: Option<f64>,
}

impl Noise {
    /// Returns the noise of a measurement of several parts: that of its noisiest.
    pub(crate) fn most(self, other: Self) -> Self {
        let share = if self.share.taken() >= other.share.taken() { self.share } else { other.share };
        Self { share, spread: greater(self.spread, other.spread) }
    }

    /// Returns the reasons why nothing can be judged.
    pub(crate) fn reasons(&self, limits: &NoiseArgs) -> Vec<String> {
        let above =
            |value: Option<f64>, limit: Percent| value.zip(limit.0).filter(|(value, limit)| value > limit);
        let others = above(self.share.taken(), limits.max_others).map(|(taken, limit)| {
            format!("others took {} of the CPU time, more than {}", Shown(taken), Shown(limit))
        });
        let spread = above(self.spread, limits.max_spread).map(|(spread, limit)| {
            format!("the windows spread by {}, more than {}", Shown(spread), Shown(limit))
        });
        others.into_iter().chain(spread).collect()
    }

    /// Returns how far the noise is above the limits, to find the quietest of several measurements.
    fn excess(&self, limits: &NoiseArgs) -> f64 {
        let over = |value: Option<f64>, limit: Percent| match (value, limit.0) {
            (Some(value), Some(limit)) => value / limit.max(1e-3),
            _ => 0.0,
        };
        over(self.share.taken(), limits.max_others).max(over(self.spread, limits.max_spread))
    }
}

/// Returns the greater of the known values.
fn greater(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

/// A share, shown in percent.
#[derive(Clone, Copy)]
pub(crate) struct Shown(pub(crate) f64);

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        write!(f, "{percent:.*} %", usize::from(percent < 9.95 && percent.fract() != 0.0))
    }
}

/// Returns the spread of the numbers of requests in windows of one length: the difference of the second greatest and the
/// second least, relative to the median. Returns `None` for too few windows or requests.
#[expect(clippy::cast_precision_loss, reason = "a spread is compared with a limit of two digits")]
pub(crate) fn spread(windows: &[u64]) -> Option<f64> {
    let mut sorted = windows.to_vec();
    sorted.sort_unstable();
    let median = *sorted.get(sorted.len() / 2)?;
    if sorted.len() < LEAST_WINDOWS || median < LEAST_REQUESTS {
        return None;
    }
    Some((sorted[sorted.len() - 2] - sorted[1]) as f64 / median as f64)
}

/// A decision after a measurement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// The measurement counts.
    Enough,
    /// The machine was too noisy for these reasons, and is measured again.
    Again(String),
    /// The machine was too noisy each time.
    GiveUp(String),
}

/// Returns the decision after `done` measurements, of which the last had this noise.
pub(crate) fn next(noise: &Noise, done: usize, limits: &NoiseArgs) -> Next {
    let reasons = noise.reasons(limits).join(", and ");
    let attempts = limits.attempts as usize;
    if reasons.is_empty() {
        Next::Enough
    } else if done < attempts {
        Next::Again(format!("too noisy to judge: {reasons}; measuring again ({} of {attempts})", done + 1))
    } else {
        Next::GiveUp(format!("too noisy to judge: {reasons}{}", Times(done)))
    }
}

/// The number of measurements, if there are several.
struct Times(usize);

impl Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 1 { write!(f, "; none of {} measurements was quiet enough", self.0) } else { Ok(()) }
    }
}

/// Returns the index of the quietest measurement. The earlier one wins.
pub(crate) fn quietest<'a>(all: impl Iterator<Item = &'a Noise>, limits: &NoiseArgs) -> usize {
    let all = all.map(|noise| noise.excess(limits)).enumerate();
    all.reduce(|least, one| if one.1 < least.1 { one } else { least }).map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(others: &str, spread: &str, attempts: u32) -> NoiseArgs {
        let percent = |text: &str| text.parse().unwrap();
        NoiseArgs { max_others: percent(others), max_spread: percent(spread), attempts, server_pid: None }
    }

    fn noise(others: Option<f64>, stolen: Option<f64>, spread: Option<f64>) -> Noise {
        Noise { share: Share { others, stolen }, spread }
    }

    #[test]
    fn percentages() {
        let parse = |text: &str| text.parse::<Percent>();
        for (text, percent) in [("10%", 0.1), ("10", 0.1), ("12.5 %", 0.125), ("0%", 0.0)] {
            assert_eq!(parse(text), Ok(Percent(Some(percent))), "{text}");
        }
        assert_eq!(parse("off"), Ok(Percent(None)));
        for wrong in ["", "%", "-1%", "1001%", "NaN", "inf", "much"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            [0.1, 0.012, 0.0, 0.999].map(|share| Shown(share).to_string()),
            ["10 %", "1.2 %", "0 %", "100 %"]
        );
    }

    #[test]
    fn the_spread_leaves_out_the_extremes() {
        assert_eq!(spread(&[100, 100, 100, 100, 900, 1]), Some(0.0));
        assert_eq!(spread(&[80, 90, 100, 110, 120]), Some(0.2));
        assert_eq!(spread(&[100, 0, 100, 0, 100, 100, 100]), Some(1.0));
        // Too few windows, and too few requests.
        assert_eq!(spread(&[100; 4]), None);
        assert_eq!(spread(&[1, 2, 3, 4, 5, 6]), None);
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn noise_has_reasons_with_numbers() {
        let limits = limits("10%", "30%", 3);
        assert_eq!(noise(Some(0.05), Some(0.05), Some(0.3)).reasons(&limits), [""; 0]);
        assert_eq!(noise(None, None, None).reasons(&limits), [""; 0]);
        assert_eq!(
            noise(Some(0.08), Some(0.04), Some(0.5)).reasons(&limits),
            [
                "others took 12 % of the CPU time, more than 10 %",
                "the windows spread by 50 %, more than 30 %"
            ]
        );
        assert_eq!(
            noise(None, Some(0.4), None).reasons(&limits),
            ["others took 40 % of the CPU time, more than 10 %"]
        );
        assert_eq!(noise(Some(1.0), None, Some(9.0)).reasons(&self::limits("off", "off", 1)), [""; 0]);
    }

    #[test]
    fn a_noisy_measurement_is_repeated_up_to_a_limit() {
        let (quiet, loud) = (noise(Some(0.0), None, None), noise(Some(0.38), None, None));
        let limits = limits("10%", "off", 2);
        assert_eq!(next(&quiet, 1, &limits), Next::Enough);
        let again =
            "too noisy to judge: others took 38 % of the CPU time, more than 10 %; measuring again (2 of 2)";
        assert_eq!(next(&loud, 1, &limits), Next::Again(again.to_owned()));
        let given_up = "too noisy to judge: others took 38 % of the CPU time, more than 10 %; \
                        none of 2 measurements was quiet enough";
        assert_eq!(next(&loud, 2, &limits), Next::GiveUp(given_up.to_owned()));
        assert_eq!(next(&quiet, 2, &limits), Next::Enough);
        let once = "too noisy to judge: others took 38 % of the CPU time, more than 10 %";
        assert_eq!(next(&loud, 1, &self::limits("10%", "off", 1)), Next::GiveUp(once.to_owned()));
    }

    #[test]
    fn the_quietest_is_found_and_parts_count_by_the_noisiest() {
        let limits = limits("10%", "30%", 3);
        let all = [(0.3, 0.1), (0.15, 0.2), (0.1, 0.9)]
            .map(|(others, spread)| noise(Some(others), None, Some(spread)));
        assert_eq!(quietest(all.iter(), &limits), 1);
        assert_eq!(quietest([].iter(), &limits), 0);
        assert_eq!(all[0].most(all[2]), noise(Some(0.3), None, Some(0.9)));
        let unknown = noise(None, None, None);
        assert_eq!(unknown.most(all[1]), all[1]);
        assert_eq!(all[1].most(unknown), all[1]);
    }
}
