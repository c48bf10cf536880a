//! The addresses that a guest may listen on and connect to.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use sinbin::net::is_public;
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
/// The guest may look up the name of a peer, and may connect to the public addresses that it was found to have. An
/// address of a loopback, private or link-local network, or another one that does not belong to a host of the internet,
/// needs a peer of its own: otherwise the owner of a name could lead a guest into the network of its host. `localhost`
/// stands for the address 127.0.0.1.
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

/// The name that always means this host (RFC 6761).
const LOCALHOST: &str = "localhost";

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
            Err(_) if plain(host) == LOCALHOST => Host::Ip(Ipv4Addr::LOCALHOST.into()),
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

    /// Returns the addresses of a name that needs no resolver: those of this host that the guest may connect to.
    pub(super) fn own_addresses(&self, name: &str) -> Option<VecDeque<IpAddr>> {
        let own: [IpAddr; 2] = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
        (plain(name) == LOCALHOST).then(|| own.into_iter().filter(|ip| self.is_named(*ip)).collect())
    }

    /// Returns true if an address is a peer itself, at any port.
    fn is_named(&self, ip: IpAddr) -> bool {
        self.connect.iter().any(|peer| peer.host == Host::Ip(ip))
    }

    /// Allows to connect to the addresses of a name, at the ports of the peers with this name, and returns them: those
    /// that are public, or that are peers themselves.
    pub(super) fn resolved(&mut self, name: &str, addresses: VecDeque<IpAddr>) -> VecDeque<IpAddr> {
        let mut addresses = addresses;
        addresses.retain(|ip| is_public(*ip) || self.is_named(*ip));
        let name = Host::Name(plain(name));
        // An address that is a peer itself may be connected to already, at its own ports.
        for ip in addresses.iter().copied().filter(|ip| is_public(*ip)) {
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
        addresses
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

    /// Reports addresses of a name, and returns those that the guest is told.
    fn resolved(network: &mut Network, name: &str, addresses: &[&str]) -> Vec<String> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        network.resolved(name, addresses).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_allows_its_addresses_once_it_was_looked_up() {
        let mut network = network(&[], &["Database.example:5432"]);
        assert!(network.may_look_up("database.EXAMPLE.") && !network.may_look_up("example"));
        assert!(!may(&network, "8.0.0.1:5432", TcpConnect));
        assert_eq!(resolved(&mut network, "database.example", &["8.0.0.1"]), ["8.0.0.1"]);
        assert!(may(&network, "8.0.0.1:5432", TcpConnect));
        assert!(!may(&network, "8.0.0.1:5433", TcpConnect) && !may(&network, "8.0.0.2:5432", TcpConnect));
        for number in 0..5000_u32 {
            let ip = std::net::Ipv4Addr::from_bits(0x0b00_0000 + number);
            network.resolved("database.example", [ip.into()].into());
        }
        assert!(network.resolved.len() <= 1024 && !may(&network, "8.0.0.1:5432", TcpConnect));
    }

    /// The owner of a name that is permitted must not lead the guest into the host's own network, at no lookup.
    #[test]
    fn a_name_leads_to_public_addresses_only() {
        let private =
            ["127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "::1", "fe80::1", "64:ff9b::7f00:1"];
        let mut named = network(&[], &["name.example:80"]);
        named.udp = true;
        assert_eq!(resolved(&mut named, "name.example", &private), [""; 0]);
        // The second answer has a private address behind a public one.
        assert_eq!(resolved(&mut named, "name.example", &["8.8.8.8", "10.1.2.3"]), ["8.8.8.8"]);
        for purpose in [TcpConnect, UdpSend, UdpReceive] {
            assert!(may(&named, "8.8.8.8:80", purpose));
            for ip in private {
                let address = if ip.contains(':') { format!("[{ip}]:80") } else { format!("{ip}:80") };
                assert!(!may(&named, &address, purpose), "{address}");
            }
        }
    }

    /// A peer that is a private address is permitted at its own ports, whatever names it has.
    #[test]
    fn a_private_address_of_a_name_needs_a_permission_of_its_own() {
        let mut network = network(&[], &["db.example:5432", "10.0.0.1:80"]);
        assert_eq!(resolved(&mut network, "db.example", &["10.0.0.1", "10.0.0.2"]), ["10.0.0.1"]);
        assert!(may(&network, "10.0.0.1:80", TcpConnect) && !may(&network, "10.0.0.1:5432", TcpConnect));
        network.connect.push("10.0.0.1:5432".parse().unwrap());
        assert!(may(&network, "10.0.0.1:5432", TcpConnect) && !may(&network, "10.0.0.2:5432", TcpConnect));
    }

    #[test]
    fn localhost_is_this_host() {
        for (connect, expected) in [
            (&["localhost:80"][..], &["127.0.0.1"][..]),
            (&["LocalHost.:80"], &["127.0.0.1"]),
            (&["[::1]:80", "127.0.0.1:80"], &["::1", "127.0.0.1"]),
            (&["127.0.0.2:80", "example.org:80"], &[]),
        ] {
            let network = network(&[], connect);
            let own = network.own_addresses("LOCALHOST.").expect("known without a resolver");
            assert_eq!(own.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
            assert_eq!(network.own_addresses("localhost.example"), None);
        }
        assert!(may(&network(&[], &["localhost:80"]), "127.0.0.1:80", TcpConnect));
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
