//! Links of style sheets: `url(…)`, and the strings of `@import`.

use std::borrow::Cow;

use super::links::LinkList;

/// Appends the links of a style sheet, or of an attribute `style`.
///
/// Follows the tokens of CSS Syntax 3: comments and strings are skipped, and escapes are decoded. O(length).
pub(crate) fn read(text: &str, links: &mut LinkList) {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut is_import = false;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'/' if bytes[at..].starts_with(b"/*") => {
                at =
                    memchr::memmem::find(&bytes[at + 2..], b"*/").map_or(bytes.len(), |end| at + 2 + end + 2);
            }
            b'"' | b'\'' => {
                let end = end_of_string(bytes, at + 1, byte);
                if is_import {
                    links.push(&unescape(&text[at + 1..end]));
                }
                is_import = false;
                at = (end + 1).min(bytes.len());
            }
            b'@' if has_word(bytes, at + 1, b"import") => {
                is_import = true;
                at += 1 + b"import".len();
            }
            b'\\' => at = after_escape(text, at),
            b';' | b'{' | b'}' => {
                is_import = false;
                at += 1;
            }
            _ if is_name(byte) => {
                let end =
                    bytes[at..].iter().position(|&byte| !is_name(byte)).map_or(bytes.len(), |end| at + end);
                let is_url = bytes[at..end].eq_ignore_ascii_case(b"url") && bytes.get(end) == Some(&b'(');
                at = match is_url {
                    true => url(text, end + 1, links),
                    false => end,
                };
                is_import = is_import && !is_url;
            }
            _ => at += 1,
        }
    }
}

/// Reads a URL after `url(`, and returns the position after it.
fn url(text: &str, start: usize, links: &mut LinkList) -> usize {
    let bytes = text.as_bytes();
    let space = bytes[start..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let start = start + space;
    if let Some(&quote @ (b'"' | b'\'')) = bytes.get(start) {
        let end = end_of_string(bytes, start + 1, quote);
        links.push(&unescape(&text[start + 1..end]));
        return (end + 1).min(bytes.len());
    }
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b')' => break,
            b'\\' => at = after_escape(text, at),
            _ => at += 1,
        }
    }
    let link = unescape(text[start..at].trim_ascii());
    if !link.is_empty() {
        links.push(&link);
    }
    (at + 1).min(bytes.len())
}

/// Returns the position of the quote that ends a string, or of the line break in an unfinished one.
fn end_of_string(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\n' => return at,
            b'\\' => at += 2,
            _ if byte == quote => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Returns the position after the backslash at `at` and the character that it escapes.
fn after_escape(text: &str, at: usize) -> usize {
    text[at + 1..].chars().next().map_or(text.len(), |char| at + 1 + char.len_utf8())
}

fn has_word(bytes: &[u8], at: usize, word: &[u8]) -> bool {
    bytes.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
        && !bytes.get(at + word.len()).is_some_and(|&byte| is_name(byte))
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | 0x80..)
}

/// Decodes the escapes of a string or URL.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        decoded.push_str(before);
        let digits = after.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
        if digits > 0 {
            let value = u32::from_str_radix(&after[..digits], 16).ok().and_then(char::from_u32);
            decoded.push(value.filter(|&char| char != '\0').unwrap_or(char::REPLACEMENT_CHARACTER));
            rest = &after[digits..];
            rest = rest.strip_prefix(|char: char| char.is_ascii_whitespace()).unwrap_or(rest);
        } else {
            // An escaped line break is no part of the string.
            let mut chars = after.chars();
            decoded.extend(chars.next().filter(|&char| char != '\n'));
            rest = chars.as_str();
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::links::LinkList;

    fn links(text: &str) -> Vec<String> {
        let mut links = LinkList::new(100);
        super::read(text, &mut links);
        links.iter().map(str::to_owned).collect()
    }

    #[test]
    fn urls_and_imports() {
        assert_eq!(
            links("@import 'a.css'; @IMPORT url(b.css) screen; @import url( \"c.css\" );"),
            ["a.css", "b.css", "c.css"]
        );
        assert_eq!(links("b { background: URL(x.png) no-repeat, url('y z.png') }"), ["x.png", "y z.png"]);
        assert_eq!(
            links("/* url(no.png) */ a::before { content: 'url(no.png)' } b { src: url(yes.png) }"),
            ["yes.png"]
        );
        assert_eq!(links("a { b: my-url(no.png) }"), Vec::<String>::new());
        assert_eq!(links("a { b: url() } c { d: url( ) }"), Vec::<String>::new());
        assert_eq!(links("@import-not 'no.css'; @import{} 'no.css'"), Vec::<String>::new());
        assert_eq!(links("a { b: 'unfinished\n; c: url(yes.png) }"), ["yes.png"]);
    }

    #[test]
    fn escapes() {
        assert_eq!(links(r"a { b: url(a\)b.png) }"), ["a)b.png"]);
        assert_eq!(links(r#"a { b: url("a\"\62 c.png") }"#), [r#"a"bc.png"#]);
        assert_eq!(links("a { b: url('a\\\nb.png') }"), ["ab.png"]);
        assert_eq!(links(r"a { b: url(\0\110000\d800 x) }"), ["\u{fffd}\u{fffd}\u{fffd}x"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([a-z]|url\\(|[\"'\\\\/*();{}@ \n]|@import |\u{e4}|\\PC){0,60}") {
            links(&text);
        }
    }
}
