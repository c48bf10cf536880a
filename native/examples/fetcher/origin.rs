//! URLs and idle connections, as a client of HTTP knows them.

use std::cell::RefCell;
use std::collections::VecDeque;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Request, StatusCode, Uri};

/// The maximum number of idle connections.
const MAX_IDLE: usize = 64;

/// A server, and whether to speak TLS with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    pub has_tls: bool,
    /// The name or address with which the server's certificate is compared.
    pub host: String,
    /// The host and the port.
    pub address: String,
}

/// Returns the server of a URL, and the request for it.
pub fn parse(url: &str) -> Result<(Origin, Request<Empty<Bytes>>), String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    let (has_tls, default) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return Err("neither http nor https".into()),
    };
    let host = uri.host().ok_or("no host")?;
    let port = uri.port_u16();
    let named = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let address = format!("{host}:{}", port.unwrap_or(default));
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(HOST, named).body(Empty::new());
    Ok((Origin { has_tls, host, address }, request.map_err(|error| format!("{error}"))?))
}

/// Prints what became of a URL. Returns true if it was fetched.
pub fn report<E: std::fmt::Display>(url: &str, fetched: Result<(StatusCode, usize), E>) -> bool {
    match fetched {
        Ok((status, size)) => println!("{} {size} {url}", status.as_u16()),
        Err(ref error) => eprintln!("{url}: {error}"),
    }
    fetched.is_ok_and(|(status, _)| status.is_success())
}

/// Connections that wait for their next request, the longest idle one first.
pub struct Idle<S>(RefCell<VecDeque<(Origin, S)>>);

impl<S> Idle<S> {
    pub const fn new() -> Self {
        Self(RefCell::new(VecDeque::new()))
    }

    /// Returns the connection to `origin` that was used last.
    pub fn take(&self, origin: &Origin) -> Option<S> {
        let mut idle = self.0.borrow_mut();
        let index = idle.iter().rposition(|(other, _)| other == origin)?;
        idle.remove(index).map(|(_, sender)| sender)
    }

    /// Keeps a connection for the next request. Above the limit, the one that was idle for longest is closed.
    pub fn keep(&self, origin: Origin, sender: S) {
        let mut idle = self.0.borrow_mut();
        idle.push_back((origin, sender));
        if idle.len() > MAX_IDLE {
            idle.pop_front();
        }
    }
}
