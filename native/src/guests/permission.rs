//! The endpoints that a guest may connect to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use sinbin_core::net::is_public;

/// A permission to connect, parsed from `HOST:PORT`, `tls://HOST:PORT` or `https://HOST[:PORT]`.
///
/// | host | permits |
/// | --- | --- |
/// | `192.0.2.1`, `[2001:db8::1]` | this address |
/// | `10.0.0.0/8`, `[fd00::/8]` | the addresses of this range |
/// | `example.org` | this name |
/// | `*.example.org` | the names below this name, but not the name itself |
/// | `*` | any name, and any public address |
///
/// The port is a number, or `*` for any port; that of `https` is 443 if none is given. `localhost` stands for the
/// address 127.0.0.1.
///
/// With `tls://` or `https://`, which differ in nothing but the port, the host speaks TLS with the peer, and verifies
/// its certificate: the guest sends and receives plaintext, and cannot send plaintext to the peer. If permissions of
/// both kinds cover what a guest asks for, the host speaks TLS.
///
/// A permission by name, or by `*`, permits public addresses only: a name that resolves to a loopback, private or
/// link-local address, or to another one that does not belong to a host of the internet, needs a permission for that
/// address or range too. Otherwise the owner of a name could lead a guest into the network of its host.
///
/// ```
/// use sinbin::guests::ConnectPermission;
///
/// for right in ["example.org:80", "*.example.org:*", "10.0.0.0/8:5432", "[::1]:8080", "*:80", "tls://a.example:853"] {
///     let permission: ConnectPermission = right.parse()?;
///     assert_eq!(permission.to_string(), right);
/// }
/// assert_eq!("https://example.org".parse::<ConnectPermission>()?.to_string(), "tls://example.org:443");
/// assert!("example.org".parse::<ConnectPermission>().is_err(), "the port is missing");
/// # Ok::<(), sinbin::guests::ParsePermissionError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectPermission {
    encryption: Encryption,
    hosts: Hosts,
    /// The port, or `None` for any port.
    port: Option<u16>,
}

/// The protocol below the bytes of a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encryption {
    /// The peer receives the bytes of the guest as they are.
    Plain,
    /// The host encrypts them by TLS.
    Tls,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Hosts {
    Any,
    /// A name, in the form that [`plain`] returns.
    Name(String),
    /// The names below a name.
    Below(String),
    /// The addresses whose first bits are those of this address.
    Range(IpAddr, u8),
}

/// Error returned when a text is no [`ConnectPermission`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "expected a host and a port or *: example.org:80, *.example.org:*, 192.0.2.1:80, [2001:db8::1]:80, 10.0.0.0/8:*, \
     or *:80; for TLS: https://example.org, or tls://example.org:853"
)]
pub struct ParsePermissionError(());

impl FromStr for ConnectPermission {
    type Err = ParsePermissionError;

    fn from_str(text: &str) -> Result<Self, ParsePermissionError> {
        let (encryption, text) = match text.split_once("://") {
            None => (Encryption::Plain, text.to_owned()),
            Some(("tls", text)) => (Encryption::Tls, text.to_owned()),
            Some(("https", text)) => (Encryption::Tls, with_port_of_https(text)),
            Some(_) => return Err(ParsePermissionError(())),
        };
        let (host, port) = text.rsplit_once(':').ok_or(ParsePermissionError(()))?;
        let port = match port {
            "*" => None,
            // `parse` also accepts a sign.
            port if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().ok().filter(|port| *port > 0).ok_or(ParsePermissionError(()))?)
            }
            _ => return Err(ParsePermissionError(())),
        };
        let hosts = hosts(host).ok_or(ParsePermissionError(()))?;
        Ok(Self { encryption, hosts, port })
    }
}

/// Returns the host and port of a URL, with the port of the scheme if there is none.
fn with_port_of_https(text: &str) -> String {
    let text = text.strip_suffix('/').unwrap_or(text);
    // The colons of an IPv6 address are within brackets.
    if text.rfind(':') > text.rfind(']') { text.to_owned() } else { format!("{text}:443") }
}

fn hosts(text: &str) -> Option<Hosts> {
    if let Some(range) = range(text) {
        return Some(range);
    }
    match (text, text.strip_prefix("*.")) {
        ("*", _) => Some(Hosts::Any),
        (name, _) if plain(name) == "localhost" => Some(Hosts::Range(Ipv4Addr::LOCALHOST.into(), 32)),
        (_, Some(name)) if is_name(name) => Some(Hosts::Below(plain(name))),
        (name, None) if is_name(name) => Some(Hosts::Name(plain(name))),
        _ => None,
    }
}

/// Parses an address, or a range of addresses. IPv6 is in brackets.
fn range(text: &str) -> Option<Hosts> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let (ip, bits) = inner
        .unwrap_or(text)
        .split_once('/')
        .map_or((inner.unwrap_or(text), None), |(ip, bits)| (ip, Some(bits)));
    let ip: IpAddr = ip.parse().ok()?;
    if ip.is_ipv6() != inner.is_some() {
        return None;
    }
    let most: u8 = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok()).filter(|bits| *bits <= most)?;
    // Addresses are compared in their canonical form.
    match ip.to_canonical() {
        IpAddr::V4(v4) if ip.is_ipv6() => Some(Hosts::Range(v4.into(), bits.checked_sub(96)?)),
        ip => Some(Hosts::Range(ip, bits)),
    }
}

impl fmt::Display for ConnectPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.encryption == Encryption::Tls {
            f.write_str("tls://")?;
        }
        match &self.hosts {
            Hosts::Any => f.write_str("*"),
            Hosts::Name(name) => f.write_str(name),
            Hosts::Below(name) => write!(f, "*.{name}"),
            Hosts::Range(IpAddr::V4(ip), 32) => write!(f, "{ip}"),
            Hosts::Range(IpAddr::V4(ip), bits) => write!(f, "{ip}/{bits}"),
            Hosts::Range(IpAddr::V6(ip), 128) => write!(f, "[{ip}]"),
            Hosts::Range(IpAddr::V6(ip), bits) => write!(f, "[{ip}/{bits}]"),
        }?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

impl ConnectPermission {
    /// Returns true if the permission is for TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.encryption == Encryption::Tls
    }

    fn has_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }

    /// Returns true if the permission is for any name, or for this one.
    fn has_name(&self, name: &str) -> bool {
        match &self.hosts {
            Hosts::Any => true,
            Hosts::Name(own) => name == own,
            Hosts::Below(own) => {
                name.strip_suffix(own.as_str()).is_some_and(|above| above.len() > 1 && above.ends_with('.'))
            }
            Hosts::Range(..) => false,
        }
    }

    /// Returns true if the permission names this address, or a range that contains it.
    fn has_address(&self, ip: IpAddr) -> bool {
        let Hosts::Range(own, bits) = self.hosts else { return false };
        let differs = |ours: u128, theirs: u128, width: u32| {
            (ours ^ theirs).checked_shr(width - u32::from(bits)).unwrap_or(0) != 0
        };
        match (own, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => !differs(own.to_bits().into(), ip.to_bits().into(), 32),
            (IpAddr::V6(own), IpAddr::V6(ip)) => !differs(own.to_bits(), ip.to_bits(), 128),
            _ => false,
        }
    }

    /// Returns true if the permission is for this canonical address.
    fn covers(&self, address: SocketAddr) -> bool {
        let is_any = self.hosts == Hosts::Any && is_public(address.ip());
        self.has_port(address.port()) && (is_any || self.has_address(address.ip()))
    }
}

/// Returns true if a guest may ask for this name, with either protocol. The addresses of the name need
/// [permission](permits_address) too. Asking for any other name could tell a secret to the server that knows the name's
/// addresses.
pub(crate) fn permits_name(all: &[ConnectPermission], name: &str, port: u16) -> bool {
    let name = plain(name);
    all.iter().any(|one| one.has_port(port) && one.has_name(&name))
}

/// Returns the protocol of connections to a [permitted](permits_name) name.
pub(crate) fn encryption_of_name(all: &[ConnectPermission], name: &str, port: u16) -> Encryption {
    let name = plain(name);
    encryption(all, |one| one.has_port(port) && one.has_name(&name))
}

/// Returns the protocol of connections to an address that the guest asks for.
pub(crate) fn encryption_of_address(all: &[ConnectPermission], address: SocketAddr) -> Encryption {
    encryption(all, |one| one.covers(address))
}

fn encryption(all: &[ConnectPermission], covers: impl Fn(&ConnectPermission) -> bool) -> Encryption {
    if all.iter().any(|one| one.is_tls() && covers(one)) { Encryption::Tls } else { Encryption::Plain }
}

/// Returns true if a guest may connect to this canonical address by this protocol. Set `is_named` if the address is one
/// of a name that is permitted with this protocol. A permission for plaintext includes TLS: with it, a guest could
/// perform the handshake itself.
pub(crate) fn permits_address(
    all: &[ConnectPermission],
    address: SocketAddr,
    is_named: bool,
    encryption: Encryption,
) -> bool {
    let mut of_protocol = all.iter().filter(|one| encryption == Encryption::Tls || !one.is_tls());
    of_protocol.any(|one| one.covers(address)) || (is_named && is_public(address.ip()))
}

/// Returns true if the text can be the name of a host: labels of letters, digits, `-` and `_`, and no number at the end,
/// which would be a form of an IPv4 address.
pub(crate) fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_right = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(is_right) && !label.starts_with('-')
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && !last.bytes().all(|byte| byte.is_ascii_digit()) && text.split('.').all(is_label)
}

/// Returns a name in the form in which names are compared.
pub(crate) fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &[&str]) -> Vec<ConnectPermission> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn may(texts: &[&str], address: &str, is_named: bool) -> bool {
        permits_address(&all(texts), address.parse().unwrap(), is_named, Encryption::Plain)
    }

    fn may_by_tls(texts: &[&str], address: &str, is_named: bool) -> bool {
        permits_address(&all(texts), address.parse().unwrap(), is_named, Encryption::Tls)
    }

    #[test]
    fn without_permission_nothing_is_permitted() {
        assert!(!permits_name(&[], "example.org", 80));
        assert!(!may(&[], "8.8.8.8:53", false) && !may(&[], "127.0.0.1:80", false));
    }

    #[test]
    fn names_are_compared_whole_and_without_case() {
        let one = all(&["Example.org:80"]);
        assert!(permits_name(&one, "example.ORG", 80) && permits_name(&one, "example.org.", 80));
        for (other, port) in
            [("example.org", 81), ("www.example.org", 80), ("example.org.evil", 80), ("anexample.org", 80)]
        {
            assert!(!permits_name(&one, other, port), "{other}:{port}");
        }
        let below = all(&["*.example.org:*"]);
        assert!(permits_name(&below, "a.example.org", 1) && permits_name(&below, "a.b.example.org", 65535));
        for other in ["example.org", ".example.org", "anexample.org", "a.example.org.evil"] {
            assert!(!permits_name(&below, other, 80), "{other}");
        }
        assert!(
            permits_name(&all(&["*:443"]), "anything", 443) && !permits_name(&all(&["*:443"]), "any", 80)
        );
        assert!(!permits_name(&all(&["10.0.0.0/8:*"]), "ten", 80));
    }

    /// A name that is permitted must not lead into the host's own network.
    #[test]
    fn a_name_permits_public_addresses_only() {
        for private in
            ["127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "[::1]", "[fe80::1]", "[64:ff9b::7f00:1]"]
        {
            let address = format!("{private}:80");
            assert!(!may(&["name:80", "*:80"], &address, true), "{private}");
            // A permission for the address itself is enough.
            assert!(may(&[&address], &address, true) && may(&[&address], &address, false), "{private}");
        }
        for public in ["8.8.8.8", "[2606:4700::1111]", "[64:ff9b::808:808]"] {
            let address = format!("{public}:80");
            assert!(may(&["name:80"], &address, true) && may(&["*:80"], &address, false), "{public}");
            assert!(!may(&["name:80"], &address, false), "only a name is permitted, not {public}");
        }
    }

    #[test]
    fn ranges() {
        let range = ["10.1.0.0/16:5432", "[fd00::/8]:*"];
        for inside in ["10.1.0.0:5432", "10.1.255.255:5432", "[fd12::1]:1"] {
            assert!(may(&range, inside, false), "{inside}");
        }
        for outside in ["10.2.0.0:5432", "10.1.0.1:5433", "[fc00::1]:1", "127.0.0.1:5432"] {
            assert!(!may(&range, outside, true), "{outside}");
        }
        assert!(may(&["0.0.0.0/0:*"], "127.0.0.1:1", false) && may(&["[::/0]:*"], "[::1]:1", false));
        assert_eq!(all(&["[::ffff:127.0.0.1]:80"]), all(&["127.0.0.1:80"]));
        assert_eq!(all(&["localhost:*"]), all(&["127.0.0.1:*"]));
    }

    /// A permission for TLS is none for plaintext, and one for plaintext could carry TLS.
    #[test]
    fn tls_is_permitted_apart() {
        let tls = ["tls://10.0.0.0/8:443", "https://[fd00::1]", "https://*"];
        for address in ["10.0.0.1:443", "[fd00::1]:443", "8.8.8.8:443"] {
            assert!(may_by_tls(&tls, address, false) && !may(&tls, address, false), "{address}");
            assert_eq!(encryption_of_address(&all(&tls), address.parse().unwrap()), Encryption::Tls);
            assert!(may_by_tls(&["0.0.0.0/0:*", "[::/0]:*"], address, false), "{address}");
        }
        for address in ["10.0.0.1:80", "127.0.0.1:443", "8.8.8.8:80"] {
            assert!(
                !may_by_tls(&tls, address, false) && !may_by_tls(&["name:80"], address, false),
                "{address}"
            );
            assert_eq!(encryption_of_address(&all(&tls), address.parse().unwrap()), Encryption::Plain);
        }
        // A name with TLS leads to public addresses only, unless a permission of either kind names the address.
        let named = ["https://db.example", "10.0.0.1:443", "tls://10.0.0.2:443"];
        for (address, expected) in
            [("8.8.8.8", true), ("10.0.0.1", true), ("10.0.0.2", true), ("10.0.0.3", false)]
        {
            assert_eq!(may_by_tls(&named, &format!("{address}:443"), true), expected, "{address}");
        }
        // The name of a permission for plaintext does not lead to the address of one for TLS.
        assert!(!may(&["a.example:443", "tls://10.0.0.2:443"], "10.0.0.2:443", true));
    }

    #[test]
    fn tls_is_spoken_if_any_permission_for_it_covers_the_name() {
        let both = all(&["*:443", "https://Bank.example", "tls://*.mail.example:*"]);
        for (name, port, expected) in [
            ("bank.example.", 443, Encryption::Tls),
            ("imap.mail.example", 993, Encryption::Tls),
            ("imap.mail.example", 443, Encryption::Tls),
            ("mail.example", 443, Encryption::Plain),
            ("other.example", 443, Encryption::Plain),
        ] {
            assert!(permits_name(&both, name, port), "{name}:{port}");
            assert_eq!(encryption_of_name(&both, name, port), expected, "{name}:{port}");
        }
        assert!(!permits_name(&both, "bank.example", 80));
    }

    #[test]
    fn a_url_has_the_port_of_its_scheme() {
        for (text, full) in [
            ("https://example.org", "tls://example.org:443"),
            ("https://example.org/", "tls://example.org:443"),
            ("https://example.org:8443", "tls://example.org:8443"),
            ("https://[::1]", "tls://[::1]:443"),
            ("https://[::1]:*", "tls://[::1]:*"),
            ("https://10.0.0.0/8", "tls://10.0.0.0/8:443"),
            ("https://*", "tls://*:443"),
            ("https://*.example.org", "tls://*.example.org:443"),
            ("https://localhost:1", "tls://127.0.0.1:1"),
        ] {
            let permission: ConnectPermission = text.parse().unwrap();
            assert_eq!((permission.to_string(), permission.is_tls()), (full.to_owned(), true));
            assert_eq!(full.parse(), Ok(permission));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for wrong in [
            "",
            ":",
            "*",
            "example",
            "example:",
            ":80",
            "example:0",
            "example:+80",
            "example:65536",
            "a b:80",
            "-a:80",
            "*.:80",
            "*.*:80",
            "a.*:80",
            "10.0.0.0/33:80",
            "10.0.0.0/:80",
            "10.0.0/8:80",
            "::1:80",
            "[10.0.0.1]:80",
            "[::1/129]:80",
            "[::ffff:10.0.0.0/8]:80",
            "[::1:80",
            "http://example:80",
            "https://",
            "https://:443",
            "https://example/path",
            "https://example:80/path",
            "https://user@example",
            "https://https://example",
            "tls://example",
            "tls://",
            "TLS://example:80",
            "unix:/run/a",
            "1.2.3:80",
        ] {
            assert!(wrong.parse::<ConnectPermission>().is_err(), "{wrong}");
        }
    }
}
