//! The lines that a guest logs, which are events of [`tracing`] with the target `guest`.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use sinbin_core::driven::LogLevel;

use crate::guests::settings::GuestSettings;

/// The maximum length of a line in bytes.
const MAX_LINE: usize = 1024;

/// The period in which lines are counted.
const PERIOD: Duration = Duration::from_secs(1);

/// The log of a guest. It limits the length and the number of lines.
pub(crate) struct Log {
    name: String,
    limit: Option<NonZeroU32>,
    /// The beginning of the present period, and the numbers of lines in it: those that were logged, and those that were
    /// left out.
    began: Instant,
    logged: u32,
    left_out: u64,
}

impl Log {
    /// Creates the log of a guest with these settings.
    pub(crate) fn new(settings: &GuestSettings) -> Self {
        let (name, limit) = (settings.name.clone(), settings.max_log_lines);
        Self { name, limit, began: Instant::now(), logged: 0, left_out: 0 }
    }

    /// Logs a line of the guest.
    pub(crate) fn write(&mut self, level: LogLevel, text: &[u8]) {
        if !self.admits() {
            self.left_out += 1;
            return;
        }
        let (guest, text) = (&*self.name, one_line(text));
        match level {
            LogLevel::Error => tracing::error!(target: "guest", guest, "{text}"),
            LogLevel::Warn => tracing::warn!(target: "guest", guest, "{text}"),
            LogLevel::Info => tracing::info!(target: "guest", guest, "{text}"),
            LogLevel::Debug => tracing::debug!(target: "guest", guest, "{text}"),
            LogLevel::Trace => tracing::trace!(target: "guest", guest, "{text}"),
        }
    }

    /// Counts a line. Returns true if it is within the limit.
    fn admits(&mut self) -> bool {
        let Some(limit) = self.limit else { return true };
        if self.began.elapsed() >= PERIOD {
            self.began = Instant::now();
            self.logged = 0;
            self.tell_left_out();
        }
        self.logged = self.logged.saturating_add(1);
        self.logged <= limit.get()
    }

    fn tell_left_out(&mut self) {
        let (guest, left_out) = (&*self.name, std::mem::take(&mut self.left_out));
        if left_out > 0 {
            tracing::warn!(target: "guest", guest, left_out, "the guest has logged more lines than it may");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.tell_left_out();
    }
}

/// Returns a text of a guest as one line: characters that could change how a terminal shows other text are escaped, and
/// what exceeds 1024 bytes is left out.
#[must_use]
pub fn one_line(text: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&text[..text.len().min(MAX_LINE)]);
    let mut line = String::with_capacity(shown.len());
    for char in shown.chars() {
        if is_harmless(char) {
            line.push(char);
        } else {
            // Writing to a string does not fail.
            write!(line, "{}", char.escape_default()).ok();
        }
    }
    if text.len() > MAX_LINE {
        line.push('…');
    }
    line
}

/// Returns false for control characters, and for those that separate lines or change the direction of the text.
fn is_harmless(char: char) -> bool {
    let is_directional =
        matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !char.is_control() && !is_directional
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINE, one_line};

    #[test]
    fn a_line_is_one_line_and_no_more() {
        assert_eq!(one_line("naïve".as_bytes()), "naïve");
        assert_eq!(one_line(b"a\nb\x1b[2J\xff"), "a\\nb\\u{1b}[2J\u{fffd}");
        assert_eq!(one_line("\u{202e}evil\u{2028}".as_bytes()), "\\u{202e}evil\\u{2028}");
        let long = one_line(&[b'x'; 3 * MAX_LINE]);
        assert!(long.starts_with("xxx") && long.ends_with("x…") && long.len() == MAX_LINE + 3);
        assert!(one_line("é".repeat(MAX_LINE).as_bytes()).ends_with("é…"));
        // A character that is cut is replaced.
        assert!(one_line(format!("x{}", "é".repeat(MAX_LINE)).as_bytes()).ends_with("\u{fffd}…"));
    }
}
