//! The addresses that a guest may listen on and connect to.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use wasmtime_wasi::sockets::SocketAddrUse;

use super::lookup::is_name;

/// The maximum number of addresses of names that a guest may connect to.
const RESOLVED: usize = 1024;

/// The addresses that a guest may listen on and connect to. The default allows none.
#[derive(Clone, Default, Debug)]
pub struct Network {
    /// The addresses that the guest may listen on. With port 0 the system chooses the port.
    pub listen: Vec<SocketAddr>,
    /// The peers that the guest may connect to.
    pub connect: Vec<Peer>,
    /// True if the guest may use UDP as well: it may listen on the addresses of `listen` and reply to those who send to
    /// it, and exchange datagrams with the peers of `connect`.
    pub udp: bool,
    /// The addresses that names of `connect` were found to have.
    pub(super) resolved: Vec<Peer>,
}

/// A peer that a guest may connect to, parsed from `ADDR:PORT` or `NAME:PORT`. A port of 0 or `*` means any port.
///
/// The guest may look up the name of a peer, and may connect to the addresses that it was found to have.
///
/// ```
/// use sinbin_wasi::portable::Peer;
///
/// let peer: Peer = "[::1]:*".parse()?;
/// assert!(peer.is("[::1]:80".parse().unwrap()));
/// assert!(!peer.is("127.0.0.1:80".parse().unwrap()));
/// assert!("database.example:5432".parse::<Peer>().is_ok());
/// # Ok::<(), sinbin_wasi::portable::ParsePeerError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    host: Host,
    /// The port, or `None` for any port.
    port: Option<u16>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Host {
    Ip(IpAddr),
    /// A name in lower case, without a dot at its end.
    Name(String),
}

/// Error returned when a text is no [`Peer`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a peer is an address or a name, and a port or *: 192.0.2.1:80, [2001:db8::1]:*, example.com:443")]
pub struct ParsePeerError(());

impl Peer {
    /// Returns true if `address` is an address of this peer. The addresses of a name are not known here.
    #[must_use]
    pub fn is(&self, address: SocketAddr) -> bool {
        self.host == Host::Ip(address.ip()) && self.has_port(address.port())
    }

    fn has_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for Peer {
    type Err = ParsePeerError;

    fn from_str(text: &str) -> Result<Self, ParsePeerError> {
        let port_of = |port: &str| if port == "*" { Ok(0) } else { port.parse::<u16>() };
        let wrong = || ParsePeerError(());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = Some(port_of(port).map_err(|_| wrong())?).filter(|port| *port != 0);
        // The parser of addresses knows about brackets.
        let host = match format!("{host}:0").parse::<SocketAddr>() {
            Ok(address) => Host::Ip(address.ip()),
            Err(_) if is_name(host) => Host::Name(plain(host)),
            Err(_) => return Err(wrong()),
        };
        Ok(Self { host, port })
    }
}

/// Returns a name in the form in which names are compared.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl Network {
    /// Returns true if the guest may use `address` for this purpose.
    pub(super) fn allows(&self, address: SocketAddr, purpose: SocketAddrUse) -> bool {
        match purpose {
            SocketAddrUse::TcpBind => self.listen.contains(&address) || self.is_for_connecting(address),
            SocketAddrUse::TcpListen => self.is_for_listening(address),
            // Any client may connect to a listener.
            SocketAddrUse::TcpAccept => true,
            SocketAddrUse::TcpConnect => self.is_peer(address),
            SocketAddrUse::UdpBind => {
                self.udp && (self.listen.contains(&address) || self.is_for_connecting(address))
            }
            SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => self.udp && self.is_peer(address),
        }
    }

    /// Returns true if the guest may listen on `address`, whose port the system may have chosen.
    pub(super) fn is_for_listening(&self, address: SocketAddr) -> bool {
        self.listen.iter().any(|allowed| {
            allowed.ip() == address.ip() && (allowed.port() == 0 || allowed.port() == address.port())
        })
    }

    fn is_peer(&self, address: SocketAddr) -> bool {
        self.connect.iter().chain(&self.resolved).any(|peer| peer.is(address))
    }

    /// Returns true if `address` is one that a socket is bound to before it connects: the unspecified address with port
    /// 0. Listening on a socket that is bound so is checked separately.
    fn is_for_connecting(&self, address: SocketAddr) -> bool {
        !self.connect.is_empty() && address.ip().is_unspecified() && address.port() == 0
    }

    /// Returns true if the guest may look up a name.
    pub(super) fn may_look_up(&self, name: &str) -> bool {
        let name = Host::Name(plain(name));
        self.connect.iter().any(|peer| peer.host == name)
    }

    /// Allows to connect to the addresses of a name, at the ports of the peers with this name.
    pub(super) fn resolved(&mut self, name: &str, addresses: impl Iterator<Item = IpAddr>) {
        let name = Host::Name(plain(name));
        for ip in addresses {
            for port in self.connect.iter().filter(|peer| peer.host == name).map(|peer| peer.port) {
                let peer = Peer { host: Host::Ip(ip), port };
                if self.resolved.contains(&peer) {
                    continue;
                }
                // A name may change its addresses often. The oldest are forgotten.
                if self.resolved.len() >= RESOLVED {
                    self.resolved.remove(0);
                }
                self.resolved.push(peer);
            }
        }
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
            ..Network::default()
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
    fn udp_is_allowed_separately() {
        let mut network = network(&["127.0.0.1:7000"], &["10.0.0.1:53"]);
        let uses = [("127.0.0.1:7000", UdpBind), ("10.0.0.1:53", UdpSend), ("10.0.0.1:53", UdpReceive)];
        for (address, purpose) in uses {
            assert!(!may(&network, address, purpose), "{purpose:?}");
        }
        network.udp = true;
        for (address, purpose) in uses {
            assert!(may(&network, address, purpose), "{purpose:?}");
        }
        for (address, purpose) in
            [("127.0.0.1:7001", UdpBind), ("10.0.0.1:54", UdpSend), ("10.0.0.2:53", UdpReceive)]
        {
            assert!(!may(&network, address, purpose), "{purpose:?}");
        }
    }

    #[test]
    fn a_name_allows_its_addresses_once_it_was_looked_up() {
        let mut network = network(&[], &["Database.example:5432"]);
        assert!(network.may_look_up("database.EXAMPLE.") && !network.may_look_up("example"));
        assert!(!may(&network, "10.0.0.1:5432", TcpConnect));
        network.resolved("database.example", ["10.0.0.1".parse().unwrap()].into_iter());
        assert!(may(&network, "10.0.0.1:5432", TcpConnect));
        assert!(!may(&network, "10.0.0.1:5433", TcpConnect) && !may(&network, "10.0.0.2:5432", TcpConnect));
        for number in 0..5000_u32 {
            let ip = std::net::Ipv4Addr::from_bits(0x0b00_0000 + number);
            network.resolved("database.example", [ip.into()].into_iter());
        }
        assert!(network.resolved.len() <= 1024 && !may(&network, "10.0.0.1:5432", TcpConnect));
    }

    #[test]
    fn any_port() {
        for text in ["10.0.0.1:*", "10.0.0.1:0"] {
            let network = network(&[], &[text]);
            assert!(may(&network, "10.0.0.1:1", TcpConnect) && may(&network, "10.0.0.1:65535", TcpConnect));
            assert!(!may(&network, "10.0.0.2:1", TcpConnect));
        }
        for wrong in
            ["10.0.0.1", "*:80", "::1:80", "example", "example:", "example:x", ":80", "a b:80", "10.0.0:80"]
        {
            assert!(wrong.parse::<Peer>().is_err(), "{wrong}");
        }
    }
}
