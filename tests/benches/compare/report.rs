//! The report as markdown.

use std::iter;

use crate::figure::{Figure, View, absolute, median};
use crate::server::Who;

/// The figures, with notes and all problems.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) figures: Vec<Figure>,
    notes: Vec<String>,
    problems: Vec<String>,
}

impl Report {
    /// Adds a note on how to read the figures, unless the same note exists.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Adds a problem: a failed measurement, or clients that received no reply.
    pub(crate) fn problem(&mut self, problem: String) {
        eprintln!("problem: {problem}");
        self.problems.push(problem);
    }

    pub(crate) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    pub(crate) fn markdown(&self) -> String {
        let tables = [Table::Ratios, Table::Absolute, Table::Spread];
        let tables = tables.into_iter().filter_map(|table| table.markdown(&self.figures));
        let lists = [("Notes", &self.notes), ("† Problems", &self.problems)];
        let lists = lists.into_iter().filter(|(_, items)| !items.is_empty());
        let lists = lists.map(|(title, items)| format!("{title}:\n\n- {}\n", items.join("\n- ")));
        tables.chain(lists).collect::<Vec<_>>().join("\n")
    }
}

#[derive(Clone, Copy)]
enum Table {
    Ratios,
    Absolute,
    Spread,
}

impl Table {
    fn title(self) -> &'static str {
        match self {
            Self::Ratios => "Medians of the rounds:",
            Self::Absolute => "Absolute figures, medians of the rounds:",
            Self::Spread => "Least and greatest of the rounds:",
        }
    }

    fn has(self, figure: &Figure) -> bool {
        match self {
            Self::Ratios | Self::Spread => !matches!(figure.view, View::Detail),
            Self::Absolute => !matches!(figure.view, View::Plain),
        }
    }

    fn label(self, figure: &Figure) -> String {
        match (self, figure.view) {
            (Self::Ratios | Self::Spread, View::RatioTo(to)) => {
                format!("{}, relative to {}", figure.name, to.name())
            }
            _ => figure.name.clone(),
        }
    }

    fn cell(self, figure: &Figure, who: Who) -> Option<String> {
        match self {
            Self::Ratios => median(&figure.shown(who)).map(|value| figure.format(value)),
            Self::Absolute => median(&figure.values(who)).map(absolute),
            Self::Spread => spread(figure, &figure.shown(who)),
        }
    }

    fn marked(self, figure: &Figure, who: Who) -> String {
        let cell = self.cell(figure, who).unwrap_or_else(|| figure.nothing().into());
        cell + figure.mark(who)
    }

    fn markdown(self, figures: &[Figure]) -> Option<String> {
        let rows: Vec<_> = figures.iter().filter(|figure| self.has(figure)).collect();
        let columns: Vec<_> =
            Who::ALL.into_iter().filter(|&who| rows.iter().any(|row| row.has(who))).collect();
        if rows.is_empty() || (columns.is_empty() && !matches!(self, Self::Ratios)) {
            return None;
        }
        let mut lines = vec![self.title().to_owned(), String::new()];
        let names = columns.iter().map(|who| who.name().to_owned());
        lines.push(self.line(String::new(), names, "at least, or at most".into()));
        let rules = columns.iter().map(|_| "---".to_owned());
        lines.push(self.line("---".into(), rules, "---".into()));
        for row in rows {
            let cells = columns.iter().map(|&who| self.marked(row, who));
            lines.push(self.line(self.label(row), cells, row.verdicts()));
        }
        Some(lines.join("\n") + "\n")
    }

    /// Formats a row. The last cell is only in the first table.
    fn line(self, first: String, cells: impl Iterator<Item = String>, last: String) -> String {
        let last = matches!(self, Self::Ratios).then_some(last);
        let cells: Vec<_> = iter::once(first).chain(cells).chain(last).collect();
        format!("| {} |", cells.join(" | "))
    }
}

fn spread(figure: &Figure, values: &[f64]) -> Option<String> {
    let least = figure.format(values.iter().copied().reduce(f64::min)?);
    let greatest = figure.format(values.iter().copied().reduce(f64::max)?);
    Some(if least == greatest { least } else { format!("{least}..{greatest}") })
}
