//! `wasi:sockets/ip-name-lookup`. A name is looked up by the system's resolver, which blocks, on a thread of its own.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use sinbin::readiness::Notifier;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    Host, HostResolveAddressStream, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network as WasiNetwork};
use wasmtime_wasi::p2::{DynPollable, SocketError, SocketResult};

use super::Guest;
use super::io::Io;
use super::poll::Pollable;
use super::slots::{Place, Slots};

/// The maximum number of names that are looked up at the same time. Each has a thread.
const MOST: usize = 8;

/// The minimum interval between two log lines about names whose addresses are not permitted.
const PERIOD: Duration = Duration::from_secs(1);

/// The place of a lookup.
pub(super) type LookupId = Place;

/// The lookups of a guest.
pub(super) struct Lookups {
    slots: Slots<Lookup>,
    notifier: Notifier,
    results: Receiver<(Place, Answer)>,
    sender: Sender<(Place, Answer)>,
    running: usize,
    /// The time of the last log line about a name whose addresses are not permitted.
    logged: Option<Instant>,
}

/// The addresses of a name, or the reason why there are none.
pub(super) type Answer = Result<VecDeque<IpAddr>, ErrorCode>;

struct Lookup {
    name: String,
    answer: Option<Answer>,
}

impl Lookups {
    pub(super) fn new(notifier: Notifier) -> Self {
        let (sender, results) = channel();
        Self { slots: Slots::new(), notifier, results, sender, running: 0, logged: None }
    }

    /// Returns true if the result of a lookup is available.
    pub(super) fn is_ready(&mut self, place: Place) -> bool {
        self.slots.get_mut(place).is_none_or(|lookup| lookup.answer.is_some())
    }

    /// Takes the result of a lookup, if it is available.
    pub(super) fn take_answer(&mut self, place: Place) -> Option<Answer> {
        match self.slots.get_mut(place) {
            Some(lookup) => lookup.answer.take(),
            None => Some(Err(ErrorCode::TemporaryResolverFailure)),
        }
    }

    /// Returns those addresses of a name that the guest may connect to, or an error if there are none.
    fn answer(&mut self, name: &str, permitted: VecDeque<IpAddr>) -> Answer {
        if !permitted.is_empty() {
            return Ok(permitted);
        }
        if self.logged.is_none_or(|last| last.elapsed() >= PERIOD) {
            self.logged = Some(Instant::now());
            tracing::warn!(
                name,
                "the guest may not connect to the addresses of this name: one that is not public needs an \
                 --allow-connect of its own"
            );
        }
        Err(ErrorCode::AccessDenied)
    }

    fn begin(&mut self, name: String) -> SocketResult<Place> {
        if self.running >= MOST {
            return Err(ErrorCode::TemporaryResolverFailure.into());
        }
        let place = self.slots.insert(Lookup { name: name.clone(), answer: None });
        let place = place.ok_or(ErrorCode::TemporaryResolverFailure)?;
        let (sender, notifier) = (self.sender.clone(), self.notifier.clone());
        let started = thread::Builder::new().name("sinbin-lookup".to_owned()).spawn(move || {
            // The guest may have ended meanwhile.
            sender.send((place, resolve(&name))).ok();
            notifier.notify();
        });
        if started.is_err() {
            self.slots.remove(place.index);
            return Err(ErrorCode::TemporaryResolverFailure.into());
        }
        self.running += 1;
        Ok(place)
    }
}

/// Looks up a name, which blocks.
fn resolve(name: &str) -> Answer {
    let found = (name, 0).to_socket_addrs().map_err(|_| ErrorCode::NameUnresolvable)?;
    Ok(found.map(|address| address.ip().to_canonical()).collect())
}

/// Returns true if the text can be a name of a host: labels of letters, digits, `-` and `_`.
pub(super) fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_right = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(is_right) && !label.starts_with('-')
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_number =
        text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    text.len() <= 253 && !is_number && text.split('.').all(is_label)
}

/// Returns the address that the text consists of.
fn literal(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match bracketed {
        Some(text) => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

impl Io {
    pub(super) fn look_up(&mut self, name: String) -> SocketResult<Place> {
        if let Some(ip) = literal(&name) {
            let answer = Some(Ok(VecDeque::from([ip])));
            let place = self.lookups.slots.insert(Lookup { name, answer });
            return Ok(place.ok_or(ErrorCode::TemporaryResolverFailure)?);
        }
        if !is_name(&name) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        if let Some(own) = self.network.own_addresses(&name) {
            let answer = Some(self.lookups.answer(&name, own));
            let place = self.lookups.slots.insert(Lookup { name, answer });
            return Ok(place.ok_or(ErrorCode::TemporaryResolverFailure)?);
        }
        if !self.network.may_look_up(&name) {
            return Err(ErrorCode::AccessDenied.into());
        }
        self.lookups.begin(name)
    }

    /// Forgets a lookup, whose result is not wanted.
    pub(super) fn forget_lookup(&mut self, index: u32) {
        self.uncount();
        self.lookups.slots.remove(index);
    }

    /// Stores the results that have arrived. The guest may connect to the addresses of a name as to the name, and
    /// learns no other ones.
    pub(super) fn collect_lookups(&mut self) {
        while let Ok((place, answer)) = self.lookups.results.try_recv() {
            self.lookups.running -= 1;
            let Some(name) = self.lookups.slots.get_mut(place).map(|lookup| lookup.name.clone()) else {
                continue;
            };
            let answer = answer.and_then(|addresses| match addresses.is_empty() {
                true => Err(ErrorCode::NameUnresolvable),
                false => self.lookups.answer(&name, self.network.resolved(&name, addresses)),
            });
            if let Some(lookup) = self.lookups.slots.get_mut(place) {
                lookup.answer = Some(answer);
            }
        }
    }
}

impl Host for Guest {
    fn resolve_addresses(
        &mut self,
        _: Resource<WasiNetwork>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.io.count(1).map_err(SocketError::trap)?;
        match self.io.look_up(name) {
            Ok(place) => Ok(Resource::new_own(place.index)),
            Err(error) => {
                self.io.uncount();
                Err(error)
            }
        }
    }
}

impl HostResolveAddressStream for Guest {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        self.io.collect_lookups();
        let lookup = self.io.lookups.slots.at_mut(stream.rep());
        match lookup.and_then(|lookup| lookup.answer.as_mut()) {
            None => Err(ErrorCode::WouldBlock.into()),
            Some(Ok(addresses)) => Ok(addresses.pop_front().map(Into::into)),
            Some(Err(error)) => Err((*error).into()),
        }
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> Result<Resource<DynPollable>> {
        let place = self.io.lookups.slots.place(stream.rep());
        let place = place.ok_or_else(|| wasmtime::Error::msg("the guest uses a lookup that is gone"))?;
        self.io.subscribe(Pollable::Lookup(place))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> Result<()> {
        self.io.forget_lookup(stream.rep());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{is_name, literal};

    #[test]
    fn names_and_addresses() {
        for right in ["localhost", "example.com", "a-b.c_d.example.", "1.example", "xn--nxasmq6b"] {
            assert!(is_name(right) && literal(right).is_none(), "{right}");
        }
        let long = "a".repeat(64);
        for wrong in
            ["", ".", "a..b", "-a.example", "1.2.3", "256.0.0.1", "a b", "a/b", "[::1", "ä.example", &long]
        {
            assert!(!is_name(wrong) && literal(wrong).is_none(), "{wrong}");
        }
        for address in ["127.0.0.1", "::1", "[::1]"] {
            assert!(literal(address).is_some(), "{address}");
        }
    }
}
