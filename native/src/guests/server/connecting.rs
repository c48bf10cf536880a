//! Connections that the guest requests.

use sinbin_core::driven::{ConnectError, ConnectId, Event};
use sinbin_core::{Instant, IoError, SourceId};

use crate::guests::GuestFactory;
use crate::guests::outgoing::{Begun, reason};
use crate::guests::server::GuestServer;
use crate::guests::server::listening::address_to_listen_on;
use crate::guests::server::readiness::address;
use crate::guests::source_table::Role;
use crate::observe::SourceKind;
use crate::sockets::{Socket, connect, is_exhaustion};

impl<B: GuestFactory> GuestServer<B> {
    /// Executes the command `connect`.
    pub(super) fn connect(&mut self, request: ConnectId, len: u32, output: &mut &[u8]) {
        let Some(text) = output.split_off(..len as usize) else {
            return self.ignore("connects to a text of more bytes than it has put out");
        };
        if let Some(address) = address_to_listen_on(text) {
            return self.listen_for_guest(request, address);
        }
        match self.outgoing.begin(request, text, self.clock.now()) {
            Begun::Resolving => {}
            Begun::Ready(number) => self.try_next(number),
            Begun::Failed(error) => self.say_failed(request, error),
            Begun::Twice => self.ignore("connects by the number of another request"),
        }
    }

    /// Executes the command `abandon`.
    pub(super) fn abandon(&mut self, request: ConnectId) {
        match self.outgoing.number(request) {
            Some(number) => drop(self.end_request(number)),
            // The request may have failed, and the guest is not to hear of that any more.
            None => {
                self.outgoing.forget_failure(request);
                self.abandon_listener(request);
            }
        }
    }

    pub(super) fn say_failed(&mut self, request: ConnectId, reason: ConnectError) {
        tracing::debug!(request = request.0, ?reason, "the guest gets no connection");
        self.outgoing.failed(request, reason);
    }

    /// Adds events for the requests that have failed.
    pub(super) fn tell_failures(&mut self) {
        if self.outgoing.has_failures() {
            let failures = self.outgoing.take_failures();
            let events = failures.map(|(request, reason)| Event::ConnectFailed { request, reason });
            self.input.events.extend(events);
        }
    }

    /// Removes a request, and ends its attempts. Returns the guest's number of it.
    fn end_request(&mut self, number: u64) -> Option<ConnectId> {
        let (request, attempts) = self.outgoing.end(number)?;
        for source in attempts {
            self.free(source);
        }
        Some(request)
    }

    fn fail(&mut self, number: u64, error: ConnectError) {
        if let Some(request) = self.end_request(number) {
            self.say_failed(request, error);
        }
    }

    /// Begins an attempt at the next address of a request. If none is left, and no attempt is in progress, the request
    /// has failed.
    fn try_next(&mut self, number: u64) {
        while let Some(address) = self.outgoing.next_address(number) {
            match self.attempt(address) {
                Ok(source) => {
                    self.outgoing.attempt(number, source, self.clock.now());
                    return self.watch(source);
                }
                Err(error) => self.outgoing.attempt_failed(number, None, error),
            }
        }
        if let Some(error) = self.outgoing.is_hopeless(number) {
            self.fail(number, error);
        }
    }

    fn attempt(&mut self, address: std::net::SocketAddr) -> Result<SourceId, ConnectError> {
        if self.open >= self.settings.max_connections {
            return Err(ConnectError::NoRoom);
        }
        let stream = connect(address).map_err(|error| match is_exhaustion(&error) {
            true => ConnectError::NoRoom,
            false => reason(error.into()),
        })?;
        let source = self.places.insert(Role::Connecting);
        self.sockets.insert(source, Socket::Stream(stream), false);
        self.observer.guest_source(source, SourceKind::Connected, Some(address));
        self.open += 1;
        Ok(source)
    }

    /// Checks an attempt that is ready.
    pub(super) fn check_attempt(&mut self, source: SourceId) {
        // The event needs capacity for the peer's address. Without it, the reactor reports the source again.
        if !self.input.has_room(64) {
            return;
        }
        match self.sockets.connected(source) {
            #[cfg(feature = "tls")]
            Ok(()) if self.begin_handshake(source) => {}
            Ok(()) => self.established(source),
            Err(IoError::WouldBlock) => {}
            Err(error) => self.attempt_failed(source, error),
        }
    }

    /// Ends an attempt that has failed, and tries the next address.
    pub(super) fn attempt_failed(&mut self, source: SourceId, error: IoError) {
        let number = self.outgoing.request_of(source);
        if let Some(number) = number {
            self.outgoing.attempt_failed(number, Some(source), reason(error));
        }
        self.free(source);
        if let Some(number) = number {
            self.try_next(number);
        }
    }

    fn established(&mut self, source: SourceId) {
        let peer = self.sockets.peer(source).map(address);
        let Some((request, others)) = self.outgoing.establish(source) else { return self.free(source) };
        for other in others {
            self.free(other);
        }
        if let Some(place) = self.places.get(source) {
            place.role = Role::Connection;
        }
        tracing::debug!(%source, request = request.0, "connected for the guest");
        self.input.connected(request, source, peer.as_ref().map_or(&[], |bytes| bytes));
        self.watch(source);
    }

    /// Continues with the names that are resolved.
    pub(super) fn collect_names(&mut self) {
        for outcome in self.outgoing.resolved() {
            match outcome {
                Ok(number) => self.try_next(number),
                Err((number, error)) => self.fail(number, error),
            }
        }
    }

    /// Fails the requests whose time is over, and begins the attempts that are due.
    pub(super) fn expire_requests(&mut self, seen: Instant) {
        while let Some(number) = self.outgoing.next_late(seen) {
            #[cfg(feature = "tls")]
            self.expire_handshake(number);
            self.fail(number, ConnectError::TimedOut);
        }
        while let Some(number) = self.outgoing.next_due(seen) {
            self.try_next(number);
        }
    }

    /// Ends all requests, because there is no guest for them.
    pub(super) fn end_requests(&mut self) {
        for source in self.outgoing.clear() {
            self.free(source);
        }
    }
}
