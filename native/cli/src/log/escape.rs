//! The escaping of untrusted values in a line of the log. Control characters, characters that change the direction of
//! writing, and invisible characters are escaped. Long values are truncated.

use std::fmt::{self, Display, Write};
use std::mem;

/// The maximum length of one value in a line, in bytes. With this limit, a line with a few values fits into an atomic
/// write to a pipe, so that it is written entirely or not at all.
pub(super) const VALUE: usize = 1024;

/// The maximum number of lines of the error message that a command ends with, and the maximum length of each, in bytes.
const LINES: usize = 1000;
const MESSAGE: usize = 16 * 1024;

/// The approximate maximum length of such a message, in bytes.
const TOTAL: usize = 64 * 1024;

/// The notation of escaped characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Rust's notation, such as `\n` or `\u{1b}`.
    Text,
    /// The notation of a JSON string.
    Json,
}

/// A writer that escapes what is written to it, and appends it to a string up to a limit.
pub(super) struct Escaped<'o> {
    out: &'o mut String,
    style: Style,
    room: usize,
    left_out: usize,
    /// The escaped form of the current character. The allocation is reused.
    form: String,
}

impl<'o> Escaped<'o> {
    pub(super) fn new(out: &'o mut String, style: Style, room: usize) -> Self {
        Self { out, style, room, left_out: 0, form: String::new() }
    }

    /// Appends the number of omitted bytes, if there are any.
    pub(super) fn end(self) {
        if self.left_out > 0 {
            write!(self.out, "… ({} bytes more)", self.left_out).ok();
        }
    }

    fn char(&mut self, char: char) {
        let mut form = mem::take(&mut self.form);
        form.clear();
        match (self.style, char) {
            (Style::Json, '"' | '\\') => form.extend(['\\', char]),
            (Style::Json, _) if is_hidden(char) => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(form, "\\u{unit:04x}").ok();
                }
            }
            (Style::Text, _) if is_hidden(char) => form.extend(char.escape_default()),
            _ => form.push(char),
        }
        // After the first omitted character, all further characters are omitted.
        if self.left_out > 0 || form.len() > self.room {
            self.left_out += char.len_utf8();
        } else {
            self.room -= form.len();
            self.out.push_str(&form);
        }
        self.form = form;
    }
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.left_out > 0 {
            self.left_out += text.len();
        } else {
            text.chars().for_each(|char| self.char(char));
        }
        Ok(())
    }
}

/// Returns true for characters that a terminal interprets or does not show: controls, line separators, direction marks,
/// joiners and tags.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Escapes and truncates each line of a text. Indents all lines but the first, so that they can't be mistaken for lines
/// of the log.
pub(crate) fn lines_escaped(text: &impl Display) -> String {
    let text = text.to_string();
    let mut out = String::new();
    for (number, line) in text.split('\n').enumerate() {
        if number == LINES || out.len() > TOTAL {
            let more = text.split('\n').count() - number;
            write!(out, "\n  … ({more} lines more)").ok();
            break;
        }
        if number > 0 {
            out.push('\n');
            if !line.is_empty() && !line.starts_with("  ") {
                out.push_str("  ");
            }
        }
        let mut escaped = Escaped::new(&mut out, Style::Text, MESSAGE);
        escaped.write_str(line).ok();
        escaped.end();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(style: Style, room: usize, text: &str) -> String {
        let mut out = String::new();
        let mut escaped = Escaped::new(&mut out, style, room);
        // A `Display` may write in pieces as well.
        text.chars().for_each(|char| escaped.write_char(char).expect("a string takes all"));
        escaped.end();
        out
    }

    #[test]
    fn what_a_terminal_obeys_is_shown_in_its_place() {
        let text = "a\nb\r\t\0\u{1b}[2J\u{9b}\u{202e}\u{2028}\u{e0041}é\"\\";
        let as_text = r#"a\nb\r\t\u{0}\u{1b}[2J\u{9b}\u{202e}\u{2028}\u{e0041}é"\"#;
        assert_eq!(escaped(Style::Text, VALUE, text), as_text);
        let as_json = r#"a\u000ab\u000d\u0009\u0000\u001b[2J\u009b\u202e\u2028\udb40\udc41é\"\\"#;
        assert_eq!(escaped(Style::Json, VALUE, text), as_json);
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_character_and_counted() {
        assert_eq!(escaped(Style::Text, 4, "abcd"), "abcd");
        assert_eq!(escaped(Style::Text, 4, "abcde"), "abcd… (1 bytes more)");
        assert_eq!(escaped(Style::Text, 4, "abc\nd"), "abc… (2 bytes more)");
        assert_eq!(escaped(Style::Json, 4, "éé\"é"), "éé… (3 bytes more)");
    }

    #[test]
    fn a_message_of_many_long_lines_is_cut() {
        let text = vec!["x".repeat(MESSAGE); LINES].join("\n");
        let cut = lines_escaped(&text);
        assert!(cut.len() < TOTAL + 2 * MESSAGE, "{}", cut.len());
        assert!(cut.ends_with(" lines more)"), "it says that there is more");
    }

    #[test]
    fn a_line_of_a_message_is_no_line_of_the_log() {
        let text = "it failed:\n2026-01-01T00:00:00Z ERROR all is lost\n  --flag is 1\u{7}\n";
        let safe = "it failed:\n  2026-01-01T00:00:00Z ERROR all is lost\n  --flag is 1\\u{7}\n";
        assert_eq!(lines_escaped(&text), safe);
    }
}
