use crate::command::Ended;

/// The summary line that a server prints when it stops.
#[derive(Debug)]
pub struct Summary<'a>(&'a str);

impl<'a> Summary<'a> {
    /// Returns the last line of the output.
    ///
    /// # Panics
    ///
    /// Panics if the exit code is not 0 or if the last line is no summary.
    #[must_use]
    pub fn of(ended: &'a Ended) -> Self {
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let line = ended.stdout.lines().last().expect("a summary");
        assert!(line.starts_with("served "), "a summary: {line}");
        Self(line)
    }

    /// Returns the number before `unit`, such as `bytes in`, or 0 if the unit does not occur.
    #[must_use]
    pub fn number(&self, unit: &str) -> usize {
        let part = self.0.split([',', ';']).find_map(|part| part.strip_suffix(unit));
        let number = part.and_then(|part| part.split_whitespace().last()?.parse().ok());
        number.unwrap_or(0)
    }

    /// Returns the line.
    #[must_use]
    pub fn line(&self) -> &str {
        self.0
    }
}
