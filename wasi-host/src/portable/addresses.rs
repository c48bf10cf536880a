//! The rules of WASI for addresses, and conversions between its addresses and those of the standard library.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wasmtime_wasi::p2::bindings::sockets::network::IpAddressFamily;

/// Returns the unspecified address with port 0.
pub(super) fn unspecified(family: IpAddressFamily) -> SocketAddr {
    match family {
        IpAddressFamily::Ipv4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddressFamily::Ipv6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// Returns true if a socket of this family may use the address. An IPv6 socket supports neither addresses that are
/// mapped to IPv4 nor the deprecated ones that are compatible with it.
pub(super) fn is_of(family: IpAddressFamily, ip: IpAddr) -> bool {
    match (family, ip) {
        (IpAddressFamily::Ipv4, IpAddr::V4(_)) => true,
        (IpAddressFamily::Ipv6, IpAddr::V6(ip)) => ip.to_ipv4_mapped().is_none() && !is_compatible(ip),
        _ => false,
    }
}

fn is_compatible(ip: Ipv6Addr) -> bool {
    ip.segments()[..6] == [0; 6] && !ip.is_unspecified() && !ip.is_loopback()
}

/// Returns true if the address can be that of a peer.
pub(super) fn is_remote(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_unspecified() && address.port() != 0
}

/// Returns true if TCP can use the address.
pub(super) fn is_unicast(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_peers() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(is_of(IpAddressFamily::Ipv4, ip("1.2.3.4")) && !is_of(IpAddressFamily::Ipv6, ip("1.2.3.4")));
        for right in ["::", "::1", "fe80::1", "2001:db8::"] {
            assert!(is_of(IpAddressFamily::Ipv6, ip(right)) && !is_of(IpAddressFamily::Ipv4, ip(right)));
        }
        for wrong in ["::ffff:1.2.3.4", "::1.2.3.4", "::2"] {
            assert!(!is_of(IpAddressFamily::Ipv6, ip(wrong)), "{wrong}");
        }
        for wrong in ["0.0.0.0:80", "127.0.0.1:0", "[::]:80", "[::ffff:0.0.0.0]:80"] {
            assert!(!is_remote(wrong.parse().unwrap()), "{wrong}");
        }
        for wrong in ["224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:224.0.0.1"] {
            assert!(!is_unicast(ip(wrong)), "{wrong}");
        }
        assert_eq!(unspecified(IpAddressFamily::Ipv6).to_string(), "[::]:0");
    }
}
