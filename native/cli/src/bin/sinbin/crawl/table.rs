//! The summary of a crawl.

use std::fmt::{self, Display};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use sinbin_crawl::Summary;

/// The number of columns of the names, of which "not followed: beyond --max-urls or --max-queue-size" is the longest.
const WIDTH: usize = 51;

/// The summary as a table. Rows without a count are left out, except for the pages.
pub(crate) struct Table<'a> {
    pub(crate) summary: &'a Summary,
    pub(crate) elapsed: Duration,
    /// The number of pages that were done before this run.
    pub(crate) before: u64,
    /// The number of URLs that are left.
    pub(crate) left: u64,
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { statuses, skipped, .. } = self.summary;
        row(f, "pages", format_args!("{}{}", HumanCount(self.summary.pages), Rate(self)))?;
        let counts = [
            ("links checked", self.summary.checks),
            ("robots.txt and sitemaps", self.summary.others),
            ("links", self.summary.links),
            ("status 1xx", statuses[0]),
            ("status 2xx", statuses[1]),
            ("status 3xx", statuses[2]),
            ("status 4xx", statuses[3]),
            ("status 5xx", statuses[4]),
            ("other statuses", statuses[5]),
            ("broken links", self.summary.broken),
            ("attempts repeated", self.summary.retries),
            ("bodies above the limit", self.summary.truncated),
        ];
        for (name, count) in counts {
            count_row(f, name, count)?;
        }
        for (name, count) in &self.summary.errors {
            count_row(f, format_args!("error: {name}"), *count)?;
        }
        let reasons = [
            ("to other hosts", skipped.external),
            ("excluded by patterns", skipped.patterns),
            ("beyond --max-depth", skipped.depth),
            ("to private addresses", skipped.private),
            ("too long", skipped.long),
            ("too many on a page", skipped.many),
            ("invalid", skipped.invalid),
            ("nofollow", skipped.nofollow),
            ("beyond --max-urls or --max-queue-size", skipped.full),
        ];
        for (name, count) in reasons {
            count_row(f, format_args!("not followed: {name}"), count)?;
        }
        count_row(f, "followed without credentials", skipped.credentials)?;
        if self.left > 0 {
            count_row(f, "left to fetch", self.left)?;
        }
        row(f, "bytes", HumanBytes(self.summary.bytes))?;
        let elapsed = Duration::from_millis(u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX));
        write!(f, "{:WIDTH$} {}", "time", humantime::format_duration(elapsed))
    }
}

/// The pages of this run per second.
struct Rate<'a, 'b>(&'a Table<'b>);

impl Display for Rate<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { summary, elapsed, before, .. } = self.0;
        let done = summary.pages.saturating_sub(*before);
        if *before > 0 {
            write!(f, ", {} of them in this run", HumanCount(done))?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = done as f64 / elapsed.as_secs_f64().max(1e-6);
        write!(f, " ({rate:.0}/s)")
    }
}

fn count_row(f: &mut fmt::Formatter<'_>, name: impl Display, count: u64) -> fmt::Result {
    if count == 0 { Ok(()) } else { row(f, name, HumanCount(count)) }
}

fn row(f: &mut fmt::Formatter<'_>, name: impl Display, value: impl Display) -> fmt::Result {
    // Padding applies to a text, not to the parts of one.
    writeln!(f, "{:WIDTH$} {value}", name.to_string())
}

#[cfg(test)]
mod tests {
    use sinbin_crawl::Skipped;

    use super::*;

    #[test]
    fn the_values_are_in_one_column() {
        let mut summary = Summary {
            pages: 1,
            reached: 1,
            checks: 1,
            others: 1,
            statuses: [1; 6],
            broken: 1,
            retries: 1,
            bytes: 1,
            truncated: 1,
            links: 1,
            skipped: Skipped {
                external: 1,
                patterns: 1,
                depth: 1,
                private: 1,
                long: 1,
                many: 1,
                invalid: 1,
                nofollow: 1,
                full: 1,
                credentials: 1,
            },
            ..Summary::default()
        };
        summary.errors.insert("redirect to another scheme".to_owned(), 1);
        let table =
            Table { summary: &summary, elapsed: Duration::from_secs(1), before: 0, left: 1 }.to_string();
        for line in table.lines() {
            let (name, value) = line.split_at(WIDTH);
            assert!(!name.starts_with(' ') && value.starts_with(" 1"), "{line}");
        }
    }
}
