//! Measurements that are repeated until the machine is quiet enough.

use std::error::Error;

use sinbin_cli::signals::interrupted;

use super::lap::Lap;
use super::noise::{Next, Noise, NoiseArgs, next, quietest};

/// A measurement, which may be repeated.
pub(crate) struct Attempt {
    pub(crate) laps: Vec<Lap>,
    pub(crate) noise: Noise,
}

/// All measurements of a command.
pub(crate) struct Series {
    pub(crate) attempts: Vec<Attempt>,
    /// The index of the attempt that counts: the first that was quiet enough, or the quietest.
    pub(crate) chosen: usize,
    /// The reason why nothing can be judged, if each attempt was too noisy.
    pub(crate) too_noisy: Option<String>,
}

impl Series {
    /// Returns the parts of the attempt that counts.
    pub(crate) fn laps(&self) -> &[Lap] {
        self.attempts.get(self.chosen).map_or(&[], |attempt| &attempt.laps)
    }

    /// Returns the problem that ended the measurements, if any.
    pub(crate) fn problem(&self) -> Option<String> {
        self.laps().iter().find_map(Lap::problem)
    }
}

/// Measures until the machine is quiet enough, at most as often as the arguments allow. A problem or a signal ends the
/// series: the last measurement then counts. `note` receives the reason of each repetition.
pub(crate) fn repeat(
    limits: &NoiseArgs,
    note: impl Fn(&str),
    mut measure: impl FnMut() -> Result<Vec<Lap>, Box<dyn Error>>,
) -> Result<Series, Box<dyn Error>> {
    let mut attempts = Vec::new();
    loop {
        let laps = measure()?;
        let has_problem = laps.iter().any(|lap| lap.problem().is_some());
        let noise = laps.iter().map(Lap::noise).reduce(Noise::most).unwrap_or_default();
        attempts.push(Attempt { laps, noise });
        let last = attempts.len() - 1;
        if has_problem || interrupted() {
            return Ok(Series { attempts, chosen: last, too_noisy: None });
        }
        match next(&noise, attempts.len(), limits) {
            Next::Enough => return Ok(Series { attempts, chosen: last, too_noisy: None }),
            Next::Again(why) => note(&why),
            Next::GiveUp(why) => {
                let chosen = quietest(attempts.iter().map(|attempt| &attempt.noise), limits);
                return Ok(Series { attempts, chosen, too_noisy: Some(why) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::super::cpu::Share;
    use super::super::lap::{Part, Plan};
    use super::super::stats::Stats;
    use super::*;

    const LIMITS: NoiseArgs = NoiseArgs {
        max_others: super::super::noise::Percent(Some(0.1)),
        max_spread: super::super::noise::Percent(Some(0.3)),
        attempts: 3,
        server_pid: None,
    };

    /// A measurement of a second in which others took a share, with these requests in the windows.
    fn lap(others: f64, windows: [u64; 10], trouble: Option<&str>) -> Lap {
        let time = Duration::from_secs(1);
        let mut stats = Stats::new(time, false);
        for (index, count) in (0..).zip(windows) {
            (0..count)
                .for_each(|_| stats.record(Duration::from_micros(20), Duration::from_millis(index * 100)));
        }
        stats.trouble = trouble.map(str::to_owned);
        let share = Share { others: Some(others), stolen: None };
        let parts = vec![Part { plan: Plan::one("", 1), stats }];
        Lap { parts, seconds: 1.0, asked: time, share, is_steady: true }
    }

    /// Measures with these results. Returns the series, and the notes.
    fn measured(laps: Vec<Lap>) -> (Series, Vec<String>) {
        let (mut laps, notes) = (laps.into_iter(), RefCell::new(Vec::new()));
        let note = |why: &str| notes.borrow_mut().push(why.to_owned());
        let series = repeat(&LIMITS, note, || Ok(vec![laps.next().expect("no further measurement")]));
        (series.expect("measurements"), notes.into_inner())
    }

    #[test]
    fn a_quiet_measurement_counts_at_once() {
        let (series, notes) = measured(vec![lap(0.02, [100; 10], None)]);
        assert_eq!((series.attempts.len(), series.chosen, series.too_noisy), (1, 0, None));
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn the_first_quiet_measurement_counts() {
        let uneven = [100, 100, 100, 30, 40, 50, 100, 100, 100, 100];
        let (series, notes) =
            measured(vec![lap(0.5, [100; 10], None), lap(0.0, uneven, None), lap(0.1, [100; 10], None)]);
        assert_eq!((series.attempts.len(), series.chosen, series.too_noisy), (3, 2, None));
        assert!(notes[0].contains("others took 50 %") && notes[0].ends_with("(2 of 3)"), "{notes:?}");
        assert!(
            notes[1].contains("the windows spread by 60 %") && notes[1].ends_with("(3 of 3)"),
            "{notes:?}"
        );
    }

    #[test]
    fn nothing_is_judged_if_each_is_noisy() {
        let (series, notes) = measured([0.5, 0.2, 0.3].map(|others| lap(others, [100; 10], None)).into());
        assert_eq!((series.attempts.len(), series.chosen, notes.len()), (3, 1, 2));
        assert!(series.too_noisy.is_some_and(|why| why.contains("none of 3 measurements was quiet enough")));
    }

    #[test]
    fn a_problem_ends_the_series() {
        let (series, notes) = measured(vec![lap(0.5, [100; 10], Some("the server said no"))]);
        assert_eq!(series.problem().as_deref(), Some("the server said no"));
        assert_eq!((series.too_noisy, notes.len()), (None, 0));
        let (series, _) = measured(vec![lap(0.0, [0; 10], None)]);
        assert!(
            series.problem().is_some_and(|problem| problem.starts_with("no request was answered in 1.0 s"))
        );
    }
}
