//! The options of connections that a guest makes.

#[cfg(feature = "tls")]
use std::path::{Path, PathBuf};

use clap::Args;
use sinbin::guests::{ConnectPermission, GuestSettings, ListenPermission};
#[cfg(feature = "tls")]
use sinbin::tls::{ConfigError, Roots, TlsConnector};
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
    /// With https:// or tls:// before the host, the host of the guest speaks TLS with the peer, and verifies that its
    /// certificate is for the name or address that the guest asks for: https://example.org, with the port 443, or
    /// tls://example.org:853. The guest sends and receives plaintext, which --record records, and cannot send plaintext
    /// to the peer. If another --allow-connect permits plaintext for the same peer and port, TLS is spoken
    /// nevertheless.
    ///
    /// A WASI command may also look up the name. Its names lead to public addresses only, too.
    #[arg(long, value_name = "[https://]HOST:PORT", value_parser = target)]
    pub(crate) allow_connect: Vec<Target>,
    /// Address that a guest may listen on by itself, while it runs, with * for any port; may be repeated. By default, it has
    /// only the listeners of --listen. A guest that lets the system choose the port needs *.
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    pub(crate) allow_listen: Vec<ListenPermission>,
    /// Trust the authorities in this PEM file for the peers of an --allow-connect with TLS, besides those of the
    /// system.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "allow_connect")]
    pub(crate) ca: Option<PathBuf>,
    /// Maximum number of simultaneous connections that a driven guest makes, including those that are not established yet;
    /// they count towards --max-connections too. Further requests fail at once.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) max_outgoing: u32,
    /// Maximum number of connections of a driven guest that are not established yet. Further requests fail at once.
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) max_connecting: u32,
    /// Time that connecting may take for a driven guest, including the time to resolve the name, and for the TLS
    /// handshake; "off" for no limit but that of the system.
    #[arg(long, default_value = "10s", value_name = "SPAN", value_parser = span)]
    pub(crate) connect_timeout: Span,
}

/// Parses an address that a guest may listen on.
fn listen(text: &str) -> Result<ListenPermission, String> {
    text.parse().map_err(|error| format!("{error}"))
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
    ///
    /// # Errors
    ///
    /// Fails with a message for the user if a permission requires TLS, and no authority can be trusted.
    pub(crate) fn apply(&self, mut settings: GuestSettings) -> Result<GuestSettings, String> {
        settings.allow_connect = self.allow_connect.iter().map(|target| target.permission.clone()).collect();
        settings.allow_listen.clone_from(&self.allow_listen);
        settings.max_outgoing = self.max_outgoing as usize;
        settings.max_connecting = self.max_connecting as usize;
        settings.connect_timeout = self.connect_timeout.0.unwrap_or(std::time::Duration::MAX);
        self.apply_tls(settings)
    }

    #[cfg(feature = "tls")]
    fn apply_tls(&self, settings: GuestSettings) -> Result<GuestSettings, String> {
        let Some(permission) = settings.allow_connect.iter().find(|permission| permission.is_tls()) else {
            return match &self.ca {
                Some(_) => {
                    Err("--ca requires an --allow-connect with TLS, such as https://example.org".to_owned())
                }
                None => Ok(settings),
            };
        };
        let connector = roots(self.ca.as_deref()).and_then(TlsConnector::new);
        let connector = connector.map_err(|error| format!("--allow-connect {permission}: {error} (--ca)"))?;
        Ok(settings.tls_connector(connector))
    }

    #[cfg(not(feature = "tls"))]
    fn apply_tls(&self, settings: GuestSettings) -> Result<GuestSettings, String> {
        match settings.allow_connect.iter().find(|permission| permission.is_tls()) {
            Some(permission) => {
                Err(format!("--allow-connect {permission}: this program was built without TLS"))
            }
            None => Ok(settings),
        }
    }

    /// Returns the peers of a WASI command.
    ///
    /// # Errors
    ///
    /// Fails with a message for the user if one of them is possible only for a driven guest.
    pub(crate) fn peers(&self) -> Result<Vec<Peer>, String> {
        let peer = |target: &Target| {
            let only_driven = || {
                let why = match target.permission.is_tls() {
                    true => "a WASI command connects itself, and speaks TLS itself if it does",
                    false => "a WASI command needs an address or a name",
                };
                format!("--allow-connect {} requires a guest that the host drives; {why}", target.permission)
            };
            target.peer.clone().ok_or_else(only_driven)
        };
        self.allow_connect.iter().map(peer).collect()
    }
}

/// Reads the authorities of the system, and those of `ca`.
#[cfg(feature = "tls")]
fn roots(ca: Option<&Path>) -> Result<Roots, ConfigError> {
    match ca {
        None => Roots::system(),
        Some(ca) => {
            let named = Roots::from_pem_file(ca)?;
            Ok(Roots::system().map(|system| system.and(&named)).unwrap_or(named))
        }
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
            ("https://example.com", "tls://example.com:443"),
            ("https://localhost:80", "tls://127.0.0.1:80"),
        ] {
            assert_eq!(target(short).unwrap().permission, target(long).unwrap().permission, "{short}");
        }
        assert_eq!(target("80").unwrap().peer, target("localhost:80").unwrap().peer);
        assert!(
            target("example.com:443").unwrap().peer.is_some() && target("[::1]:*").unwrap().peer.is_some()
        );
        assert!(target("*.example.com:443").unwrap().peer.is_none() && target("*:*").unwrap().peer.is_none());
        assert!(target("https://example.com").unwrap().peer.is_none());
        assert!(target("example.com").is_err() && target("").is_err());
    }
}
