//! The scope of a crawl: which URLs are followed, which are checked only, and which are left alone.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sinbin_core::net::is_public;
use url::{Host, Url};

use crate::pattern::Pattern;
use crate::settings::Settings;

/// Hosts that a crawl follows links to: `example.org` (at any port), `example.org:8080`, `*.example.org` (every host
/// below it, but not itself), or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// Hosts that end with this, which begins with a dot.
    Below(String),
    Only(String),
}

/// Error returned when a text is no [`HostPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host, HOST:PORT, `*.` and a host, or `*`")]
pub struct HostPatternError(String);

impl HostPattern {
    /// Returns true if the host and port of `url` match.
    pub fn matches(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let is_host = match &self.hosts {
            Hosts::All => true,
            Hosts::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Hosts::Only(only) => host == only,
        };
        is_host && self.port.is_none_or(|port| url.port_or_known_default() == Some(port))
    }

    /// Returns true if the pattern names a single host.
    fn is_exact(&self) -> bool {
        matches!(self.hosts, Hosts::Only(_))
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let error = || HostPatternError(text.to_owned());
        let (host, port) = match text.rsplit_once(':') {
            // The colons of an address of IPv6 are within brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().map_err(|_| error())?)),
            _ => (text, None),
        };
        let parse = |host: &str| match Host::parse(host) {
            // A URL can have such a host, and this is none that a user means.
            Ok(host) if !host.to_string().contains('*') => Ok(host.to_string()),
            _ => Err(error()),
        };
        let hosts = match host.strip_prefix("*.") {
            _ if host == "*" => Hosts::All,
            Some(parent) => Hosts::Below(format!(".{}", parse(parent)?)),
            None => Hosts::Only(parse(host)?),
        };
        Ok(Self { hosts, port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::All => f.write_str("*")?,
            Hosts::Below(suffix) => write!(f, "*{suffix}")?,
            Hosts::Only(host) => f.write_str(host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The relation of a URL to the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The URL is fetched, and its links are followed.
    Inside,
    /// The host is not followed.
    External,
    /// A pattern excludes the URL, or none includes it.
    Excluded,
    /// The host is a private address that no setting names.
    Private,
}

/// The named hosts whose addresses are known: true for those that had only public ones at first. A later private one of
/// these is the doing of a page's owner, who also rules over the name (DNS rebinding), and not the user's wish.
#[derive(Debug, Default)]
pub(crate) struct KnownHosts(BTreeMap<String, bool>);

impl KnownHosts {
    /// Learns the addresses of a named host. The first ones count.
    pub fn learn(&mut self, host: &str, addresses: &[IpAddr]) {
        if !addresses.is_empty() && !self.0.contains_key(host) {
            let is_public = addresses.iter().copied().all(is_public);
            self.0.insert(host.to_owned(), is_public);
        }
    }

    /// Returns true if the host had only public addresses at first.
    pub fn is_public(&self, host: &str) -> bool {
        self.0.get(host) == Some(&true)
    }

    /// Returns the hosts that had only public addresses at first.
    pub fn public(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, is_public)| **is_public).map(|(host, _)| host.as_str())
    }
}

impl FromIterator<String> for KnownHosts {
    /// Restores the hosts that had only public addresses.
    fn from_iter<I: IntoIterator<Item = String>>(hosts: I) -> Self {
        Self(hosts.into_iter().map(|host| (host, true)).collect())
    }
}

/// The scope of a crawl.
#[derive(Debug)]
pub(crate) struct Scope {
    /// The hosts of the seeds, each with its ports.
    seeds: BTreeMap<String, Vec<u16>>,
    follow: Vec<HostPattern>,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Scope {
    pub fn new(settings: &Settings) -> Self {
        let mut seeds: BTreeMap<String, Vec<u16>> = BTreeMap::new();
        for (host, port) in settings.seeds.iter().filter_map(host_and_port) {
            seeds.entry(host.to_owned()).or_default().push(port);
        }
        seeds.values_mut().for_each(|ports| {
            ports.sort_unstable();
            ports.dedup();
        });
        Self {
            seeds,
            follow: settings.follow_hosts.clone(),
            include: settings.include.clone(),
            exclude: settings.exclude.clone(),
        }
    }

    /// Returns true if a seed has the host and port of `url`, or a setting names them.
    pub fn is_named(&self, url: &Url) -> bool {
        self.is_of_seed(url) || self.follow.iter().any(|pattern| pattern.is_exact() && pattern.matches(url))
    }

    /// Returns true if `url` has a host that is a private address, and no setting names it.
    pub fn is_private(&self, url: &Url) -> bool {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return false,
        };
        !is_public(address) && !self.is_named(url)
    }

    /// Returns true if a pattern excludes `url`, which concerns checks as well.
    pub fn is_excluded(&self, url: &Url) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(url))
    }

    pub fn place(&self, url: &Url) -> Place {
        if self.is_private(url) {
            Place::Private
        } else if self.is_excluded(url) {
            Place::Excluded
        } else if !self.is_of_seed(url) && !self.follow.iter().any(|pattern| pattern.matches(url)) {
            Place::External
        } else if !self.include.is_empty() && !self.include.iter().any(|pattern| pattern.matches(url)) {
            Place::Excluded
        } else {
            Place::Inside
        }
    }

    fn is_of_seed(&self, url: &Url) -> bool {
        let Some((host, port)) = host_and_port(url) else { return false };
        let Some(ports) = self.seeds.get(host) else { return false };
        // A site often moves between http and https, each at its usual port.
        let is_usual = |port: &u16| matches!(port, 80 | 443);
        ports.binary_search(&port).is_ok() || (is_usual(&port) && ports.iter().any(is_usual))
    }
}

fn host_and_port(url: &Url) -> Option<(&str, u16)> {
    Some((url.host_str()?, url.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{HostPattern, Place, Scope};
    use crate::settings::Settings;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[test]
    fn hosts() {
        for (pattern, matching, other) in [
            ("a.example", "https://A.example:81/", "http://b.a.example/"),
            ("a.example:8080", "http://a.example:8080/", "http://a.example/"),
            ("a.example:443", "https://a.example/", "http://a.example/"),
            ("*.a.example", "http://b.c.a.example/", "http://a.example/"),
            ("*.a.example:80", "http://b.a.example/", "http://xa.example/"),
            ("[::1]", "http://[0:0::1]:81/", "http://[::2]/"),
            ("[::1]:81", "http://[::1]:81/", "http://[::1]/"),
            ("127.1", "http://127.0.0.1/", "http://127.0.0.2/"),
            ("b\u{fc}cher.example", "http://xn--bcher-kva.example/", "http://bucher.example/"),
        ] {
            let parsed: HostPattern = pattern.parse().expect(pattern);
            assert!(parsed.matches(&url(matching)) && !parsed.matches(&url(other)), "{pattern}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{pattern}");
        }
        assert!("*".parse::<HostPattern>().expect("all").matches(&url("http://x/")));
        for text in ["", "a b", "a:", "a:x", "a:99999", "*.", "http://a.example", "a/b", "*a"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn seeds_name_their_port_and_the_usual_ones() {
        let scope = |seed: &str| Scope::new(&Settings::new([url(seed)]));
        let is_inside = |seed: &str, link: &str| scope(seed).place(&url(link)) == Place::Inside;
        assert!(
            is_inside("http://a.example/", "https://a.example/")
                && is_inside("https://a.example/", "http://a.example/")
        );
        assert!(
            !is_inside("http://a.example/", "http://a.example:81/")
                && !is_inside("http://a.example:81/", "http://a.example/")
        );
        assert!(!is_inside("http://a.example/", "http://www.a.example/"));
        assert_eq!(scope("http://127.0.0.1/").place(&url("http://127.0.0.1:81/")), Place::Private);
    }
}
