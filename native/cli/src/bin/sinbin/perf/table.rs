//! The results of clients side by side, for a terminal.

use std::fmt::Write as _;

use console::Style;
use indicatif::HumanCount;

use super::blocks::{Axis, blocks};
use super::stats::{Stats, per_second};

/// The number of columns of a histogram.
const COLUMNS: usize = 60;

/// The units of times, and the nanoseconds of each.
const UNITS: [(&str, f64); 4] = [("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];

/// The rows of times, by their quantiles.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// A client's results.
pub(crate) struct Column<'a> {
    pub(crate) title: String,
    pub(crate) stats: &'a Stats,
    pub(crate) seconds: f64,
}

/// Returns the table, and below it a histogram of each client's times. All times are in one unit.
pub(crate) fn table(columns: &[Column<'_>], is_coloured: bool) -> String {
    let (unit, nanos) = unit(columns);
    let mut rows = vec![row("", columns, |column| column.title.clone())];
    rows.push(row("requests", columns, |column| HumanCount(column.stats.count()).to_string()));
    rows.push(row("requests/s", columns, |column| number(per_second(column.stats.count(), column.seconds))));
    for (name, quantile) in QUANTILES {
        rows.push(row(&format!("{name}, {unit}"), columns, |column| match column.stats.count() {
            0 => "-".to_owned(),
            _ => number(time(column.stats, quantile) / nanos),
        }));
    }
    let mut text = aligned(&rows, is_coloured);
    text.push_str(&histograms(columns, unit, nanos, is_coloured));
    text
}

/// Returns the unit in which the shortest p50 has digits before the point.
fn unit(columns: &[Column<'_>]) -> (&'static str, f64) {
    let measured = columns.iter().filter(|column| column.stats.count() > 0);
    let least = measured.map(|column| time(column.stats, 0.5)).reduce(f64::min).unwrap_or(1.0);
    UNITS.into_iter().rev().find(|(_, nanos)| least >= *nanos).unwrap_or(UNITS[0])
}

#[expect(clippy::cast_precision_loss, reason = "a time is shown in a few digits")]
fn time(stats: &Stats, quantile: f64) -> f64 {
    stats.times().value_at_quantile(quantile) as f64
}

/// Returns a number with about three digits, or all of those before the point.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number is shown in a few digits"
)]
fn number(value: f64) -> String {
    match value {
        0.0..9.995 => format!("{value:.2}"),
        0.0..99.95 => format!("{value:.1}"),
        _ => HumanCount(value.round() as u64).to_string(),
    }
}

fn row(name: &str, columns: &[Column<'_>], cell: impl Fn(&Column<'_>) -> String) -> Vec<String> {
    [name.to_owned()].into_iter().chain(columns.iter().map(cell)).collect()
}

/// Returns the rows with aligned columns. The first row is the head.
fn aligned(rows: &[Vec<String>], is_coloured: bool) -> String {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..).map_while(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column == 0 {
                write!(line, "{cell:<width$}").ok();
            } else {
                write!(line, "  {cell:>width$}").ok();
            }
        }
        let line = line.trim_end();
        let head = Style::new().bold().force_styling(is_coloured);
        let line = if number == 0 { head.apply_to(line).to_string() } else { line.to_owned() };
        writeln!(text, "{line}").ok();
    }
    text
}

/// Returns the histograms, on one logarithmic axis.
#[expect(clippy::cast_precision_loss, reason = "a time is shown in a few digits")]
fn histograms(columns: &[Column<'_>], unit: &str, nanos: f64, is_coloured: bool) -> String {
    let all = columns.iter().map(|column| column.stats.times());
    let Some(axis) = Axis::of(all, COLUMNS) else { return String::new() };
    let width = columns.iter().map(|column| column.title.chars().count()).max().unwrap_or(0);
    let mut text = String::from("\n");
    for column in columns {
        let bars = blocks(&axis.counts(column.stats.times()));
        let bars = Style::new().cyan().force_styling(is_coloured).apply_to(bars.trim_end());
        writeln!(text, "{:<width$}  {bars}", column.title).ok();
    }
    let (least, greatest) = (number(axis.least as f64 / nanos), number(axis.greatest as f64 / nanos));
    let greatest = format!("{greatest} {unit} (logarithmic)");
    let gap = COLUMNS.saturating_sub(least.chars().count() + greatest.chars().count()).max(1);
    writeln!(text, "{:<width$}  {least}{:gap$}{greatest}", "", "").ok();
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stats(times: &[(u64, usize)]) -> Stats {
        let mut stats = Stats::new(Duration::from_secs(1), false);
        for (micros, count) in times {
            (0..*count).for_each(|_| stats.record(Duration::from_micros(*micros), Duration::ZERO));
        }
        stats
    }

    fn column<'a>(title: &str, stats: &'a Stats) -> Column<'a> {
        Column { title: title.to_owned(), stats, seconds: 0.5 }
    }

    #[test]
    fn columns_stand_side_by_side_in_one_unit() {
        let (alone, slow) = (stats(&[(20, 1000), (400, 5)]), stats(&[(240_000, 2)]));
        let table = table(&[column("alone", &alone), column("slow", &slow)], false);
        let expected = "            alone     slow
requests    1,005        2
requests/s  2,010     4.00
p50, µs      20.0  240,124
p90, µs      20.0  240,124
p99, µs      20.0  240,124
p99.9, µs     400  240,124
max, µs       400  240,124
";
        let (rows, histogram) = table.split_once("\n\n").expect("a histogram");
        assert_eq!(format!("{rows}\n"), expected, "{table}");
        let lines: Vec<_> = histogram.lines().collect();
        assert_eq!(lines.len(), 3, "{histogram}");
        assert!(lines[0].starts_with("alone  █ "), "{histogram}");
        assert_eq!(lines[1].matches('█').count(), 1, "{histogram}");
        assert_eq!(lines[1].chars().count(), "slow   ".len() + COLUMNS, "{histogram}");
        assert!(lines[2].ends_with("240,124 µs (logarithmic)"), "{histogram}");
        assert!(!table.contains('\x1b'));
    }

    #[test]
    fn colours_are_there_if_wanted() {
        let alone = stats(&[(20, 10)]);
        assert!(table(&[column("alone", &alone)], true).contains('\x1b'));
    }

    #[test]
    fn a_client_without_a_reply_has_no_times() {
        let (alone, none) = (stats(&[(20, 10)]), stats(&[]));
        let both = table(&[column("alone", &alone), column("beside", &none)], false);
        assert!(both.contains("p50, µs      20.0       -\n"), "{both}");
        let nothing = table(&[column("beside", &none)], false);
        assert!(!nothing.contains("logarithmic"), "{nothing}");
    }

    #[test]
    fn numbers_have_about_three_digits() {
        let all = [0.0, 1.0, 9.994, 9.996, 99.94, 99.96, 1234.5].map(number);
        assert_eq!(all, ["0.00", "1.00", "9.99", "10.0", "99.9", "100", "1,235"]);
    }
}
