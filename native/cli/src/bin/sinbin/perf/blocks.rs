//! Histograms of times in block characters.

use hdrhistogram::Histogram;

/// The heights of a column, from one eighth to the whole line.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A logarithmic axis of times, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Axis {
    pub(crate) least: u64,
    pub(crate) greatest: u64,
    columns: usize,
}

impl Axis {
    /// Returns the axis that contains all times of the histograms, or `None` if there are none.
    pub(crate) fn of<'a>(
        all: impl Iterator<Item = &'a Histogram<u64>> + Clone,
        columns: usize,
    ) -> Option<Self> {
        let all = all.filter(|times| !times.is_empty());
        let least = all.clone().map(Histogram::min).min()?.max(1);
        let greatest = all.map(Histogram::max).max()?.max(least);
        Some(Self { least, greatest, columns })
    }

    /// Returns the column of a time.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a column is one of few"
    )]
    fn column(self, nanos: u64) -> usize {
        let last = self.columns - 1;
        if self.greatest == self.least {
            return 0;
        }
        let whole = (self.greatest as f64 / self.least as f64).ln();
        let part = (nanos.clamp(self.least, self.greatest) as f64 / self.least as f64).ln();
        ((part / whole * self.columns as f64) as usize).min(last)
    }

    /// Returns the number of times in each column.
    pub(crate) fn counts(self, times: &Histogram<u64>) -> Vec<u64> {
        let mut counts = vec![0; self.columns];
        for step in times.iter_recorded() {
            counts[self.column(step.value_iterated_to())] += step.count_since_last_iteration();
        }
        counts
    }
}

/// Returns a character for each count. The greatest has a full block, and every count above zero at least an eighth.
pub(crate) fn blocks(counts: &[u64]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let block = |count: &u64| match count {
        0 => ' ',
        count => {
            let eighths = (u128::from(*count) * 8).div_ceil(u128::from(most)).clamp(1, 8);
            BLOCKS[usize::try_from(eighths).unwrap_or(8) - 1]
        }
    };
    counts.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(all: &[(u64, u64)]) -> Histogram<u64> {
        let mut times = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
        for (time, count) in all {
            times.record_n(*time, *count).unwrap();
        }
        times
    }

    #[test]
    fn the_greatest_is_full_and_the_least_is_visible() {
        assert_eq!(blocks(&[0, 1, 2, 3, 4, 5, 6, 7, 8]), " ▁▂▃▄▅▆▇█");
        assert_eq!(blocks(&[1, 1_000_000, 0]), "▁█ ");
        assert_eq!(blocks(&[u64::MAX, u64::MAX / 2]), "█▄");
        assert_eq!(blocks(&[0, 0]), "  ");
        assert_eq!(blocks(&[]), "");
    }

    #[test]
    fn the_columns_are_logarithmic_and_hold_all_times() {
        let times = times(&[(1000, 5), (10_000, 7), (100_000, 1), (1_000_000, 2)]);
        let axis = Axis::of([&times].into_iter(), 4).unwrap();
        assert_eq!(axis.least, 1000);
        let counts = axis.counts(&times);
        assert_eq!(counts.iter().sum::<u64>(), 15);
        assert_eq!((counts[0], counts[3]), (5, 2));
    }

    #[test]
    fn one_time_has_one_column_and_none_has_no_axis() {
        let one = times(&[(1000, 3)]);
        let none = times(&[]);
        let axis = Axis::of([&none, &one].into_iter(), 10).unwrap();
        assert_eq!(axis.counts(&one)[0], 3);
        assert_eq!(axis.counts(&none), [0; 10]);
        assert_eq!(Axis::of([&none].into_iter(), 10), None);
        // Times beyond an hour are recorded as an hour.
        let hour = times(&[(1, 1), (3_600_000_000_000, 1)]);
        let axis = Axis::of([&hour].into_iter(), 3).unwrap();
        assert_eq!(axis.counts(&hour), [1, 0, 1]);
    }
}
