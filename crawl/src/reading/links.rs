//! A list of links in compact form.

/// The links of a page, as they are written there, up to a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkList {
    text: String,
    /// The end of each link in `text`.
    ends: Vec<usize>,
    max: usize,
    dropped: u64,
}

impl LinkList {
    pub fn new(max: usize) -> Self {
        Self { text: String::new(), ends: Vec::new(), max, dropped: 0 }
    }

    /// Appends a link. Links that lead nowhere else are left out, because a page can have megabytes of `data:`.
    pub fn push(&mut self, link: &str) {
        let link = link.trim_matches(|char: char| char.is_ascii_whitespace());
        let is_data = link.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
        if link.starts_with('#') || is_data {
            return;
        }
        if self.ends.len() >= self.max {
            self.dropped += 1;
            return;
        }
        self.text.push_str(link);
        self.ends.push(self.text.len());
    }

    /// Returns the links in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }

    /// Returns the number of links after the limit.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}
