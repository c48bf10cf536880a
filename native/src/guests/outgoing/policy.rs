//! The permissions of a guest to connect and to listen, and the log of what they refuse.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant as Clock};

use sinbin_core::driven::ConnectError;

use crate::guests::listen_permission::ListenPermission;
use crate::guests::permission::{
    ConnectPermission, Encryption, encryption_of_address, encryption_of_name, permits_address, permits_name,
};
#[cfg(feature = "tls")]
use crate::tls::is_server_name;

/// The minimum interval between two log lines about connections that are not permitted.
const PERIOD: Duration = Duration::from_secs(1);

/// Decides which connections and listeners a guest may request.
pub(super) struct Policy {
    permissions: Vec<ConnectPermission>,
    to_listen: Vec<ListenPermission>,
    /// True if the host has what it needs to speak TLS.
    can_encrypt: bool,
    /// The time of the last log line about a connection that is not permitted, and the number of them since then.
    logged: Option<Clock>,
    unsaid: u64,
}

impl Policy {
    pub(super) fn new(
        permissions: Vec<ConnectPermission>,
        to_listen: Vec<ListenPermission>,
        can_encrypt: bool,
    ) -> Self {
        Self { permissions, to_listen, can_encrypt, logged: None, unsaid: 0 }
    }

    /// Returns true if the guest may listen on this address. A refusal is logged.
    pub(super) fn may_listen(&mut self, address: SocketAddr) -> bool {
        let may_listen = self.to_listen.iter().any(|permission| permission.covers(address));
        if !may_listen {
            self.unsaid += 1;
            if self.may_log() {
                let count = std::mem::take(&mut self.unsaid);
                tracing::warn!(%address, count, "the guest may not listen there; see --allow-listen");
            }
        }
        may_listen
    }

    /// Logs that the guest gets no listener, at most once per [`PERIOD`].
    pub(super) fn log_no_listener(&mut self, address: SocketAddr, error: &std::io::Error) {
        if self.may_log() {
            tracing::warn!(%address, %error, "cannot listen for the guest");
        }
    }

    /// Returns the protocol that is spoken with a named peer.
    ///
    /// # Errors
    ///
    /// Fails if the name is not permitted, which is logged.
    pub(super) fn name(&mut self, host: &str, port: u16, endpoint: &str) -> Result<Encryption, ConnectError> {
        if permits_name(&self.permissions, host, port) {
            return Ok(encryption_of_name(&self.permissions, host, port));
        }
        self.log_forbidden(endpoint);
        Err(ConnectError::NotPermitted)
    }

    /// Returns the protocol that is spoken with a peer that has these addresses.
    pub(super) fn encryption(&self, addresses: &[SocketAddr]) -> Encryption {
        let is_tls = |address: &SocketAddr| {
            encryption_of_address(&self.permissions, canonical(*address)) == Encryption::Tls
        };
        if addresses.iter().any(is_tls) { Encryption::Tls } else { Encryption::Plain }
    }

    /// Checks that the host can speak this protocol with the peer that is to be `server`.
    ///
    /// # Errors
    ///
    /// Fails if the host has no connector, which is logged, and if no certificate can be for `server`.
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "nothing can be encrypted"))]
    pub(super) fn check(&mut self, encryption: Encryption, server: &str) -> Result<(), ConnectError> {
        match encryption {
            Encryption::Plain => Ok(()),
            #[cfg(feature = "tls")]
            Encryption::Tls if self.can_encrypt && !is_server_name(server) => Err(ConnectError::Invalid),
            Encryption::Tls if self.can_encrypt => Ok(()),
            Encryption::Tls => {
                if self.may_log() {
                    tracing::warn!(
                        "the guest may connect only by TLS, for which this host has no TlsConnector"
                    );
                }
                Err(ConnectError::NotPermitted)
            }
        }
    }

    /// Returns the addresses that the guest may connect to. The address that is checked is the one that is connected to:
    /// no name is resolved a second time.
    ///
    /// # Errors
    ///
    /// Fails if there is no address, and if none is permitted, which is logged.
    pub(super) fn permitted(
        &mut self,
        addresses: &[SocketAddr],
        is_named: bool,
        encryption: Encryption,
    ) -> Result<VecDeque<SocketAddr>, ConnectError> {
        let is_permitted =
            |address: &SocketAddr| permits_address(&self.permissions, *address, is_named, encryption);
        let permitted: VecDeque<_> =
            addresses.iter().map(|address| canonical(*address)).filter(is_permitted).collect();
        match (addresses.first(), permitted.is_empty()) {
            (None, _) => Err(ConnectError::Unresolved),
            (Some(first), true) => {
                self.log_forbidden(&first.to_string());
                Err(ConnectError::NotPermitted)
            }
            _ => Ok(permitted),
        }
    }

    /// Logs that the guest may not connect to an endpoint, at most once per [`PERIOD`].
    fn log_forbidden(&mut self, endpoint: &str) {
        self.unsaid += 1;
        if self.may_log() {
            let count = std::mem::take(&mut self.unsaid);
            tracing::warn!(?endpoint, count, "the guest may not connect there; see --allow-connect");
        }
    }

    /// Returns true if the last log line was not within [`PERIOD`].
    fn may_log(&mut self) -> bool {
        let may_log = self.logged.is_none_or(|last| last.elapsed() >= PERIOD);
        if may_log {
            self.logged = Some(Clock::now());
        }
        may_log
    }
}

/// Returns the address in the form in which permissions are compared.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
