//! Endpoints of connections: addresses, names and paths.

use core::fmt;
use core::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The beginning of a text that denotes a path of a Unix socket.
const UNIX: &str = "unix:";

/// An endpoint that a task connects to, or at which it listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Endpoint<'a> {
    /// An address.
    Address(SocketAddr),
    /// A name, which has to be resolved, and a port.
    Name {
        /// The name of the host.
        host: &'a str,
        /// The port.
        port: u16,
    },
    /// The path of a Unix socket.
    Path(&'a str),
    /// A text that denotes no endpoint.
    Invalid(&'a str),
}

impl<'a> Endpoint<'a> {
    /// Parses an address (`127.0.0.1:80`, `[::1]:80`), a name with a port (`example.org:80`), or the path of a Unix
    /// socket (`unix:/run/service.sock`). O(n).
    ///
    /// ```
    /// use sinbin_core::task::Endpoint;
    ///
    /// assert_eq!(Endpoint::parse("example.org:80"), Endpoint::Name { host: "example.org", port: 80 });
    /// assert_eq!(Endpoint::parse("[::1]:80"), Endpoint::Address("[::1]:80".parse().unwrap()));
    /// assert_eq!(Endpoint::parse("unix:/run/a.sock"), Endpoint::Path("/run/a.sock"));
    /// assert_eq!(Endpoint::parse("example.org"), Endpoint::Invalid("example.org"));
    /// ```
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        match text.strip_prefix(UNIX) {
            Some("") => return Self::Invalid(text),
            Some(path) => return Self::Path(path),
            None => {}
        }
        if let Ok(address) = text.parse() {
            return Self::Address(address);
        }
        let Some((host, port)) = text.rsplit_once(':') else { return Self::Invalid(text) };
        // An IPv6 address with the name of an interface, such as `[fe80::1%eth0]:80`, is for the system to resolve.
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let has_colon = inner.is_none() && host.contains(':');
        // `parse` also accepts a sign.
        let port = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()));
        match (inner.unwrap_or(host), port) {
            ("", _) | (_, None) => Self::Invalid(text),
            (host, Some(port)) if !has_colon => Self::Name { host, port },
            _ => Self::Invalid(text),
        }
    }

    /// Returns the text of the endpoint for an error, shortened if it is long.
    pub(crate) fn text(&self) -> EndpointText {
        let mut text = EndpointText { len: 0, bytes: [0; TEXT] };
        // Writing into the text does not fail.
        let _ = fmt::Write::write_fmt(&mut text, format_args!("{self}"));
        text
    }
}

impl fmt::Display for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Path(path) => write!(f, "{UNIX}{path}"),
            Self::Invalid(text) => f.write_str(text),
        }
    }
}

/// A value that denotes an [`Endpoint`]: an address, a text as for [`Endpoint::parse`], or a host and a port.
pub trait ToEndpoint {
    /// Returns the endpoint.
    fn to_endpoint(&self) -> Endpoint<'_>;
}

impl ToEndpoint for Endpoint<'_> {
    fn to_endpoint(&self) -> Endpoint<'_> {
        *self
    }
}

impl ToEndpoint for str {
    fn to_endpoint(&self) -> Endpoint<'_> {
        Endpoint::parse(self)
    }
}

#[cfg(feature = "alloc")]
impl ToEndpoint for alloc::string::String {
    fn to_endpoint(&self) -> Endpoint<'_> {
        Endpoint::parse(self)
    }
}

impl ToEndpoint for (&str, u16) {
    fn to_endpoint(&self) -> Endpoint<'_> {
        let (host, port) = *self;
        host.parse::<IpAddr>()
            .map_or(Endpoint::Name { host, port }, |ip| Endpoint::Address((ip, port).into()))
    }
}

impl<T: ToEndpoint + ?Sized> ToEndpoint for &T {
    fn to_endpoint(&self) -> Endpoint<'_> {
        (**self).to_endpoint()
    }
}

macro_rules! address {
    ($($type:ty),+) => {
        $(
            impl ToEndpoint for $type {
                fn to_endpoint(&self) -> Endpoint<'_> {
                    Endpoint::Address((*self).into())
                }
            }
        )+
    };
}

address!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16));

/// The capacity of an [`EndpointText`]. An error of the operations is no larger for it.
const TEXT: usize = 35;

/// The number of bytes that are kept of the beginning of a long text.
const HEAD: usize = 12;

/// The mark for the middle of a long text.
const GAP: &[u8] = "…".as_bytes();

/// The text of an [`Endpoint`] in an error. Of a text with more than 35 bytes, the middle is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EndpointText {
    /// The number of bytes, or one more than the capacity if the text is shortened.
    len: u8,
    bytes: [u8; TEXT],
}

impl EndpointText {
    fn push(&mut self, byte: u8) {
        let len = usize::from(self.len);
        if let Some(free) = self.bytes.get_mut(len) {
            *free = byte;
            self.len += 1;
            return;
        }
        if len == TEXT {
            // The gap takes the place of the bytes after the beginning.
            self.bytes[HEAD..HEAD + GAP.len()].copy_from_slice(GAP);
            self.len += 1;
        }
        self.bytes.copy_within(HEAD + GAP.len() + 1.., HEAD + GAP.len());
        self.bytes[TEXT - 1] = byte;
    }
}

impl fmt::Write for EndpointText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.push(byte));
        Ok(())
    }
}

impl fmt::Display for EndpointText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = usize::from(self.len).min(TEXT);
        // A shortened text may begin or end within a character.
        for chunk in self.bytes[..len].utf8_chunks() {
            f.write_str(chunk.valid())?;
        }
        Ok(())
    }
}

impl fmt::Debug for EndpointText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
