//! The arguments, which are options of `sinbin crawl`.

use std::time::Duration;

use hyper::header::HeaderValue;
use sinbin_arguments::{span, split};
use sinbin_crawl::{Settings, parse_seed};
use sinbin_crawl_http::TimeLimits;

/// The options, for the message if one is unknown.
const OPTIONS: &str = "--follow-hosts, --include, --exclude, --check-external, --max-depth, --max-pages, --no-robots, \
     --no-sitemaps, --concurrency, --per-host, --delay, --retries, --user-agent, --connect-timeout, --read-timeout, \
     --timeout, --max-page-size, --max-urls, --max-queue-size, --json, --list-links, --broken; `sinbin crawl --help` \
     explains them";

/// The time that stands for "off".
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The maximum number of URLs that are remembered, by default: a fifth of those of the command, since the memory of a guest
/// is limited.
const MAX_URLS: usize = 1_000_000;

/// The maximum number of bytes of the URLs that are to be fetched, by default.
const MAX_QUEUE: usize = 64 << 20;

/// The task of the program.
pub(crate) struct Arguments {
    pub(crate) settings: Settings,
    pub(crate) limits: TimeLimits,
    pub(crate) user_agent: HeaderValue,
    /// True if only broken links are reported.
    pub(crate) is_broken_only: bool,
}

impl Arguments {
    /// Parses the arguments.
    ///
    /// # Errors
    ///
    /// Fails with a message for the user.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut settings = Settings::new([]);
        (settings.max_frontier, settings.max_queue_bytes) = (MAX_URLS, MAX_QUEUE);
        let [connect, read, total] = [10, 20, 120].map(Duration::from_secs);
        let limits = TimeLimits { connect, read, total };
        let user_agent = HeaderValue::from_static("");
        let mut this = Self { settings, limits, user_agent, is_broken_only: false };
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(argument) = arguments.next() {
            if !argument.starts_with("--") {
                this.settings.seeds.push(parse_seed(argument).map_err(|error| error.to_string())?);
                continue;
            }
            let (option, value) = split(argument);
            if value.is_none() && this.set_flag(option) {
                continue;
            }
            let mut value =
                || value.or_else(|| arguments.next()).ok_or_else(|| format!("{option}: missing value"));
            this.set_option(option, &mut value)?;
        }
        if this.settings.seeds.is_empty() {
            return Err("expected a URL to begin with, such as http://example.org/".to_owned());
        }
        this.user_agent = HeaderValue::from_str(&this.settings.user_agent)
            .map_err(|_| "--user-agent: it has a control character".to_owned())?;
        Ok(this)
    }

    /// Sets an option without a value. Returns false if it is none.
    fn set_flag(&mut self, option: &str) -> bool {
        let settings = &mut self.settings;
        match option {
            "--check-external" => settings.check_external = true,
            "--no-robots" => settings.robots = false,
            "--no-sitemaps" => settings.sitemaps = false,
            "--list-links" => settings.list_links = true,
            "--broken" => self.is_broken_only = true,
            // The only form of the results.
            "--json" => {}
            _ => return false,
        }
        true
    }

    fn set_option<'a>(
        &mut self,
        option: &str,
        value: &mut dyn FnMut() -> Result<&'a str, String>,
    ) -> Result<(), String> {
        let settings = &mut self.settings;
        let wrong = |error: &dyn std::fmt::Display| format!("{option}: {error}");
        match option {
            "--follow-hosts" => {
                for host in value()?.split(',') {
                    settings.follow_hosts.push(host.parse().map_err(|error| wrong(&error))?);
                }
            }
            "--include" => settings.include.push(value()?.parse().map_err(|error| wrong(&error))?),
            "--exclude" => settings.exclude.push(value()?.parse().map_err(|error| wrong(&error))?),
            "--max-depth" => settings.max_depth = Some(number(option, value()?, 0, u32::MAX)?),
            "--max-pages" => settings.max_pages = number(option, value()?, 1, u32::MAX)?.into(),
            "--concurrency" => settings.concurrency = number(option, value()?, 1, 4096)? as usize,
            "--per-host" => settings.per_host = number(option, value()?, 1, 4096)? as usize,
            "--delay" => settings.delay = span(option, value()?)?.unwrap_or_default(),
            "--retries" => settings.retries = number(option, value()?, 0, 100)?,
            "--user-agent" => value()?.clone_into(&mut settings.user_agent),
            "--connect-timeout" => self.limits.connect = span(option, value()?)?.unwrap_or(FOREVER),
            "--read-timeout" => self.limits.read = span(option, value()?)?.unwrap_or(FOREVER),
            "--timeout" => self.limits.total = span(option, value()?)?.unwrap_or(FOREVER),
            "--max-page-size" => settings.max_page_bytes = size(option, value()?)?,
            "--max-urls" => settings.max_frontier = number(option, value()?, 1, u32::MAX)? as usize,
            "--max-queue-size" => settings.max_queue_bytes = size(option, value()?)?,
            _ => return Err(format!("{option} is not an option of this guest; the options are: {OPTIONS}")),
        }
        Ok(())
    }
}

fn number(option: &str, text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{option} {text}: expected {least} to {most}"))
}

/// Parses a size from 1 KiB to 1 GiB: a number of MiB, or a number with a unit.
fn size(option: &str, text: &str) -> Result<usize, String> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "b" => Some(0),
        "k" | "kib" => Some(10),
        "" | "m" | "mib" => Some(20),
        "g" | "gib" => Some(30),
        _ => None,
    };
    let size = shift.and_then(|shift| number.parse::<u64>().ok()?.checked_mul(1 << shift));
    let size = size.filter(|size| (1 << 10..=1 << 30).contains(size));
    let size = size.and_then(|size| usize::try_from(size).ok());
    size.ok_or_else(|| format!("{option} {text}: expected a size from 1KiB to 1GiB, such as 16MiB"))
}
