//! The connections that a guest has requested: names that are being resolved, and attempts to connect.

mod failures;
mod policy;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use sinbin_core::driven::{ConnectError, ConnectId};
use sinbin_core::net::{ATTEMPT_DELAY, attempt_order};
use sinbin_core::task::Endpoint;
use sinbin_core::{Instant, IoError, Job, JobId, Progress, SourceId};

use crate::guests::permission::{Encryption, is_name, plain};
use crate::guests::settings::GuestSettings;
use crate::names::Names;
use crate::pool::{KEEP_ALIVE, Pool, PoolLimits, Purpose, Ticket};
use crate::reactor::Notifier;

use failures::Failures;
use policy::Policy;

/// The maximum length of an endpoint's text in bytes: a name, a colon and a port, with some reserve.
const MAX_TEXT: usize = 300;

/// The maximum number of threads that resolve names.
const THREADS: usize = 8;

/// The number of entries that a queue of times may have in any case.
const SPARE: usize = 64;

/// A call of the resolver.
struct Lookup {
    host: String,
    port: u16,
    names: Names,
}

impl Job for Lookup {
    type Output = Result<Vec<SocketAddr>, IoError>;

    fn run(&mut self, _: u32) -> Progress<Self::Output> {
        Progress::Done(self.names.0.resolve(&self.host, self.port))
    }
}

/// A request without an answer.
struct Dial {
    /// The guest's number.
    request: ConnectId,
    /// The name or address that the certificate of the peer is to be for, if the host speaks TLS with the peer.
    server: Option<String>,
    /// Cancels the lookup when it is dropped.
    lookup: Option<Ticket<Lookup>>,
    /// The addresses that are not tried yet.
    addresses: VecDeque<SocketAddr>,
    /// The attempts in progress.
    attempts: Vec<SourceId>,
    /// The first error of an attempt.
    error: Option<ConnectError>,
}

/// The peer of a request.
struct Target {
    request: ConnectId,
    server: Option<String>,
}

impl Target {
    fn new(request: ConnectId, encryption: Encryption, server: impl FnOnce() -> String) -> Self {
        Self { request, server: (encryption == Encryption::Tls).then(server) }
    }
}

impl Dial {
    const fn encryption(&self) -> Encryption {
        if self.server.is_some() { Encryption::Tls } else { Encryption::Plain }
    }
}

/// The outcome of [`Outgoing::begin`].
pub(crate) enum Begun {
    /// The addresses have to be tried, by this number of the request.
    Ready(u64),
    /// The name is being resolved.
    Resolving,
    /// The guest gets an error.
    Failed(ConnectError),
    /// The guest uses a number twice.
    Twice,
}

/// The requests of a guest, and the connections that it has got.
pub(crate) struct Outgoing {
    policy: Policy,
    names: Names,
    max_connecting: usize,
    max_outgoing: usize,
    timeout: Duration,
    /// The requests by the host's own numbers, because a guest that was replaced may have used the same ones.
    dials: HashMap<u64, Dial>,
    /// The host's numbers, by the guest's.
    numbers: HashMap<ConnectId, u64>,
    last: u64,
    /// The requests to which the attempts belong.
    attempts: HashMap<SourceId, u64>,
    established: HashSet<SourceId>,
    /// The deadlines of the requests, and the times of their next attempts. Both are sorted, since the spans are
    /// constant.
    deadlines: VecDeque<(Instant, u64)>,
    next_attempts: VecDeque<(Instant, u64)>,
    resolvers: Pool<Lookup>,
    failures: Failures,
    /// The number of connections that were established.
    pub(crate) made: u64,
}

impl Outgoing {
    /// Creates the table of a guest with these settings.
    pub(crate) fn new(settings: &GuestSettings, notifier: Notifier) -> Self {
        let limits = PoolLimits { purpose: Purpose::Blocking, threads: THREADS, keep_alive: KEEP_ALIVE };
        Self {
            policy: Policy::new(
                settings.allow_connect.clone(),
                settings.allow_listen.clone(),
                settings.can_encrypt(),
            ),
            names: settings.names.clone(),
            max_connecting: settings.max_connecting,
            max_outgoing: settings.max_outgoing,
            timeout: settings.connect_timeout,
            dials: HashMap::new(),
            numbers: HashMap::new(),
            last: 0,
            attempts: HashMap::new(),
            established: HashSet::new(),
            deadlines: VecDeque::new(),
            next_attempts: VecDeque::new(),
            resolvers: Pool::new(limits, notifier),
            failures: Failures::default(),
            made: 0,
        }
    }

    /// Returns true if the guest may listen on this address. A refusal is logged.
    pub(crate) fn may_listen(&mut self, address: SocketAddr) -> bool {
        self.policy.may_listen(address)
    }

    /// Logs, at most once a second, that the guest gets no listener.
    pub(crate) fn log_no_listener(&mut self, address: SocketAddr, error: &std::io::Error) {
        self.policy.log_no_listener(address, error);
    }

    /// Returns true if this request has no answer yet, or one that the guest has not been told.
    pub(crate) fn has_request(&self, request: ConnectId) -> bool {
        self.numbers.contains_key(&request) || self.failures.contains(request)
    }

    /// Begins a request for the endpoint that `text` denotes.
    pub(crate) fn begin(&mut self, request: ConnectId, text: &[u8], now: Instant) -> Begun {
        if self.has_request(request) {
            return Begun::Twice;
        }
        if self.dials.len() >= self.max_connecting
            || self.dials.len() + self.established.len() >= self.max_outgoing
        {
            return Begun::Failed(ConnectError::NoRoom);
        }
        let text = str::from_utf8(text).ok().filter(|text| text.len() <= MAX_TEXT);
        let (host, port) = match text.map(Endpoint::parse) {
            Some(Endpoint::Address(address)) if address.port() > 0 => {
                return self.begin_addresses(
                    request,
                    &[address],
                    || address.ip().to_canonical().to_string(),
                    now,
                );
            }
            Some(Endpoint::Name { host, port }) if port > 0 && is_name(host) => (host, port),
            _ => return Begun::Failed(ConnectError::Invalid),
        };
        // The name always means this host (RFC 6761), so nothing needs to be resolved.
        if plain(host) == "localhost" {
            let own = [[0, 0, 0, 0, 0, 0, 0, 1].into(), std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped()];
            let own = own.map(|ip: std::net::Ipv6Addr| SocketAddr::from((ip, port)));
            return self.begin_addresses(request, &own, || plain(host), now);
        }
        let encryption = self.policy.name(host, port, text.unwrap_or_default());
        let checked = encryption.and_then(|encryption| {
            self.policy.check(encryption, &plain(host))?;
            Ok(encryption)
        });
        let encryption = match checked {
            Ok(encryption) => encryption,
            Err(error) => return Begun::Failed(error),
        };
        let target = Target::new(request, encryption, || plain(host));
        let lookup = Lookup { host: host.to_owned(), port, names: self.names.clone() };
        match self.resolvers.submit(JobId::from_bits(self.last + 1), lookup) {
            Ok(lookup) => {
                self.insert(target, Some(lookup), VecDeque::new(), now);
                Begun::Resolving
            }
            Err(_) => Begun::Failed(ConnectError::NoRoom),
        }
    }

    /// Begins a request for addresses of a peer that calls itself `server`.
    fn begin_addresses(
        &mut self,
        request: ConnectId,
        addresses: &[SocketAddr],
        server: impl FnOnce() -> String,
        now: Instant,
    ) -> Begun {
        let encryption = self.policy.encryption(addresses);
        let target = Target::new(request, encryption, server);
        if let Some(Err(error)) = target.server.as_ref().map(|server| self.policy.check(encryption, server)) {
            return Begun::Failed(error);
        }
        match self.policy.permitted(addresses, false, encryption) {
            Ok(addresses) => Begun::Ready(self.insert(target, None, addresses, now)),
            Err(error) => Begun::Failed(error),
        }
    }

    fn insert(
        &mut self,
        Target { request, server }: Target,
        lookup: Option<Ticket<Lookup>>,
        addresses: VecDeque<SocketAddr>,
        now: Instant,
    ) -> u64 {
        self.last += 1;
        let dial = Dial { request, server, lookup, addresses, attempts: Vec::new(), error: None };
        self.dials.insert(self.last, dial);
        self.numbers.insert(request, self.last);
        self.deadlines.push_back((now + self.timeout, self.last));
        self.last
    }

    /// Collects the results of the resolver. Returns the requests that can go on, and those that have failed.
    pub(crate) fn resolved(&mut self) -> Vec<Result<u64, (u64, ConnectError)>> {
        let finished = self.resolvers.finished();
        let outcomes = finished.into_iter().filter_map(|(id, addresses)| {
            let number = id.to_bits();
            // A request that is not found was abandoned.
            let dial = self.dials.get_mut(&number)?;
            dial.lookup = None;
            let encryption = dial.encryption();
            let addresses = match addresses {
                Some(Ok(addresses)) => self.policy.permitted(&addresses, true, encryption),
                Some(Err(_)) | None => Err(ConnectError::Unresolved),
            };
            Some(match (addresses, self.dials.get_mut(&number)?) {
                (Ok(addresses), dial) => {
                    dial.addresses = attempt_order(addresses);
                    Ok(number)
                }
                (Err(error), _) => Err((number, error)),
            })
        });
        outcomes.collect()
    }

    /// Returns the next address to try.
    pub(crate) fn next_address(&mut self, number: u64) -> Option<SocketAddr> {
        self.dials.get_mut(&number)?.addresses.pop_front()
    }

    /// Records an attempt. The next one follows after some time, even if this one has not ended.
    pub(crate) fn attempt(&mut self, number: u64, source: SourceId, now: Instant) {
        let Some(dial) = self.dials.get_mut(&number) else { return };
        dial.attempts.push(source);
        self.attempts.insert(source, number);
        if !dial.addresses.is_empty() {
            self.next_attempts.push_back((now + ATTEMPT_DELAY, number));
        }
    }

    /// Records that an address can't be connected to.
    pub(crate) fn attempt_failed(&mut self, number: u64, source: Option<SourceId>, error: ConnectError) {
        let Some(dial) = self.dials.get_mut(&number) else { return };
        dial.error.get_or_insert(error);
        if let Some(source) = source {
            dial.attempts.retain(|attempt| *attempt != source);
            self.attempts.remove(&source);
        }
    }

    /// Returns the error of a request, if nothing is left to try.
    pub(crate) fn is_hopeless(&self, number: u64) -> Option<ConnectError> {
        let dial = self.dials.get(&number)?;
        let is_over = dial.attempts.is_empty() && dial.addresses.is_empty() && dial.lookup.is_none();
        is_over.then(|| dial.error.unwrap_or(ConnectError::Other))
    }

    /// Returns the request of an attempt.
    pub(crate) fn request_of(&self, source: SourceId) -> Option<u64> {
        self.attempts.get(&source).copied()
    }

    /// Returns the host's number of a request.
    pub(crate) fn number(&self, request: ConnectId) -> Option<u64> {
        self.numbers.get(&request).copied()
    }

    /// Removes a request. Returns the guest's number of it, and the attempts that are still in progress.
    pub(crate) fn end(&mut self, number: u64) -> Option<(ConnectId, Vec<SourceId>)> {
        let dial = self.dials.remove(&number)?;
        self.numbers.remove(&dial.request);
        for source in &dial.attempts {
            self.attempts.remove(source);
        }
        // The queues keep the entries of requests that have ended, as long as there are not too many of them.
        let most = 2 * self.dials.len() + SPARE;
        let dials = &self.dials;
        for queue in [&mut self.deadlines, &mut self.next_attempts] {
            if dials.is_empty() {
                queue.clear();
            } else if queue.len() > most {
                queue.retain(|(_, number)| dials.contains_key(number));
            }
        }
        Some((dial.request, dial.attempts))
    }

    /// Decides for an attempt that is connected, if the host speaks TLS with the peer: no other address is tried.
    /// Returns the name of the peer, and the other attempts.
    #[cfg(feature = "tls")]
    pub(crate) fn decide(&mut self, source: SourceId) -> Option<(String, Vec<SourceId>)> {
        let dial = self.dials.get_mut(self.attempts.get(&source)?)?;
        let server = dial.server.clone()?;
        dial.addresses.clear();
        let others = std::mem::replace(&mut dial.attempts, vec![source]);
        let others: Vec<_> = others.into_iter().filter(|other| *other != source).collect();
        for other in &others {
            self.attempts.remove(other);
        }
        Some((server, others))
    }

    /// Returns the attempts of a request, and the time that the request may take.
    #[cfg(feature = "tls")]
    pub(crate) fn attempts_of(&self, number: u64) -> (&[SourceId], Duration) {
        (self.dials.get(&number).map_or(&[], |dial| &dial.attempts), self.timeout)
    }

    /// Removes a request whose attempt `source` has succeeded, as [`end`](Self::end) does. Returns the other attempts.
    pub(crate) fn establish(&mut self, source: SourceId) -> Option<(ConnectId, Vec<SourceId>)> {
        let (request, mut others) = self.end(self.request_of(source)?)?;
        others.retain(|other| *other != source);
        self.established.insert(source);
        self.made += 1;
        Some((request, others))
    }

    /// Records that a request has failed, until the guest is told.
    pub(crate) fn failed(&mut self, request: ConnectId, reason: ConnectError) {
        self.failures.add(request, reason);
    }

    /// Forgets that a request has failed.
    pub(crate) fn forget_failure(&mut self, request: ConnectId) {
        self.failures.remove(request);
    }

    /// Returns true if the guest does not know of all failures.
    pub(crate) fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Removes and returns the failures that the guest does not know.
    pub(crate) fn take_failures(&mut self) -> impl Iterator<Item = (ConnectId, ConnectError)> + use<> {
        self.failures.take()
    }

    /// Removes all requests, because there is no guest for them. Returns their attempts.
    pub(crate) fn clear(&mut self) -> Vec<SourceId> {
        self.dials.clear();
        self.numbers.clear();
        self.failures = Failures::default();
        self.deadlines.clear();
        self.next_attempts.clear();
        self.attempts.drain().map(|(source, _)| source).collect()
    }

    /// Returns true if the guest has requested this connection.
    pub(crate) fn has(&self, source: SourceId) -> bool {
        !self.established.is_empty() && self.established.contains(&source)
    }

    /// Forgets a connection that is closed.
    pub(crate) fn leave(&mut self, source: SourceId) {
        if !self.established.is_empty() {
            self.established.remove(&source);
        }
    }

    /// Returns the time of the next deadline or attempt.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.deadlines.front(), self.next_attempts.front()].into_iter().flatten().map(|(at, _)| *at).min()
    }

    /// Removes and returns a request whose deadline is not after `seen`.
    pub(crate) fn next_late(&mut self, seen: Instant) -> Option<u64> {
        self.deadlines.pop_front_if(|(at, _)| *at <= seen).map(|(_, number)| number)
    }

    /// Removes and returns a request whose next attempt is due.
    pub(crate) fn next_due(&mut self, seen: Instant) -> Option<u64> {
        self.next_attempts.pop_front_if(|(at, _)| *at <= seen).map(|(_, number)| number)
    }
}

/// Returns the reason that the guest is given for an error of the system.
pub(crate) fn reason(error: IoError) -> ConnectError {
    use std::io::ErrorKind as Kind;
    match error {
        IoError::ConnectionRefused => ConnectError::Refused,
        IoError::Reset => ConnectError::Reset,
        IoError::TimedOut => ConnectError::TimedOut,
        IoError::NoRoom => ConnectError::NoRoom,
        IoError::Os(code) => match std::io::Error::from_raw_os_error(code).kind() {
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => ConnectError::Unreachable,
            // The system has no free port for another connection.
            Kind::AddrNotAvailable => ConnectError::NoRoom,
            _ => ConnectError::Other,
        },
        _ => ConnectError::Other,
    }
}
