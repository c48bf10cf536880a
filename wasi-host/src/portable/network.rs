//! Where a guest may listen and connect.

use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;

use wasmtime_wasi::sockets::SocketAddrUse;

/// Where a guest may listen and connect: nowhere, unless it is said here.
#[derive(Clone, Default, Debug)]
pub struct Network {
    /// Where it may listen. Port 0 lets the system choose one at that address.
    pub listen: Vec<SocketAddr>,
    /// Where it may connect.
    pub connect: Vec<Peer>,
}

/// Somebody to connect to, written `ADDR:PORT`; of port 0 or `*`, any port.
///
/// ```
/// use sinbin_wasi::portable::Peer;
///
/// let peer: Peer = "[::1]:*".parse()?;
/// assert!(peer.is("[::1]:80".parse().unwrap()));
/// assert!(!peer.is("127.0.0.1:80".parse().unwrap()));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    ip: IpAddr,
    /// Any, if there is none.
    port: Option<u16>,
}

impl Peer {
    /// Whether that is an address of it.
    #[must_use]
    pub fn is(&self, address: SocketAddr) -> bool {
        self.ip == address.ip() && self.port.is_none_or(|port| port == address.port())
    }
}

impl FromStr for Peer {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        let address: SocketAddr = match text.strip_suffix(":*") {
            Some(ip) => format!("{ip}:0").parse()?,
            None => text.parse()?,
        };
        Ok(Self { ip: address.ip(), port: Some(address.port()).filter(|port| *port != 0) })
    }
}

impl Network {
    /// Whether the guest may use `address` so.
    pub(super) fn allows(&self, address: SocketAddr, purpose: SocketAddrUse) -> bool {
        match purpose {
            SocketAddrUse::TcpBind => self.listen.contains(&address) || self.is_for_connecting(address),
            SocketAddrUse::TcpListen => self.listen.iter().any(|allowed| {
                allowed.ip() == address.ip() && (allowed.port() == 0 || allowed.port() == address.port())
            }),
            // Who comes in by a listener is welcome.
            SocketAddrUse::TcpAccept => true,
            SocketAddrUse::TcpConnect => self.connect.iter().any(|peer| peer.is(address)),
            SocketAddrUse::UdpBind | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => false,
        }
    }

    /// A socket that connects is bound to no address in particular first. To listen there is another use.
    fn is_for_connecting(&self, address: SocketAddr) -> bool {
        !self.connect.is_empty() && address.ip().is_unspecified() && address.port() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Network, Peer};
    use wasmtime_wasi::sockets::SocketAddrUse::{self, *};

    fn network(listen: &[&str], connect: &[&str]) -> Network {
        Network {
            listen: listen.iter().map(|text| text.parse().unwrap()).collect(),
            connect: connect.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn may(network: &Network, address: &str, purpose: SocketAddrUse) -> bool {
        network.allows(address.parse().unwrap(), purpose)
    }

    #[test]
    fn nothing_said_is_nothing_allowed() {
        let network = network(&[], &[]);
        for purpose in [TcpBind, TcpListen, TcpConnect, UdpBind, UdpSend, UdpReceive] {
            assert!(!may(&network, "127.0.0.1:0", purpose), "{purpose:?}");
            assert!(!may(&network, "0.0.0.0:0", purpose), "{purpose:?}");
        }
    }

    #[test]
    fn a_listener_is_where_it_was_said_to_be() {
        let network = network(&["127.0.0.1:7000"], &[]);
        assert!(may(&network, "127.0.0.1:7000", TcpBind) && may(&network, "127.0.0.1:7000", TcpListen));
        for other in ["127.0.0.1:7001", "127.0.0.1:0", "127.0.0.2:7000", "0.0.0.0:7000", "[::1]:7000"] {
            assert!(!may(&network, other, TcpBind) && !may(&network, other, TcpListen), "{other}");
        }
    }

    #[test]
    fn port_0_is_a_port_that_the_system_chooses() {
        let network = network(&["127.0.0.1:0"], &[]);
        assert!(may(&network, "127.0.0.1:0", TcpBind));
        assert!(!may(&network, "127.0.0.1:7000", TcpBind));
        assert!(may(&network, "127.0.0.1:43210", TcpListen));
        assert!(!may(&network, "127.0.0.2:43210", TcpListen));
    }

    #[test]
    fn who_may_connect_may_not_listen() {
        let network = network(&[], &["10.0.0.1:80"]);
        assert!(may(&network, "10.0.0.1:80", TcpConnect) && may(&network, "0.0.0.0:0", TcpBind));
        assert!(!may(&network, "10.0.0.1:81", TcpConnect));
        assert!(!may(&network, "0.0.0.0:41000", TcpListen));
    }

    #[test]
    fn any_port() {
        for text in ["10.0.0.1:*", "10.0.0.1:0"] {
            let network = network(&[], &[text]);
            assert!(may(&network, "10.0.0.1:1", TcpConnect) && may(&network, "10.0.0.1:65535", TcpConnect));
            assert!(!may(&network, "10.0.0.2:1", TcpConnect));
        }
        assert!("10.0.0.1".parse::<Peer>().is_err() && "*:80".parse::<Peer>().is_err());
    }
}
