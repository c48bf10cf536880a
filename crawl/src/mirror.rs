//! Paths of a mirror: where the page of a URL is stored.
//!
//! The paths are safe, whatever a server calls its pages: each is relative, and made of names that begin with no dot, are no
//! device of Windows, have at most 200 bytes, and contain only letters, digits, `-`, `_`, `.`, `~`, `+`, `,`, `=`, `@` and
//! `%`. No file is a folder of another one, because each file has an extension, and no folder has one.

use std::path::PathBuf;

use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use url::Url;

use crate::pattern::hex;

/// The longest name of a file or folder, in bytes. File systems allow 255.
const MAX_NAME: usize = 200;

/// The longest path, in bytes. Some systems allow 1024, with the path of the mirror.
const MAX_PATH: usize = 700;

/// Returns the path of the file for `url`, relative to the folder of the mirror. O(length).
///
/// The path begins with the host, and the port if it is not the scheme's. Characters that are not safe in names are
/// percent-encoded, and names that are too long end with a hash. A file gets the extension of `content_type` if it has
/// none, and `.html` if it is a page with another one. The name for a path that ends with a slash is `index`.
///
/// Different URLs have different paths, with these exceptions: http and https share a folder, and `/a/` shares a file with
/// `/a/index.html`. On file systems that ignore case, the mirror of a site that does not can lose pages.
///
/// ```
/// use sinbin_crawl::mirror;
///
/// let path = |url: &str, content_type: &str| {
///     mirror::path(&url.parse().unwrap(), Some(content_type.as_bytes())).to_str().unwrap().to_owned()
/// };
/// assert_eq!(path("https://a.example/docs/", "text/html"), "a.example/docs/index.html");
/// assert_eq!(path("http://a.example:8080/docs", "text/html"), "a.example+8080/docs.html");
/// assert_eq!(path("http://a.example/v1.2/a.png?size=2", "image/png"), "a.example/v1.2/a.png%3Fsize=2.png");
/// assert_eq!(path("http://a.example/..%2f..%2fetc/passwd%00", "text/plain"), "a.example/%2E.%2F..%2Fetc/passwd%00.txt");
/// assert_eq!(path("http://a.example/a.html/b", "text/html"), "a.example/a.html%/b.html");
/// ```
pub fn path(url: &Url, content_type: Option<&[u8]>) -> PathBuf {
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}+{port}"));
    // The extensions of hosts are those of countries.
    let host = name(&host);
    let mut segments: Vec<_> = url.path().strip_prefix('/').unwrap_or_default().split('/').collect();
    let file = file(segments.pop().unwrap_or_default(), url.query(), content_type);
    let path: PathBuf = segments.into_iter().map(folder).collect();
    let path = match path.as_os_str().len() + file.len() <= MAX_PATH {
        true => path.join(file),
        false => PathBuf::from(shorten(url.as_str(), 0, extension(&file).unwrap_or(BINARY))),
    };
    PathBuf::from(host).join(path)
}

fn folder(segment: &str) -> String {
    let name = name(segment);
    // Only the end of a folder's name has a `%` without digits after it.
    if extension(&name).is_some() { name + "%" } else { name }
}

fn file(segment: &str, query: Option<&str>, content_type: Option<&[u8]>) -> String {
    let text = if segment.is_empty() { "index" } else { segment };
    let of_type = extension_of(content_type);
    let mut full = match (query, segment.is_empty()) {
        (Some(query), true) => format!("{text}.{}?{query}", of_type.unwrap_or(HTML)),
        (Some(query), false) => format!("{text}?{query}"),
        (None, _) => text.to_owned(),
    };
    let own = extension(&full).filter(|_| query.is_none());
    let is_page = of_type == Some(HTML);
    let is_of_page = |own: &str| ["html", "htm", "xhtml"].iter().any(|page| own.eq_ignore_ascii_case(page));
    if own.is_none_or(|own| is_page && !is_of_page(own)) {
        full.push('.');
        full.push_str(of_type.unwrap_or(if segment.is_empty() { HTML } else { BINARY }));
    }
    name(&full)
}

/// Returns a name of a file or folder for `text`, which keeps its extension.
fn name(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if text.is_empty() {
        return "%e".to_owned();
    }
    let bytes = text.as_bytes();
    let is_device = is_device(text);
    let mut name = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| Some((hex(digits[0])?, hex(digits[1])?)));
        let is_first = at == 0;
        let is_edge = is_first || at + 1 == bytes.len();
        let value = match (byte, digits) {
            (b'%', Some((high, low))) => {
                at += 2;
                Some(high << 4 | low)
            }
            (b'.', _) if is_edge => Some(byte),
            _ if is_safe(byte) && !(is_first && is_device) => None,
            _ => Some(byte),
        };
        at += 1;
        match value {
            None => name.push(char::from(byte)),
            Some(value) => {
                name.push('%');
                name.extend([value >> 4, value & 15].map(|digit| char::from(DIGITS[usize::from(digit)])));
            }
        }
    }
    match name.len() <= MAX_NAME {
        true => name,
        false => shorten(&name, MAX_NAME - 60, extension(&name).unwrap_or_default()),
    }
}

/// Returns the first `kept` bytes of a text of ASCII, a hash of all of it, and an extension.
fn shorten(text: &str, kept: usize, extension: &str) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    let hash = hasher.finish128().as_u128();
    let dot = if extension.is_empty() { "" } else { "." };
    // No percent-encoded byte begins with `h`.
    format!("{}%h{hash:032x}{dot}{extension}", &text[..kept])
}

fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'+' | b',' | b'=' | b'@')
}

/// Returns true if Windows takes files of that name for a device, with any extension.
fn is_device(text: &str) -> bool {
    let stem = text.split('.').next().unwrap_or_default();
    let is = |name: &str| stem.eq_ignore_ascii_case(name);
    let is_numbered = |name: &str| {
        stem.len() == 4 && stem.as_bytes()[3].is_ascii_digit() && stem[..3].eq_ignore_ascii_case(name)
    };
    is("con")
        || is("prn")
        || is("aux")
        || is("nul")
        || (stem.is_ascii() && (is_numbered("com") || is_numbered("lpt")))
}

const HTML: &str = "html";
const BINARY: &str = "bin";

/// Returns the extension of a name: at most eight letters and digits after the last dot, with a letter first, so that the
/// number of a version is none.
fn extension(name: &str) -> Option<&str> {
    let (stem, extension) = name.rsplit_once('.')?;
    let is_extension = !stem.is_empty()
        && extension.len() <= 8
        && extension.starts_with(|char: char| char.is_ascii_alphabetic())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_extension.then_some(extension)
}

/// Returns the extension of files of a type.
fn extension_of(content_type: Option<&[u8]>) -> Option<&'static str> {
    let essence = content_type?.split(|&byte| byte == b';').next()?.trim_ascii();
    let extensions = [
        ("text/html", HTML),
        ("application/xhtml+xml", HTML),
        ("text/plain", "txt"),
        ("text/css", "css"),
        ("text/csv", "csv"),
        ("text/markdown", "md"),
        ("text/javascript", "js"),
        ("application/javascript", "js"),
        ("application/json", "json"),
        ("application/pdf", "pdf"),
        ("application/xml", "xml"),
        ("text/xml", "xml"),
        ("application/rss+xml", "xml"),
        ("application/atom+xml", "xml"),
        ("application/zip", "zip"),
        ("application/gzip", "gz"),
        ("application/wasm", "wasm"),
        ("image/png", "png"),
        ("image/jpeg", "jpg"),
        ("image/gif", "gif"),
        ("image/webp", "webp"),
        ("image/avif", "avif"),
        ("image/svg+xml", "svg"),
        ("image/x-icon", "ico"),
        ("image/vnd.microsoft.icon", "ico"),
        ("font/woff", "woff"),
        ("font/woff2", "woff2"),
        ("audio/mpeg", "mp3"),
        ("video/mp4", "mp4"),
        ("video/webm", "webm"),
    ];
    extensions
        .iter()
        .find(|(name, _)| essence.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, extension)| *extension)
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;
    use url::Url;

    use super::{extension, path};

    fn of(url: &str, content_type: &str) -> String {
        let url = Url::parse(url).expect("a URL");
        path(&url, Some(content_type.as_bytes())).to_str().expect("ASCII").to_owned()
    }

    /// Checks that a file of that path is below its mirror on every system.
    fn check(path: &Path) -> Result<(), TestCaseError> {
        prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
        prop_assert!(path.as_os_str().len() <= super::MAX_PATH + super::MAX_NAME + 1, "{path:?}");
        let text = path.to_str().expect("ASCII");
        let last = text.split('/').count() - 1;
        for (at, name) in text.split('/').enumerate() {
            prop_assert!(!name.is_empty() && name.len() <= super::MAX_NAME + 1, "{path:?}");
            prop_assert!(!name.starts_with('.') && !name.ends_with('.'), "{path:?}");
            prop_assert!(name.bytes().all(|byte| super::is_safe(byte) || byte == b'%'), "{path:?}");
            prop_assert!(!super::is_device(name), "{path:?}");
            // The host is above all files.
            prop_assert!(at == 0 || extension(name).is_some() == (at == last), "{path:?}");
        }
        Ok(())
    }

    fn content_types() -> impl Strategy<Value = Option<&'static str>> {
        prop::sample::select(vec![
            None,
            Some("text/html; charset=utf-8"),
            Some("image/png"),
            Some("text/plain"),
            Some("x"),
            Some(""),
        ])
    }

    /// Returns paths and queries that are meant to escape or to clash.
    fn paths() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            "(/|\\.\\.|%2e|%2E%2e|%2f|%5c|\\\\|%00|%|\\?|:|con|NUL|com1|\\.|\\.html|\\.png|a|b| |~|\u{e4}){0,12}",
            "[ab./]{0,6}",
            "\\PC{0,12}",
            "(a|%20|/){100,400}",
        ];
        (part, prop::option::of("[a?=/.]{0,4}")).prop_map(|(path, query)| match query {
            Some(query) => format!("{path}?{query}"),
            None => path,
        })
    }

    fn url(path: &str) -> Option<Url> {
        Url::parse("http://a.example/").ok()?.join(&format!("/{}", path.trim_start_matches(['/', '\\']))).ok()
    }

    proptest! {
        #[test]
        fn a_path_stays_below_the_mirror(text in paths(), content_type in content_types()) {
            if let Some(url) = url(&text) {
                check(&path(&url, content_type.map(str::as_bytes)))?;
            }
        }

        #[test]
        fn any_url_has_a_safe_path(text in "(http|https|file|data|x)://?\\PC{0,20}", content_type in content_types()) {
            if let Ok(url) = Url::parse(&text) {
                check(&path(&url, content_type.map(str::as_bytes)))?;
            }
        }

        #[test]
        fn files_are_different_and_none_is_a_folder(a in paths(), b in paths(), of_a in content_types(), of_b in content_types()) {
            if let (Some(a), Some(b)) = (url(&a), url(&b)) {
                let files = (path(&a, of_a.map(str::as_bytes)), path(&b, of_b.map(str::as_bytes)));
                prop_assert!(files.0 == files.1 || !(files.0.starts_with(&files.1) || files.1.starts_with(&files.0)));
                let is_index = |url: &Url| url.path().rsplit('/').next().is_some_and(|name| name.is_empty() || name.starts_with("index"));
                if !is_index(&a) && !is_index(&b) && of_a == of_b && files.0 == files.1 {
                    prop_assert_eq!(canonical(&a), canonical(&b));
                }
            }
        }
    }

    /// Returns a URL with the digits of its percent-encoding in upper case.
    fn canonical(url: &Url) -> String {
        let text = url.as_str();
        text.char_indices()
            .map(|(at, char)| match text[..at].char_indices().rev().take(2).any(|(_, char)| char == '%') {
                true => char.to_ascii_uppercase(),
                false => char,
            })
            .collect()
    }

    #[test]
    fn names() {
        assert_eq!(of("http://a.example/", "text/html"), "a.example/index.html");
        assert_eq!(of("http://a.example/feed/", "application/rss+xml"), "a.example/feed/index.xml");
        assert_eq!(of("http://a.example/?a=b/c", "text/html"), "a.example/index.html%3Fa=b%2Fc.html");
        assert_eq!(of("http://a.example/a.php", "text/html"), "a.example/a.php.html");
        assert_eq!(of("http://a.example/a.HTM", "text/html"), "a.example/a.HTM");
        assert_eq!(of("http://a.example/.git/config", "text/plain"), "a.example/%2Egit/config.txt");
        assert_eq!(of("http://a.example/a//b.css", "text/css"), "a.example/a/%e/b.css");
        assert_eq!(of("http://a.example/con/NUL.txt", ""), "a.example/%63on/%4EUL.txt");
        assert_eq!(of("http://[::1]:81/x.y.z/", "text/html"), "%5B%3A%3A1%5D+81/x.y.z%/index.html");
    }

    #[test]
    fn long_names_end_with_a_hash() {
        let long = |end: &str| of(&format!("http://a.example/{}{end}", "a".repeat(3000)), "text/html");
        assert!(long("b.html").ends_with(".html") && long("b.html").len() < 250);
        assert_ne!(long("b.html"), long("c.html"));
        let deep = |end: &str| of(&format!("http://a.example/{}{end}", "a/".repeat(1500)), "image/png");
        assert!(deep("b.png").ends_with(".png") && deep("b.png").len() < 100);
        assert_ne!(deep("b.png"), deep("c.png"));
    }
}
