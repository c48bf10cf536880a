//! Listeners that the guest requests. They end with the instance that has requested them.

use std::net::SocketAddr;

use sinbin_core::SourceId;
use sinbin_core::driven::{ConnectError, ConnectId, LISTEN};

use crate::guests::GuestFactory;
use crate::guests::server::readiness::address;
use crate::guests::server::{GuestServer, MAX_LISTENERS};
use crate::guests::source_table::Role;
use crate::observe::SourceKind;
use crate::sockets::{Listening, Socket, bind, is_exhaustion};

/// A listener that the guest has requested.
pub(super) struct RequestedListener {
    source: SourceId,
    /// The request, and the address of the listener, until the guest is told of it.
    untold: Option<(ConnectId, SocketAddr)>,
}

/// Returns the address of a request for a listener, as text, or `None` if the request is for a connection.
pub(super) fn address_to_listen_on(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(LISTEN.as_bytes())
}

impl<B: GuestFactory> GuestServer<B> {
    /// Answers the request of the guest to listen on the address in `text`.
    pub(super) fn listen_for_guest(&mut self, request: ConnectId, text: &[u8]) {
        let is_untold = |listener: &RequestedListener| listener.untold.is_some_and(|(id, _)| id == request);
        if self.outgoing.has_request(request) || self.requested.iter().any(is_untold) {
            return self.ignore("listens by the number of another request");
        }
        match self.begin_listening(text) {
            Ok((source, bound)) => {
                tracing::debug!(%bound, request = request.0, "listening for the guest");
                self.requested.push(RequestedListener { source, untold: Some((request, bound)) });
            }
            Err(error) => self.say_failed(request, error),
        }
    }

    fn begin_listening(&mut self, text: &[u8]) -> Result<(SourceId, SocketAddr), ConnectError> {
        let text = str::from_utf8(text).map_err(|_| ConnectError::Invalid)?;
        let at: SocketAddr = text.parse().map_err(|_| ConnectError::Invalid)?;
        if !self.outgoing.may_listen(at) {
            return Err(ConnectError::NotPermitted);
        }
        let is_full = self.listeners.len() >= MAX_LISTENERS || self.binds >= MAX_LISTENERS;
        if self.draining.is_some() || is_full {
            return Err(ConnectError::NoRoom);
        }
        self.binds += 1;
        let bound = bind(at, self.settings.dual_stack);
        let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (bound, listener) = bound.map_err(|error| {
            self.outgoing.log_no_listener(at, &error);
            reason(&error)
        })?;
        let source = self.places.insert(Role::Listener);
        self.sockets.insert(source, Socket::Listener(Listening::Tcp(listener)), false);
        self.observer.guest_source(source, SourceKind::Listener, Some(bound));
        self.listeners.push(source);
        Ok((source, bound))
    }

    /// Returns true if the guest has not been told of a listener.
    pub(super) fn has_untold_listeners(&self) -> bool {
        self.requested.iter().any(|listener| listener.untold.is_some())
    }

    /// Adds events for the new listeners, as far as the turn has capacity for their addresses.
    pub(super) fn tell_listeners(&mut self) {
        self.binds = 0;
        for RequestedListener { source, untold } in &mut self.requested {
            if !self.input.has_room(64) {
                break;
            }
            if let Some((request, bound)) = untold.take() {
                self.input.connected(request, *source, &address(bound));
            }
        }
    }

    /// Closes the listener of a request that the guest has abandoned before it was told the result.
    pub(super) fn abandon_listener(&mut self, request: ConnectId) {
        let is_abandoned =
            |listener: &&RequestedListener| listener.untold.is_some_and(|(untold, _)| untold == request);
        if let Some(source) = self.requested.iter().find(is_abandoned).map(|listener| listener.source) {
            self.close_listener(source);
        }
    }

    /// Returns true if the guest has requested this listener.
    pub(super) fn is_requested(&self, listener: SourceId) -> bool {
        self.requested.iter().any(|requested| requested.source == listener)
    }

    /// Closes a listener, for good.
    pub(super) fn close_listener(&mut self, listener: SourceId) {
        self.listeners.retain(|other| *other != listener);
        self.requested.retain(|requested| requested.source != listener);
        self.sockets.remove(listener);
        self.places.remove(listener);
        self.observer.guest_source_gone(listener);
    }

    /// Closes all listeners that the guest has requested.
    pub(super) fn close_requested_listeners(&mut self) {
        for RequestedListener { source, .. } in std::mem::take(&mut self.requested) {
            self.close_listener(source);
        }
    }
}

/// Returns the reason that the guest gets.
fn reason(error: &std::io::Error) -> ConnectError {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => ConnectError::Refused,
        std::io::ErrorKind::AddrNotAvailable => ConnectError::Unreachable,
        std::io::ErrorKind::PermissionDenied => ConnectError::NotPermitted,
        _ if is_exhaustion(error) => ConnectError::NoRoom,
        _ => ConnectError::Other,
    }
}
