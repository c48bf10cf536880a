use crate::command::Ended;

/// What a server says at its end.
#[derive(Debug)]
pub struct Summary<'a>(&'a str);

impl<'a> Summary<'a> {
    /// The last line that it said.
    ///
    /// # Panics
    ///
    /// When it has not ended as it should, or says no summary.
    #[must_use]
    pub fn of(ended: &'a Ended) -> Self {
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let line = ended.stdout.lines().last().expect("a summary");
        assert!(line.starts_with("served "), "a summary: {line}");
        Self(line)
    }

    /// The number that stands before `unit`, such as `bytes in`; 0 where it is not mentioned.
    #[must_use]
    pub fn number(&self, unit: &str) -> usize {
        let part = self.0.split([',', ';']).find_map(|part| part.strip_suffix(unit));
        let number = part.and_then(|part| part.split_whitespace().last()?.parse().ok());
        number.unwrap_or(0)
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> &str {
        self.0
    }
}
