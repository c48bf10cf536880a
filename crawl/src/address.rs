//! Addresses that the public cannot reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns true if `address` is not one of the public network: private, loopback, link-local, shared, unspecified,
/// multicast, reserved, or an address of IPv6 that stands for such an address of IPv4.
///
/// A page of the public must not make a crawler send requests to such an address.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        // Shared addresses of providers (RFC 6598), protocol assignments (RFC 6890), relays of 6to4 (RFC 7526), and
        // benchmarks (RFC 2544).
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && b & 0xfe == 18)
        // Multicast and reserved.
        || a >= 224
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    match segments {
        // Mapped, translated (RFC 6052) and 6to4 (RFC 3056) addresses of IPv4.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            is_private_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Teredo, benchmarks, ORCHID and other protocols (RFC 6890), and documentation (RFC 3849, RFC 9637).
        [0x2001, ..0x200 | 0xdb8, ..] | [0x3fff, ..0x1000, ..] => true,
        // Everything else of the public network is 2000::/3.
        [first, ..] => first & 0xe000 != 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::is_private;

    #[test]
    fn private_addresses() {
        for text in [
            "127.0.0.1",
            "127.255.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001:0:1::1",
            "::127.0.0.1",
            "::1.1.1.1",
            "192.88.99.1",
            "2001:2::1",
            "2001:20::1",
            "2001:1ff::1",
            "3fff::1",
            "3fff:fff::1",
        ] {
            assert!(is_private(text.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn public_addresses() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.88.98.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2001:4860:4860::8888",
            "3fff:1000::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert!(!is_private(text.parse().expect("an address")), "{text}");
        }
    }
}
