//! The character encoding of pages.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use html5gum::emitters::callback::CallbackEvent;

use super::tokens::{Sink, tokenize};

/// The number of bytes in which a page declares its encoding (HTML, "prescan a byte stream").
const PRESCAN: usize = 1024;

/// Returns the text of `body`, or `None` if it is binary. Invalid bytes become U+FFFD.
///
/// A byte order mark decides, then the header, then the page's own declaration. Otherwise the page is UTF-8 if it is
/// valid, else windows-1252.
pub(crate) fn decode<'a>(body: &'a [u8], content_type: Option<&[u8]>) -> Option<Cow<'a, str>> {
    let encoding = match Encoding::for_bom(body) {
        Some((encoding, _)) => encoding,
        None => {
            let declared = content_type.and_then(charset_of).or_else(|| declaration(body));
            let is_wide = declared.is_some_and(|encoding| encoding == UTF_16LE || encoding == UTF_16BE);
            if !is_wide && is_binary(body) {
                return None;
            }
            declared.unwrap_or_else(|| guess(body))
        }
    };
    Some(encoding.decode_with_bom_removal(body).0)
}

/// Returns true if `body` has bytes near its beginning that no text has (MIME Sniffing, "binary data byte").
fn is_binary(body: &[u8]) -> bool {
    let beginning = &body[..body.len().min(PRESCAN)];
    beginning.iter().any(|byte| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f))
}

fn guess(body: &[u8]) -> &'static Encoding {
    match std::str::from_utf8(body) {
        Ok(_) => UTF_8,
        // The last character can be cut off by a limit.
        Err(error) if error.error_len().is_none() => UTF_8,
        Err(_) => WINDOWS_1252,
    }
}

/// Returns the encoding that the parameter `charset` of a content type names.
fn charset_of(content_type: &[u8]) -> Option<&'static Encoding> {
    const NAME: &[u8] = b"charset";
    let mut rest = content_type;
    loop {
        let at = rest.windows(NAME.len()).position(|part| part.eq_ignore_ascii_case(NAME))?;
        rest = rest[at + NAME.len()..].trim_ascii_start();
        let Some(value) = rest.strip_prefix(b"=") else { continue };
        let value = value.trim_ascii_start();
        let label = match value {
            [quote @ (b'"' | b'\''), quoted @ ..] => quoted.split(|byte| byte == quote).next(),
            value => value.split(|byte| byte.is_ascii_whitespace() || *byte == b';').next(),
        };
        return Encoding::for_label(label?);
    }
}

/// Returns the encoding that a `<meta>` of the page names.
fn declaration(body: &[u8]) -> Option<&'static Encoding> {
    let mut meta = Meta::default();
    tokenize(&body[..body.len().min(PRESCAN)], &mut meta);
    let encoding = meta.found?;
    // A page that could be read so far is not UTF-16 (HTML, 13.2.3.2).
    Some(if encoding == UTF_16LE || encoding == UTF_16BE { UTF_8 } else { encoding })
}

#[derive(Default)]
struct Meta {
    found: Option<&'static Encoding>,
    is_meta: bool,
    attribute: Attribute,
    is_content_type: bool,
    charset: Option<&'static Encoding>,
    content: Option<&'static Encoding>,
}

#[derive(Default, Clone, Copy)]
enum Attribute {
    Charset,
    Content,
    HttpEquiv,
    #[default]
    Other,
}

impl Sink for Meta {
    fn on_event(&mut self, event: CallbackEvent<'_>) {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                *self = Self { found: self.found, is_meta: name == b"meta", ..Self::default() };
            }
            CallbackEvent::AttributeName { name } if self.is_meta => {
                self.attribute = match name {
                    b"charset" => Attribute::Charset,
                    b"content" => Attribute::Content,
                    b"http-equiv" => Attribute::HttpEquiv,
                    _ => Attribute::Other,
                };
            }
            CallbackEvent::AttributeValue { value } if self.is_meta => match self.attribute {
                Attribute::Charset => self.charset = Encoding::for_label(value),
                Attribute::Content => self.content = charset_of(value),
                Attribute::HttpEquiv => self.is_content_type = value.eq_ignore_ascii_case(b"content-type"),
                Attribute::Other => {}
            },
            CallbackEvent::CloseStartTag { .. } if self.is_meta && self.found.is_none() => {
                self.found = self.charset.or(self.content.filter(|_| self.is_content_type));
            }
            _ => {}
        }
    }

    fn wants_text(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    fn text(body: &[u8], content_type: Option<&str>) -> Option<String> {
        decode(body, content_type.map(str::as_bytes)).map(|text| text.into_owned())
    }

    #[test]
    fn a_byte_order_mark_decides_before_the_header() {
        assert_eq!(text(b"\xff\xfea\0\xe4\0", Some("text/html; charset=utf-8")).as_deref(), Some("a\u{e4}"));
        assert_eq!(
            text(b"\xef\xbb\xbf\xc3\xa4", Some("text/html; charset=latin1")).as_deref(),
            Some("\u{e4}")
        );
    }

    #[test]
    fn the_header_decides_before_the_page() {
        let body = b"<meta charset=utf-8>\xe4";
        let of = |header: &str| text(body, Some(header)).expect("text").chars().last();
        assert_eq!(of("text/html; charset=\"ISO-8859-1\""), Some('\u{e4}'));
        assert_eq!(of("text/html;Charset = latin1 ; a=b"), Some('\u{e4}'));
        assert_eq!(of("text/html; charset=unknown"), Some('\u{fffd}'));
    }

    #[test]
    fn the_page_declares_its_encoding() {
        for declaration in [
            "<meta charset=windows-1251>",
            "<!-- <meta charset=utf-8> --><html><META CHARSET='CP1251'>",
            "<meta http-equiv=content-type content='text/html; charset=windows-1251'>",
            "<meta content='text/html; charset=windows-1251' http-equiv=Content-Type>",
        ] {
            let body = [declaration.as_bytes(), b"\xe4"].concat();
            assert_eq!(text(&body, None).expect("text").chars().last(), Some('\u{434}'), "{declaration}");
        }
        assert!(text(b"<meta charset=utf-16>abc", None).expect("text").ends_with("abc"));
    }

    #[test]
    fn a_page_without_a_declaration_is_utf_8_if_valid() {
        assert_eq!(text("\u{e4}\u{20ac}".as_bytes(), None).as_deref(), Some("\u{e4}\u{20ac}"));
        assert_eq!(text(b"\xe4x", None).as_deref(), Some("\u{e4}x"));
        assert_eq!(text(b"abc\xe2\x82", None).as_deref(), Some("abc\u{fffd}"));
    }

    #[test]
    fn binary_is_no_text() {
        assert_eq!(text(b"\x89PNG\r\n\x1a\n\0\0\0", Some("text/html")), None);
        assert_eq!(text(b"a\0b", None), None);
    }
}
