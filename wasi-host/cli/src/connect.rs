//! The options of connections that a guest makes.

use clap::Args;
use sinbin::guests::{ConnectPermission, GuestSettings};
use sinbin_cli::address::address;
use sinbin_cli::span::{Span, span};
use sinbin_wasi::portable::Peer;

#[derive(Args)]
pub(crate) struct ConnectArgs {
    /// Endpoint that the guest may connect to: an address or a name, with a port, or * for any port; may be repeated. By
    /// default, a guest can't connect.
    ///
    /// For a guest that the host drives, the host can also be a range of addresses (10.0.0.0/8:5432, [fd00::/8]:*), all
    /// names below a name (*.example.org:443), or any name and any public address (*:443). Names lead to public addresses
    /// only: an address of a loopback, private or link-local network needs an --allow-connect of its own, even if it is
    /// that of a permitted name.
    ///
    /// A WASI command may also look up the name.
    #[arg(long, value_name = "HOST:PORT", value_parser = target)]
    pub(crate) allow_connect: Vec<Target>,
    /// Maximum number of simultaneous connections that a driven guest makes, including those that are not established yet;
    /// they count towards --max-connections too. Further requests fail at once.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) max_outgoing: u32,
    /// Maximum number of connections of a driven guest that are not established yet. Further requests fail at once.
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) max_connecting: u32,
    /// Time that connecting may take for a driven guest, including the time to resolve the name; "off" for no limit but
    /// that of the system.
    #[arg(long, default_value = "10s", value_name = "SPAN", value_parser = span)]
    pub(crate) connect_timeout: Span,
}

/// An endpoint that a guest may connect to, in the form for each kind of guest.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    permission: ConnectPermission,
    /// `None` if a WASI command can't be given such a permission.
    peer: Option<Peer>,
}

/// Parses an endpoint: an address that [`address`] accepts, or what a [`ConnectPermission`] accepts.
fn target(text: &str) -> Result<Target, String> {
    let text = if text == "localhost:*" { "127.0.0.1:*" } else { text };
    let text = address(text).map_or_else(|_| text.to_owned(), |address| address.to_string());
    let text = text.strip_suffix(":0").map_or_else(|| text.clone(), |host| format!("{host}:*"));
    let permission = text.parse().map_err(|error| format!("{error}"))?;
    Ok(Target { permission, peer: text.parse().ok() })
}

impl ConnectArgs {
    /// Applies the options to the settings of a driven guest.
    pub(crate) fn apply(&self, settings: &mut GuestSettings) {
        settings.allow_connect = self.allow_connect.iter().map(|target| target.permission.clone()).collect();
        settings.max_outgoing = self.max_outgoing as usize;
        settings.max_connecting = self.max_connecting as usize;
        settings.connect_timeout = self.connect_timeout.0.unwrap_or(std::time::Duration::MAX);
    }

    /// Returns the peers of a WASI command.
    ///
    /// # Errors
    ///
    /// Fails with a message for the user if one of them is possible only for a driven guest.
    pub(crate) fn peers(&self) -> Result<Vec<Peer>, String> {
        let peer = |target: &Target| {
            let only_driven = || {
                format!(
                    "--allow-connect {} requires a guest that the host drives; a WASI command needs an address or a name",
                    target.permission
                )
            };
            target.peer.clone().ok_or_else(only_driven)
        };
        self.allow_connect.iter().map(peer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn targets() {
        for (short, long) in [
            (":80", "127.0.0.1:80"),
            ("80", "127.0.0.1:80"),
            ("localhost:*", "127.0.0.1:*"),
            ("LocalHost.:80", "127.0.0.1:80"),
            ("[::1]:0", "[::1]:*"),
        ] {
            assert_eq!(target(short).unwrap().permission, target(long).unwrap().permission, "{short}");
        }
        assert_eq!(target("80").unwrap().peer, target("localhost:80").unwrap().peer);
        assert!(
            target("example.com:443").unwrap().peer.is_some() && target("[::1]:*").unwrap().peer.is_some()
        );
        assert!(target("*.example.com:443").unwrap().peer.is_none() && target("*:*").unwrap().peer.is_none());
        assert!(target("example.com").is_err() && target("").is_err());
    }
}
