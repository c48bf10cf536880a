//! The addresses that a guest may listen on and connect to.

use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;

use wasmtime_wasi::sockets::SocketAddrUse;

/// The addresses that a guest may listen on and connect to. The default allows none.
#[derive(Clone, Default, Debug)]
pub struct Network {
    /// The addresses that the guest may listen on. With port 0 the system chooses the port.
    pub listen: Vec<SocketAddr>,
    /// The peers that the guest may connect to.
    pub connect: Vec<Peer>,
}

/// A peer that a guest may connect to, parsed from `ADDR:PORT`. A port of 0 or `*` means any port.
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
    /// The port, or `None` for any port.
    port: Option<u16>,
}

impl Peer {
    /// Returns true if `address` is an address of this peer.
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
    /// Returns true if the guest may use `address` for this purpose.
    pub(super) fn allows(&self, address: SocketAddr, purpose: SocketAddrUse) -> bool {
        match purpose {
            SocketAddrUse::TcpBind => self.listen.contains(&address) || self.is_for_connecting(address),
            SocketAddrUse::TcpListen => self.listen.iter().any(|allowed| {
                allowed.ip() == address.ip() && (allowed.port() == 0 || allowed.port() == address.port())
            }),
            // Any client may connect to a listener.
            SocketAddrUse::TcpAccept => true,
            SocketAddrUse::TcpConnect => self.connect.iter().any(|peer| peer.is(address)),
            SocketAddrUse::UdpBind | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => false,
        }
    }

    /// Returns true if `address` is one that a socket is bound to before it connects: the unspecified address with port
    /// 0. Listening on a socket that is bound so is checked separately.
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
