//! TLS handshakes with the peers that a guest connects to.

use sinbin_core::{IoError, SourceId};

use crate::guests::GuestFactory;
use crate::guests::server::GuestServer;

impl<B: GuestFactory> GuestServer<B> {
    /// Begins the handshake of an attempt that is connected. Returns false if there is nothing to begin, because the
    /// guest speaks with the peer itself, or because the handshake has ended.
    pub(super) fn begin_handshake(&mut self, source: SourceId) -> bool {
        if self.sockets.is_tls(source) {
            return false;
        }
        let Some((server, others)) = self.outgoing.decide(source) else { return false };
        for other in others {
            self.free(other);
        }
        let connector = self.settings.tls_connector.as_ref();
        let begun = connector.ok_or(IoError::Unsupported).and_then(|connector| {
            let session = connector.session(&server);
            // The name was checked, so the library lacks a resource of the system.
            let session =
                session.inspect_err(|error| tracing::debug!("no connection for the guest: {error}"));
            self.sockets.begin_handshake(source, session.map_err(|_| IoError::NoRoom)?, server)
        });
        if let Err(error) = begun {
            self.attempt_failed(source, error);
        }
        true
    }

    /// Logs that the handshake of a request takes too long, if it has begun.
    pub(super) fn expire_handshake(&mut self, number: u64) {
        let (attempts, limit) = self.outgoing.attempts_of(number);
        for source in attempts {
            self.sockets.expire_handshake(*source, limit);
        }
    }
}
