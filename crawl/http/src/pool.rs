//! Connections that are used again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sinbin_core::Instant;

use crate::connect::{Connection, Origin};

/// The time after which an idle connection is not used again: servers close theirs at about this time.
const MAX_AGE: Duration = Duration::from_secs(30);

/// A connection that carries one request at a time, and has none.
struct Idle<C> {
    connection: C,
    since: Instant,
}

/// The connections of a client that accept requests.
///
/// Of those that carry one request at a time, these are the idle ones. The origins whose connections were released the
/// longest time ago lose theirs first.
pub(crate) struct Pool<C> {
    max_idle: usize,
    idle: BTreeMap<Origin, Vec<Idle<C>>>,
    /// The origins of the idle connections, in the order of their release. Entries of connections that were taken stay
    /// until they are the oldest.
    released: VecDeque<Origin>,
    count: usize,
    shared: BTreeMap<Origin, C>,
}

impl<C: Connection> Pool<C> {
    pub(crate) fn new(max_idle: usize) -> Self {
        let (idle, shared) = (BTreeMap::new(), BTreeMap::new());
        Self { max_idle, idle, released: VecDeque::new(), count: 0, shared }
    }

    /// Returns a connection to `origin` that accepts a request: of the idle ones, the one that was used last.
    pub(crate) fn idle(&mut self, origin: &Origin, now: Instant) -> Option<C> {
        if let Some(connection) = self.shared.get(origin) {
            if !connection.is_closed() {
                return connection.share();
            }
            self.shared.remove(origin);
        }
        let connections = self.idle.get_mut(origin)?;
        let mut found = None;
        while let Some(idle) = connections.pop() {
            self.count -= 1;
            if !idle.connection.is_closed() && now.since(idle.since) < MAX_AGE {
                found = Some(idle.connection);
                break;
            }
        }
        if connections.is_empty() {
            self.idle.remove(origin);
        }
        found
    }

    /// Makes a connection that carries any number of requests available to other requests.
    pub(crate) fn share(&mut self, origin: &Origin, connection: C) {
        if self.shared.len() >= self.max_idle {
            self.shared.retain(|_, connection| !connection.is_closed());
        }
        if self.shared.len() >= self.max_idle {
            // Requests that use the connection keep it until they end.
            self.shared.pop_first();
        }
        self.shared.insert(origin.clone(), connection);
    }

    /// Keeps a connection whose response was received.
    pub(crate) fn release(&mut self, origin: &Origin, connection: C, now: Instant) {
        if connection.is_http2() || connection.is_closed() || self.max_idle == 0 {
            return;
        }
        while self.count >= self.max_idle {
            self.evict();
        }
        self.idle.entry(origin.clone()).or_default().push(Idle { connection, since: now });
        self.count += 1;
        self.released.push_back(origin.clone());
        // Entries of connections that were taken are removed before they outnumber the others by far.
        if self.released.len() > 4 * self.max_idle.max(16) {
            self.released =
                self.idle.iter().flat_map(|(origin, idle)| vec![origin.clone(); idle.len()]).collect();
        }
    }

    /// Closes the oldest idle connection of the origin that comes first.
    fn evict(&mut self) {
        let Some(origin) = self.released.pop_front() else {
            self.idle.clear();
            self.count = 0;
            return;
        };
        let Some(connections) = self.idle.get_mut(&origin) else { return };
        connections.remove(0);
        self.count -= 1;
        if connections.is_empty() {
            self.idle.remove(&origin);
        }
    }
}
