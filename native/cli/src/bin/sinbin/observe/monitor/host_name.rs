//! The names by which requests may call this host.

use std::net::{IpAddr, SocketAddr};

/// Returns true if a request may name this host so: by an address, as localhost, or by a name that was allowed. A web
/// page whose name resolves to this machine could otherwise read what is answered.
pub(crate) fn is_known(host: &str, allowed: &[String]) -> bool {
    let is_address = host.parse::<SocketAddr>().is_ok()
        || host.parse::<IpAddr>().is_ok()
        || host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|ip| ip.parse::<IpAddr>().is_ok());
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    is_address || name == "localhost" || allowed.iter().any(|allowed| allowed == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_by_its_address_or_an_allowed_name() {
        let allowed = ["eyes.example".to_owned()];
        for known in
            ["127.0.0.1:9000", "127.0.0.1", "[::1]:9000", "[::1]", "localhost:1", "eyes.example:9000"]
        {
            assert!(is_known(known, &allowed), "{known}");
        }
        for unknown in ["evil.example", "evil.example:9000", "127.0.0.1.evil.example", "", "localhost.evil:1"]
        {
            assert!(!is_known(unknown, &allowed), "{unknown}");
        }
    }
}
