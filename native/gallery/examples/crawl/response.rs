//! Responses, as far as these crawlers understand them.

use crate::error::Error;

/// The maximum size of a response in bytes.
const MAX_SIZE: usize = 1 << 20;

/// The maximum size of a path in bytes. Longer links are not followed.
const MAX_PATH: usize = 1024;

/// The maximum number of headers of a response.
const MAX_HEADERS: usize = 64;

/// The bytes of a response that were received so far.
#[derive(Default)]
pub struct Response(Vec<u8>);

/// A page, as far as a crawl remembers it.
pub struct Page {
    pub status: u16,
    pub size: usize,
    pub checksum: u32,
    /// The number of links to pages of the same site.
    pub links: usize,
}

impl Response {
    /// Appends bytes that were received.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.0.len() + bytes.len() > MAX_SIZE {
            return Err(Error::new(format!("the response has more than {MAX_SIZE} bytes")));
        }
        self.0.extend(bytes);
        Ok(())
    }

    /// Parses the whole response. Returns the page, and the paths of the same site that it links to.
    pub fn parse(mut self) -> Result<(Page, Vec<String>), Error> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(size) = head.parse(&self.0)? else {
            return Err(Error::new("the response ends within its head"));
        };
        let status = head.code.unwrap_or_default();
        let announced = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("Content-Length"));
        let announced = announced.and_then(|header| str::from_utf8(header.value).ok()?.parse().ok());
        let body = self.0.split_off(size);
        match announced {
            Some(length) if body.len() < length => {
                Err(Error::new(format!("the response ends after {} of {length} bytes", body.len())))
            }
            _ => {
                let (size, checksum, links) = (body.len(), crc32fast::hash(&body), links(&body));
                Ok((Page { status, size, checksum, links: links.len() }, links))
            }
        }
    }
}

/// Returns the paths that a page links to. (This is no parser of HTML: it finds `href="/path"`.)
fn links(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let targets = text.split("href=\"").skip(1).filter_map(|rest| rest.split_once('"'));
    let paths = targets.map(|(target, _)| target);
    paths.filter(|path| is_path(path) && !path.starts_with("//")).map(str::to_owned).collect()
}

/// Returns true if `text` can be a path in a request, and be printed on a terminal.
pub fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= MAX_PATH && text.bytes().all(|byte| byte.is_ascii_graphic())
}
