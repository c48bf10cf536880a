//! The addresses that a guest may listen on.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A permission to listen, parsed from `ADDRESS:PORT`. The port is a number, or `*` for any port; a guest that asks for
/// port 0, and so lets the system choose, needs `*`.
///
/// ```
/// use sinbin::guests::ListenPermission;
///
/// for right in ["127.0.0.1:8080", "[::1]:*", "0.0.0.0:443"] {
///     let permission: ListenPermission = right.parse()?;
///     assert_eq!(permission.to_string(), right);
/// }
/// for wrong in ["8080", "127.0.0.1", "example.org:80", "127.0.0.1:0"] {
///     assert!(wrong.parse::<ListenPermission>().is_err(), "{wrong}");
/// }
/// # Ok::<(), sinbin::guests::ParseListenPermissionError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenPermission {
    ip: IpAddr,
    /// The port, or `None` for any port.
    port: Option<u16>,
}

/// Error returned when a text is no [`ListenPermission`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected an address and a port or *: 127.0.0.1:8080, 0.0.0.0:*, [::1]:8080")]
pub struct ParseListenPermissionError(());

impl FromStr for ListenPermission {
    type Err = ParseListenPermissionError;

    fn from_str(text: &str) -> Result<Self, ParseListenPermissionError> {
        let error = ParseListenPermissionError(());
        if let Some(ip) = text.strip_suffix(":*") {
            // An address is parsed with any port, so that brackets count as they do elsewhere.
            let address: SocketAddr = format!("{ip}:1").parse().map_err(|_| error)?;
            return Ok(Self { ip: address.ip(), port: None });
        }
        let address: SocketAddr = text.parse().map_err(|_| error.clone())?;
        if address.port() == 0 {
            return Err(error);
        }
        Ok(Self { ip: address.ip(), port: Some(address.port()) })
    }
}

impl fmt::Display for ListenPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, self.port) {
            (ip, Some(port)) => SocketAddr::new(ip, port).fmt(f),
            (IpAddr::V4(ip), None) => write!(f, "{ip}:*"),
            (IpAddr::V6(ip), None) => write!(f, "[{ip}]:*"),
        }
    }
}

impl ListenPermission {
    /// Returns true if the guest may listen on this address.
    pub(crate) fn covers(&self, address: SocketAddr) -> bool {
        self.ip == address.ip() && self.port.is_none_or(|own| own == address.port())
    }
}
