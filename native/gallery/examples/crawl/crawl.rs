//! The state that all crawlers share: the URLs of a site that were seen, and the pages that were fetched.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::error::Error;
use crate::response::{Page, Response, is_path};

/// The maximum number of pages of a crawl. Further links are not followed.
const MAX_PAGES: usize = 10_000;

/// The maximum number of fetches in progress, unless the command line sets another one.
pub const MAX_OPEN: usize = 500;

/// A crawl of one site: its pages by path, and the paths that remain.
pub struct Crawl {
    host: String,
    address: SocketAddr,
    todo: VecDeque<String>,
    /// The number of fetches in progress.
    open: usize,
    max_open: usize,
    /// All paths seen so far. A page that was not fetched yet is `None`.
    pages: BTreeMap<String, Option<Result<Page, Error>>>,
}

/// A page to fetch.
pub struct Request {
    pub address: SocketAddr,
    pub path: String,
    /// The bytes to send.
    pub bytes: Vec<u8>,
}

impl Crawl {
    /// Creates a crawl that begins with `urls`, which name pages of one site. Resolves the name of its host.
    pub fn new<U: AsRef<str>>(urls: &[U], max_open: usize) -> Result<Self, Error> {
        let urls = urls.iter().map(|url| split(url.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let &(host, _) = urls.first().ok_or_else(|| Error::new("no URL is given"))?;
        if let Some((other, _)) = urls.iter().find(|(other, _)| *other != host) {
            return Err(Error::new(format!("{other} is not {host}: a crawl reads one site")));
        }
        let (host, address) = (host.to_owned(), resolve(host)?);
        let mut crawl =
            Self { host, address, todo: VecDeque::new(), open: 0, max_open, pages: BTreeMap::new() };
        urls.into_iter().for_each(|(_, path)| crawl.see(path));
        Ok(crawl)
    }

    /// Adds a path to those that remain, unless it was seen before.
    fn see(&mut self, path: &str) {
        if self.pages.len() < MAX_PAGES && !self.pages.contains_key(path) {
            self.pages.insert(path.to_owned(), None);
            self.todo.push_back(path.to_owned());
        }
    }

    /// Returns the page to fetch next, or `None` if none remains at the moment: the links of pages that are being fetched
    /// may add more. Each request that is returned must be passed to [`fetched`](Self::fetched).
    pub fn next(&mut self) -> Option<Request> {
        if self.open == self.max_open {
            return None;
        }
        let path = self.todo.pop_front()?;
        self.open += 1;
        let bytes = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.host).into_bytes();
        Some(Request { address: self.address, path, bytes })
    }

    /// Stores the result of a fetch, and the links of the page.
    pub fn fetched(&mut self, request: &Request, response: Result<Response, Error>) {
        self.open -= 1;
        let page = response.and_then(Response::parse).map(|(page, links)| {
            links.iter().for_each(|link| self.see(link));
            page
        });
        self.pages.insert(request.path.clone(), Some(page));
    }

    /// Returns true if all pages were fetched.
    pub fn has_succeeded(&self) -> bool {
        self.pages.values().all(|page| matches!(page, Some(Ok(_))))
    }
}

/// Splits a URL into host and path.
fn split(url: &str) -> Result<(&str, &str), Error> {
    let parts = url.strip_prefix("http://").map(|rest| match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    });
    let parts = parts.filter(|(_, path)| is_path(path));
    parts.ok_or_else(|| Error::new(format!("{url:?} is no URL such as http://127.0.0.1:8080/")))
}

/// Returns the address of a host, whose port is 80 unless it names another one.
fn resolve(host: &str) -> Result<SocketAddr, Error> {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let place = if has_port { host.to_owned() } else { format!("{host}:80") };
    let address = place.to_socket_addrs()?.next();
    address.ok_or_else(|| Error::new(format!("{host} has no address")))
}

/// Prints the pages in the order of their paths, and a checksum of all bodies.
impl fmt::Display for Crawl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut checksum = crc32fast::Hasher::new();
        for (path, page) in &self.pages {
            match page {
                Some(Ok(page)) => {
                    checksum.update(&page.checksum.to_le_bytes());
                    let Page { status, size, links, .. } = page;
                    writeln!(f, "{status}  {path:<12} {size:>6} bytes  {links:>2} links")?;
                }
                Some(Err(error)) => writeln!(f, "failed  {path}  {error} [{}]", error.calls())?,
                None => writeln!(f, "missed  {path}")?,
            }
        }
        let pages = self.pages.len();
        writeln!(f, "{pages} pages, checksum {:08x}", checksum.finalize())
    }
}
