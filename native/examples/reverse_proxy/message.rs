//! Requests and responses, as a proxy changes them.

use std::net::SocketAddr;

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri, Version};

/// The body of a response: one of the target's, or a text.
pub type Page = Either<Incoming, Full<Bytes>>;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The headers that concern one connection only, besides those that `Connection` names.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// Makes a request of the client one of the proxy. Returns `None` if the request names no host.
pub fn rewrite(peer: Option<SocketAddr>, mut request: Request<Incoming>) -> Option<Request<Incoming>> {
    // HTTP/2 has the host in the URI.
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str()).ok()?;
        request.headers_mut().insert(HOST, host);
    }
    request.headers().get(HOST)?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().ok()?;
    *request.version_mut() = Version::HTTP_11;
    remove_hop_by_hop(request.headers_mut());
    if let Some(peer) = peer {
        let peer = HeaderValue::from_str(&peer.ip().to_string()).ok()?;
        request.headers_mut().append(FORWARDED_FOR, peer);
    }
    Some(request)
}

/// Removes the headers that concern one connection only.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<_> = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok()).collect();
    let named: Vec<String> =
        named.iter().flat_map(|names| names.split(',')).map(|name| name.trim().to_owned()).collect();
    for name in named.iter().map(String::as_str).chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Creates a response whose text is its status.
pub fn text(status: StatusCode) -> Response<Page> {
    let mut response = Response::new(Either::Right(Full::from(format!("{status}\n"))));
    *response.status_mut() = status;
    response
}
