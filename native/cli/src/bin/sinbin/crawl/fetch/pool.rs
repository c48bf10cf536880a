//! Connections that are used again.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};

use super::{NoBody, Origin};

/// The time after which an idle connection is not used again: servers close theirs at about this time.
const MAX_AGE: Duration = Duration::from_secs(30);

/// A connection that accepts requests.
pub(super) enum Pooled {
    /// A connection that carries one request at a time.
    Http1(http1::SendRequest<NoBody>),
    /// A connection that carries any number of requests. All owners share it.
    Http2(http2::SendRequest<NoBody>),
}

impl Pooled {
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    pub(super) async fn send(&mut self, request: Request<NoBody>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

/// An HTTP/1.1 connection without a request.
struct Idle {
    sender: http1::SendRequest<NoBody>,
    since: Instant,
}

/// The connections of a client that accept requests.
///
/// Of HTTP/1.1, these are the idle ones. The origins whose connections were released the longest time ago lose theirs first.
pub(super) struct Pool {
    max_idle: usize,
    idle: HashMap<Origin, Vec<Idle>>,
    /// The origins of the idle connections, in the order of their release. Entries of connections that were taken stay
    /// until they are the oldest.
    released: VecDeque<Origin>,
    count: usize,
    shared: HashMap<Origin, http2::SendRequest<NoBody>>,
}

impl Pool {
    pub(super) fn new(max_idle: usize) -> Self {
        let (idle, shared) = (HashMap::new(), HashMap::new());
        Self { max_idle, idle, released: VecDeque::new(), count: 0, shared }
    }

    /// Returns a connection to `origin` that accepts a request: of the idle ones, the one that was used last.
    pub(super) fn idle(&mut self, origin: &Origin) -> Option<Pooled> {
        if let Some(sender) = self.shared.get(origin) {
            if !sender.is_closed() {
                return Some(Pooled::Http2(sender.clone()));
            }
            self.shared.remove(origin);
        }
        let connections = self.idle.get_mut(origin)?;
        let mut found = None;
        while let Some(idle) = connections.pop() {
            self.count -= 1;
            if !idle.sender.is_closed() && idle.since.elapsed() < MAX_AGE {
                found = Some(Pooled::Http1(idle.sender));
                break;
            }
        }
        if connections.is_empty() {
            self.idle.remove(origin);
        }
        found
    }

    /// Makes an HTTP/2 connection available to other requests.
    pub(super) fn share(&mut self, origin: &Origin, sender: &http2::SendRequest<NoBody>) {
        if self.shared.len() >= self.max_idle {
            self.shared.retain(|_, sender| !sender.is_closed());
        }
        if self.shared.len() >= self.max_idle
            && let Some(any) = self.shared.keys().next().cloned()
        {
            // Requests that use the connection keep it until they end.
            self.shared.remove(&any);
        }
        self.shared.insert(origin.clone(), sender.clone());
    }

    /// Keeps a connection whose response was received.
    pub(super) fn release(&mut self, origin: &Origin, pooled: Pooled) {
        let Pooled::Http1(sender) = pooled else { return };
        if sender.is_closed() || self.max_idle == 0 {
            return;
        }
        while self.count >= self.max_idle {
            self.evict();
        }
        let idle = Idle { sender, since: Instant::now() };
        self.idle.entry(origin.clone()).or_default().push(idle);
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
