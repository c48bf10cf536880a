//! Parsers of addresses and sizes on the command line. They accept the same text as `native/cli/src/address.rs` and `size.rs`, whose
//! tests state the rules.

use core::net::{Ipv4Addr, SocketAddr};

/// Parses an address with a port, or a port of 127.0.0.1: `25000`, `:25000` or `localhost:25000`.
pub(crate) fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let is_port = matches!(host, "" | "localhost") && port.bytes().all(|byte| byte.is_ascii_digit());
        Some((Ipv4Addr::LOCALHOST, port.parse().ok().filter(|_| is_port)?).into())
    })
}

/// Parses a size, such as `64M`, `64MiB`, `1500K` or `1G`, and returns it in bytes. A number without a unit is in mebibytes.
pub(crate) fn size(text: &str) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let worth = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => 1,
        "k" | "kib" => 1 << 10,
        "" | "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(worth)
}
