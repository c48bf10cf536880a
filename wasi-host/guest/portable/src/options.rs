//! The options of the loop on the command line. All other arguments belong to the service.

use core::net::SocketAddr;
use core::num::NonZeroU32;
use core::time::Duration;

use sinbin_arguments::{number, span, split};
use sinbin_core::driven::DEFAULT_MAX_JOBS;

use crate::values;

/// The options of the loop and their defaults, for error messages.
pub(crate) const OPTIONS: &str = "--listen ADDR:PORT (repeatable; 127.0.0.1:25000), --max-connections N (10000), \
--max-per-peer N (no limit), --max-buffered SIZE (16M), --max-jobs N (1000), --slice CALLS (50000), --drain-timeout SPAN (30s), --until-stdin-ends";

/// The options of the loop.
pub(crate) struct Options {
    /// The addresses to listen on.
    pub(crate) listen: Vec<SocketAddr>,
    /// The maximum number of simultaneous connections; further clients wait in the backlog.
    pub(crate) max_connections: usize,
    /// The maximum number of simultaneous connections of one peer, if limited; further connections are closed at once.
    pub(crate) max_per_peer: Option<NonZeroU32>,
    /// The maximum number of bytes that the guest buffers for slow clients and for jobs.
    pub(crate) max_buffered: usize,
    /// The maximum number of simultaneous jobs; further jobs are refused.
    pub(crate) max_jobs: usize,
    /// The budget of the slice of a job between two turns.
    pub(crate) slice: u32,
    /// The time that outstanding requests may take after the request to stop, or `None` for no limit.
    pub(crate) drain_timeout: Option<Duration>,
    /// True if the end of stdin is the request to stop.
    pub(crate) until_stdin_ends: bool,
}

impl Options {
    /// Parses the options of the loop. Returns them, and the remaining arguments unchanged.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<(Self, Vec<String>), String> {
        let mut options = Self::default();
        let (mut rest, mut arguments) = (Vec::new(), arguments);
        while let Some(argument) = arguments.next() {
            let (option, value) = split(&argument);
            if option == "--until-stdin-ends" && value.is_none() {
                options.until_stdin_ends = true;
            } else if !OWN.contains(&option) {
                rest.push(argument);
            } else {
                let value = value.map(str::to_owned).or_else(|| arguments.next());
                options.set(option, &value.ok_or_else(|| format!("{option}: missing value"))?)?;
            }
        }
        if options.listen.is_empty() {
            options.listen.push(SocketAddr::from(([127, 0, 0, 1], 25000)));
        }
        Ok((options, rest))
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), String> {
        match option {
            "--listen" => self.listen.push(address(value)?),
            "--max-connections" => {
                self.max_connections = number(option, value, 1..=1_000_000, "1 to 1000000")? as usize;
            }
            "--max-buffered" => {
                let size = values::size(value)
                    .filter(|size| *size <= MAX_BUFFERED)
                    .ok_or_else(|| format!("{option} {value}: expected 0 to 65535 MiB, such as 64M or 1G"))?;
                self.max_buffered = usize::try_from(size.min(COUNTED)).unwrap_or(usize::MAX);
            }
            "--max-jobs" => self.max_jobs = number(option, value, 1..=1_000_000, "1 to 1000000")? as usize,
            "--max-per-peer" => {
                let limit = number(option, value, 1..=u32::MAX, "1 to 4294967295")?;
                self.max_per_peer = NonZeroU32::new(limit);
            }
            "--slice" => self.slice = number(option, value, 1..=u32::MAX, "1 to 4294967295")?,
            _ => self.drain_timeout = span(option, value)?,
        }
        Ok(())
    }
}

/// The maximum value of `--max-buffered` in bytes, which is the same for every host.
const MAX_BUFFERED: u64 = 65535 << 20;

/// The maximum number of whole mebibytes that 32 bits can count, in bytes. A guest's memory is not larger.
const COUNTED: u64 = 4095 << 20;

/// The options that take a value.
const OWN: [&str; 7] = [
    "--listen",
    "--max-connections",
    "--max-per-peer",
    "--max-buffered",
    "--max-jobs",
    "--slice",
    "--drain-timeout",
];

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            max_connections: 10_000,
            max_per_peer: None,
            max_buffered: 16 << 20,
            max_jobs: DEFAULT_MAX_JOBS as usize,
            slice: 50_000,
            drain_timeout: Some(Duration::from_secs(30)),
            until_stdin_ends: false,
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    values::address(text).ok_or_else(|| {
        format!("--listen {text}: expected an IP address and a port, such as 127.0.0.1:0 or [::1]:0, or a port of 127.0.0.1")
    })
}

#[cfg(test)]
mod tests {
    use super::{Duration, Options};

    fn read(arguments: &[&str]) -> Result<(Options, Vec<String>), String> {
        Options::read(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn it_takes_its_own_and_leaves_the_rest() {
        let arguments = ["--max-n", "3", "--listen", "127.0.0.1:0", "--framing=bare", "--listen=[::1]:80"];
        let (options, rest) = read(&arguments).unwrap();
        assert_eq!(options.listen, ["127.0.0.1:0".parse().unwrap(), "[::1]:80".parse().unwrap()]);
        assert_eq!(rest, ["--max-n", "3", "--framing=bare"]);
        assert!(!options.until_stdin_ends);
    }

    #[test]
    fn nothing_said() {
        let (options, rest) = read(&[]).unwrap();
        assert_eq!(options.listen, ["127.0.0.1:25000".parse().unwrap()]);
        assert!(rest.is_empty());
    }

    #[test]
    fn what_the_commands_take_it_takes() {
        for (value, bytes) in [
            ("0", 0),
            ("64", 64 << 20),
            ("64M", 64 << 20),
            ("64 mib", 64 << 20),
            ("64MB", 64_000_000),
            ("1500K", 1500 << 10),
            ("1G", 1 << 30),
            ("5B", 5),
        ] {
            assert_eq!(read(&["--max-buffered", value]).unwrap().0.max_buffered, bytes, "{value}");
        }
        for (value, address) in [
            ("25001", "127.0.0.1:25001"),
            (":25001", "127.0.0.1:25001"),
            ("localhost:25001", "127.0.0.1:25001"),
            ("[::1]:25001", "[::1]:25001"),
        ] {
            assert_eq!(read(&["--listen", value]).unwrap().0.listen, [address.parse().unwrap()], "{value}");
        }
        let arguments = ["--max-buffered=65535", "--drain-timeout", "500us"];
        let (options, _) = read(&arguments).unwrap();
        assert_eq!(options.max_buffered, 4095 << 20);
        assert_eq!(options.drain_timeout, Some(Duration::from_micros(500)));
        let (options, _) = read(&["--drain-timeout=1000years"]).unwrap();
        assert_eq!(options.drain_timeout, Some(Duration::from_secs(1000 * 31_557_600)));
    }

    #[test]
    fn errors_say_what_is_allowed() {
        let refused = |arguments: &[&str]| read(arguments).err().unwrap();
        for text in ["localhost", "::1", "+80", "65536", "example.org:1"] {
            assert!(refused(&["--listen", text]).starts_with(&format!("--listen {text}: expected")));
        }
        assert_eq!(refused(&["--max-connections=0"]), "--max-connections 0: expected 1 to 1000000");
        for text in ["65536", "64G", "64X", "-1", "M", "18446744073709551615K"] {
            let error = refused(&["--max-buffered", text]);
            assert!(error.starts_with(&format!("--max-buffered {text}: expected 0 to 65535 MiB")), "{error}");
        }
        assert_eq!(refused(&["--slice"]), "--slice: missing value");
    }
}
