//! The construction of a line of the log.

use std::fmt::{self, Arguments, Debug, Display, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::Format;
use super::escape::{Escaped, Style, VALUE};
use super::limit::Key;

/// The maximum length of the excerpt of a message that a report of omitted events repeats, in bytes.
const EXCERPT: usize = 120;

/// The maximum length of the stack of a panic, in bytes. A line with a stack does not fit into an atomic write to a
/// pipe.
const STACK: usize = 16 * 1024;

/// A line under construction.
pub(super) struct Line {
    text: String,
    format: Format,
    is_coloured: bool,
    /// True once a field is written.
    has_fields: bool,
    /// The lines after this line.
    tail: String,
}

impl Line {
    pub(super) fn new(format: Format, is_coloured: bool, level: Level) -> Self {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time)).ok();
        let text = match format {
            Format::Json => format!(r#"{{"timestamp":"{time}","level":"{level}""#),
            Format::Text if is_coloured => {
                format!("\x1b[2m{time}\x1b[0m \x1b[{}m{level:>5}\x1b[0m", colour(level))
            }
            Format::Text => format!("{time} {level:>5}"),
        };
        Self { text, format, is_coloured, has_fields: false, tail: String::new() }
    }

    /// Writes the message and the fields of an event. Returns the beginning of the message.
    pub(super) fn event(&mut self, event: &Event<'_>) -> String {
        let mut excerpt = String::new();
        event.record(&mut Message(self, &mut excerpt));
        event.record(&mut Fields(self));
        excerpt
    }

    /// Writes the message. Returns its beginning.
    pub(super) fn message(&mut self, message: Arguments<'_>) -> String {
        match self.format {
            Format::Text => self.text.push(' '),
            Format::Json => self.text.push_str(r#","message":"#),
        }
        self.value(&message);
        let mut excerpt = String::new();
        let mut begin = Beginning { out: &mut excerpt };
        begin.write_fmt(message).ok();
        excerpt
    }

    /// Writes a field whose value is a number or a bool.
    pub(super) fn number(&mut self, name: &str, value: impl Display) {
        self.name(name);
        write!(self.text, "{value}").ok();
    }

    /// Writes a field whose value is text.
    pub(super) fn field(&mut self, name: &str, value: &dyn Display) {
        self.name(name);
        self.value(value);
    }

    /// Writes the name of the guest that the event is of, if the process runs several.
    pub(super) fn guest(&mut self, key: &Key) {
        if let Some(guest) = &key.guest {
            self.field("guest", guest);
        }
    }

    /// Writes the stack of a panic: as lines after this line in text format, as a field in JSON.
    pub(super) fn stack(&mut self, stack: &dyn Display) {
        match self.format {
            Format::Text => {
                let text = stack.to_string();
                let most = text.floor_char_boundary(STACK);
                self.tail = format!("stack backtrace:\n{}\n", text[..most].trim_end());
            }
            Format::Json => {
                self.name("stack");
                self.value_of(stack, STACK);
            }
        }
    }

    /// Returns the complete line, including its newline.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::Json {
            self.text.push_str(if self.has_fields { "}}" } else { "}" });
        }
        self.text.push('\n');
        self.text + &self.tail
    }

    fn name(&mut self, name: &str) {
        let is_first = !std::mem::replace(&mut self.has_fields, true);
        // The names of fields come from this program, and need no escaping.
        match self.format {
            Format::Text if self.is_coloured => {
                write!(self.text, " \x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m").ok()
            }
            Format::Text => write!(self.text, " {name}=").ok(),
            Format::Json => {
                let before = if is_first { r#","fields":{"# } else { "," };
                write!(self.text, r#"{before}"{name}":"#).ok()
            }
        };
    }

    fn value(&mut self, value: &dyn Display) {
        self.value_of(value, VALUE);
    }

    fn value_of(&mut self, value: &dyn Display, most: usize) {
        let (style, quote) = match self.format {
            Format::Text => (Style::Text, ""),
            Format::Json => (Style::Json, "\""),
        };
        self.text.push_str(quote);
        let mut escaped = Escaped::new(&mut self.text, style, most);
        write!(escaped, "{value}").ok();
        escaped.end();
        self.text.push_str(quote);
    }
}

/// A visitor that writes the message of an event.
struct Message<'l>(&'l mut Line, &'l mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            *self.1 = self.0.message(format_args!("{value:?}"));
        }
    }
}

/// A visitor that writes the other fields of an event.
struct Fields<'l>(&'l mut Line);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "message" {
            self.0.field(field.name(), &format_args!("{value:?}"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.number(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.number(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.number(field.name(), value);
    }
}

/// A writer that keeps only the beginning of a text.
struct Beginning<'o> {
    out: &'o mut String,
}

impl Write for Beginning<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = EXCERPT.saturating_sub(self.out.len());
        self.out.push_str(&text[..text.floor_char_boundary(room)]);
        // The excerpt is full, or almost: an error stops the formatting.
        if self.out.len() + 4 > EXCERPT { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Returns the terminal's colour code for a level.
fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}
