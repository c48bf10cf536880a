//! Patterns of paths as in robots.txt (RFC 9309, 2.2.3): a prefix, with `*` for any bytes and `$` for the end.

use std::fmt;
use std::str::FromStr;

use memchr::memmem;
use url::Url;

/// A pattern that `Settings::include` and `Settings::exclude` compare URLs with.
///
/// The pattern has the form of those in robots.txt: a URL matches if it begins with the pattern, `*` stands for any
/// characters, and a `$` at the end for the end of the URL. A pattern that begins with `/` or `*` is compared with the
/// path and the query, and one that contains `://` with the whole URL.
///
/// ```
/// use sinbin_crawl::Pattern;
///
/// let url = "http://example.org/docs/a.pdf?page=1".parse().unwrap();
/// assert!("/docs/".parse::<Pattern>().unwrap().matches(&url));
/// assert!("*.pdf".parse::<Pattern>().unwrap().matches(&url));
/// assert!("http://*.org/docs".parse::<Pattern>().unwrap().matches(&url));
/// assert!(!"*.pdf$".parse::<Pattern>().unwrap().matches(&url));
/// assert!("docs".parse::<Pattern>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    path: PathPattern,
    is_of_url: bool,
}

/// Error returned when a text is no [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {0:?} begins with neither `/` nor `*`, and contains no `://`")]
pub struct PatternError(String);

impl Pattern {
    /// Returns true if `url` matches. O(length of the URL and the pattern).
    pub fn matches(&self, url: &Url) -> bool {
        if self.is_of_url {
            self.path.matches(&canonical(url.as_str().as_bytes()))
        } else {
            self.path.matches(&canonical_path(url))
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let is_of_url = text.contains("://");
        if !is_of_url && !text.starts_with(['/', '*']) {
            return Err(PatternError(text.to_owned()));
        }
        Ok(Self { text: text.to_owned(), path: PathPattern::new(text.as_bytes()), is_of_url })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A pattern that is compared with canonical bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathPattern {
    /// The pattern without the `$` at its end, and without a `*` that changes nothing: after another one, or at the end.
    text: Box<[u8]>,
    is_to_end: bool,
    /// The number of bytes before the first `*`.
    literal: usize,
    /// The number of bytes as the pattern was written.
    len: usize,
}

impl PathPattern {
    pub fn new(text: &[u8]) -> Self {
        let (text, is_to_end) = match text {
            [text @ .., b'$'] => (text, true),
            text => (text, false),
        };
        let mut canonical = Vec::with_capacity(text.len());
        encode(text, |byte| matches!(byte, b'*'), &mut canonical);
        let len = canonical.len() + usize::from(is_to_end);
        canonical.dedup_by(|byte, before| (*byte, *before) == (b'*', b'*'));
        let ends_with_any = canonical.last() == Some(&b'*');
        canonical.truncate(canonical.len() - usize::from(ends_with_any));
        let literal = memchr::memchr(b'*', &canonical).unwrap_or(canonical.len());
        Self { text: canonical.into(), is_to_end: is_to_end && !ends_with_any, literal, len }
    }

    /// Returns the number of bytes of the pattern as it was written: the longest one of a robots.txt decides.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the memory of the pattern beside its own size, in bytes.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Returns the bytes that a path begins with if the pattern matches.
    pub fn literal(&self) -> &[u8] {
        &self.text[..self.literal]
    }

    /// Returns the number of `*` within the pattern, each of which costs a search.
    pub fn wildcards(&self) -> usize {
        memchr::memchr_iter(b'*', &self.text).count()
    }

    /// Ends the pattern before its first `*`, so that it matches more. Its length stays that of the whole pattern.
    pub fn widen(&mut self) {
        self.text = self.literal().into();
        self.is_to_end = false;
    }

    /// Orders patterns by their literals, and patterns that match the same paths beside each other.
    pub fn order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |pattern: &Self| (pattern.literal, pattern.is_to_end);
        self.literal()
            .cmp(other.literal())
            .then_with(|| self.text.cmp(&other.text))
            .then(key(self).cmp(&key(other)))
    }

    /// Returns true if the pattern matches. `path` is canonical. O(length of both): each part between two `*` matches at
    /// its first place, and no later place can be better.
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut parts = self.text.split(|&byte| byte == b'*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = path.strip_prefix(first) else { return false };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return !self.is_to_end || rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() && self.is_to_end {
                return rest.ends_with(part);
            }
            let Some(at) = memmem::find(rest, part) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

/// Returns the path and query of `url` in the form that patterns are compared with.
pub(crate) fn canonical_path(url: &Url) -> Vec<u8> {
    canonical(url[url::Position::BeforePath..url::Position::AfterQuery].as_bytes())
}

/// Returns `text` in the form that patterns are compared with.
fn canonical(text: &[u8]) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(text.len());
    encode(text, |_| false, &mut canonical);
    canonical
}

/// Decodes percent-encoded unreserved characters, and encodes what a URL cannot contain, as well as the characters `*`
/// and `$`, for which a pattern writes `%2A` and `%24`. Bytes that `is_special` keeps are copied.
fn encode(text: &[u8], is_special: impl Fn(u8) -> bool, to: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut push = |byte: u8, is_encoded: bool| match is_encoded {
        true => to.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        false => to.push(byte),
    };
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        if let (b'%', [high, low, after @ ..]) = (byte, after)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            let decoded = high << 4 | low;
            push(decoded, !is_unreserved(decoded));
            rest = after;
        } else {
            let is_encoded = matches!(byte, b'*' | b'$' | ..=b' ' | 0x7f..) && !is_special(*byte);
            push(*byte, is_encoded);
        }
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

pub(crate) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
