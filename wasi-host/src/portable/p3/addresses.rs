//! Conversions of the families of addresses.

use wasmtime_wasi::p2::bindings::sockets::network::IpAddressFamily as Old;
use wasmtime_wasi::p3::bindings::sockets::types::IpAddressFamily;

pub(super) fn to_old(family: IpAddressFamily) -> Old {
    match family {
        IpAddressFamily::Ipv4 => Old::Ipv4,
        IpAddressFamily::Ipv6 => Old::Ipv6,
    }
}

pub(super) fn of_old(family: Old) -> IpAddressFamily {
    match family {
        Old::Ipv4 => IpAddressFamily::Ipv4,
        Old::Ipv6 => IpAddressFamily::Ipv6,
    }
}
