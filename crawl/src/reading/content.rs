//! Types of content that links are read from.

/// A type of content that a crawl reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Html,
    Css,
    /// A sitemap, if a user names it as a seed.
    Xml,
}

impl Content {
    /// Returns the type of content that a header `Content-Type` names. Without the header, it is HTML.
    pub fn of(content_type: Option<&[u8]>) -> Option<Self> {
        let Some(text) = content_type else { return Some(Self::Html) };
        let essence = text.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
        if essence.is_empty() || is("text/html") || is("application/xhtml+xml") {
            Some(Self::Html)
        } else if is("text/css") {
            Some(Self::Css)
        } else if is("application/xml") || is("text/xml") {
            Some(Self::Xml)
        } else {
            None
        }
    }
}
