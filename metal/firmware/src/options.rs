//! The options of a service, which QEMU passes by semihosting. They are those of `sinbin serve`. A board of yours has
//! constants in their place.

use core::fmt;
use core::time::Duration;

use sinbin_core::echo::{Echo, Upper};
use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;

/// The size of the buffer for the line of all options.
#[cfg(feature = "emulator")]
const LINE: usize = 512;

/// The options, with their defaults.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The port of the host that leads to this board, for the message at the start.
    pub port: u16,
    /// The maximum number of connections.
    pub max_connections: usize,
    idle_timeout: Option<Duration>,
    reply_timeout: Option<Duration>,
    fib: Fib,
}

/// An option that is unknown, or whose value is not valid.
pub struct Wrong<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Some(value) => write!(
                f,
                "{} {value}: this firmware has no such option, or the value is not valid",
                self.name
            ),
            None => write!(f, "{}: a value is missing", self.name),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        let minute = Some(Duration::from_secs(60));
        let fib = Fib {
            idle_timeout: minute,
            job_timeout: minute,
            request_timeout: Some(Duration::from_secs(10)),
            reply_timeout: minute,
            ..Fib::default()
        };
        Self { port: 0, max_connections: usize::MAX, idle_timeout: minute, reply_timeout: minute, fib }
    }
}

impl Options {
    /// Returns the options that the emulator was started with.
    ///
    /// # Panics
    ///
    /// Panics if one of them is wrong.
    #[cfg(feature = "emulator")]
    #[must_use]
    pub fn of_emulator() -> Self {
        let mut line = [0; LINE];
        match Self::parse(command_line(&mut line)) {
            Ok(options) => options,
            Err(wrong) => panic!("{wrong}"),
        }
    }

    /// Returns the defaults, as on a board without an emulator.
    #[cfg(not(feature = "emulator"))]
    #[must_use]
    pub fn of_emulator() -> Self {
        Self::default()
    }

    /// Parses a program's name and its options.
    ///
    /// # Errors
    ///
    /// Returns the first option that is wrong.
    pub fn parse(line: &str) -> Result<Self, Wrong<'_>> {
        let mut options = Self::default();
        let mut words = line.split_ascii_whitespace().skip(1);
        while let Some(name) = words.next() {
            let value = words.next().ok_or(Wrong { name, value: None })?;
            options.set(name, value).ok_or(Wrong { name, value: Some(value) })?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let Self { port, max_connections, idle_timeout, reply_timeout, fib } = self;
        match name {
            "--port" => *port = value.parse().ok()?,
            "--max-connections" => *max_connections = value.parse().ok()?,
            "--idle-timeout" => *idle_timeout = span(value)?,
            "--reply-timeout" => *reply_timeout = span(value)?,
            "--job-timeout" => fib.job_timeout = span(value)?,
            "--request-timeout" => fib.request_timeout = span(value)?,
            "--loop-n" => fib.loop_n = value.parse().ok()?,
            "--max-n" => fib.rules.max_n = value.parse().ok()?,
            "--max-line" => fib.rules.max_line = value.parse().ok()?,
            "--framing" => fib.rules.framing = framing(value)?,
            _ => return None,
        }
        Some(())
    }

    /// Returns the Fibonacci service.
    #[must_use]
    pub fn fib(&self) -> Fib {
        let rules = Rules { ..self.fib.rules };
        Fib { idle_timeout: self.idle_timeout, reply_timeout: self.reply_timeout, rules, ..self.fib }
    }

    /// Returns the echo service.
    #[must_use]
    pub fn echo(&self) -> Echo {
        Echo { idle_timeout: self.idle_timeout, reply_timeout: self.reply_timeout }
    }

    /// Returns the upper-case service.
    #[must_use]
    pub fn upper(&self) -> Upper {
        Upper { idle_timeout: self.idle_timeout, reply_timeout: self.reply_timeout }
    }
}

fn framing(text: &str) -> Option<Framing> {
    match text {
        "auto" => Some(Framing::Auto),
        "lines" => Some(Framing::Lines),
        "bare" => Some(Framing::Bare),
        _ => None,
    }
}

/// Parses a span such as `100ms`, `10s` or `1m`, or `none`.
fn span(text: &str) -> Option<Option<Duration>> {
    if text == "none" {
        return Some(None);
    }
    let unit = text.find(|digit: char| !digit.is_ascii_digit())?;
    let number = text[..unit].parse().ok()?;
    let span = match &text[unit..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    Some(Some(span))
}

/// Returns the line that the emulator was started with; empty if there is none.
#[cfg(feature = "emulator")]
fn command_line(line: &mut [u8; LINE]) -> &str {
    let mut block = [line.as_mut_ptr().expose_provenance(), line.len()];
    // SAFETY: the block has the address and the size of a buffer that is writable for the time of the call. The call
    // writes within the buffer, and the length into the block.
    let failed = unsafe {
        cortex_m_semihosting::syscall1(
            cortex_m_semihosting::nr::GET_CMDLINE,
            (&raw mut block).expose_provenance(),
        )
    };
    let len = if failed == 0 { block[1] } else { 0 };
    core::str::from_utf8(line.get(..len).unwrap_or(&[])).unwrap_or("").trim_end_matches('\0')
}
