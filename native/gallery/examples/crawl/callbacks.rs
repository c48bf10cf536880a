//! The third crawler: callbacks. One thread waits for all sockets at once, and calls `connected` and `read_response` when
//! theirs are ready. Neither function has a caller that knows of the page, so a fetch carries its state along.

use crate::crawl::{Crawl, Request};
use crate::error::Error;
use crate::event_loop::Connection;
use crate::response::Response;
use crate::selector::Selector;

pub fn crawl(crawl: Crawl) -> Result<Crawl, Error> {
    Ok(Selector::new(crawl).run(start)?)
}

fn start(selector: &mut Selector) {
    while let Some(request) = selector.crawl.next() {
        Fetcher { request, sent: 0, response: Response::default() }.fetch(selector);
    }
}

/// The variables of a fetch, which a stack would hold if there were one.
struct Fetcher {
    request: Request,
    sent: usize,
    response: Response,
}

impl Fetcher {
    fn fetch(self, selector: &mut Selector) {
        match selector.connect(self.request.address) {
            Ok(socket) => selector.register(socket.writable(), |selector| self.connected(selector, socket)),
            Err(error) => self.failed(selector, error.into()),
        }
    }

    fn connected(mut self, selector: &mut Selector, socket: Connection) {
        match socket.send(&self.request.bytes[self.sent..]) {
            Ok(count) => self.sent += count.unwrap_or(0),
            Err(error) => return self.failed(selector, error.into()), // no `?`: the caller is the loop
        }
        if self.sent < self.request.bytes.len() {
            selector.register(socket.writable(), |selector| self.connected(selector, socket));
        } else {
            selector.register(socket.readable(), |selector| self.read_response(selector, socket));
        }
    }

    fn read_response(mut self, selector: &mut Selector, socket: Connection) {
        let mut chunk = [0; 4096];
        match socket.recv(&mut chunk) {
            Ok(Some(0)) => return selector.crawl.fetched(&self.request, Ok(self.response)),
            Ok(count) => {
                if let Err(error) = self.response.add(&chunk[..count.unwrap_or(0)]) {
                    return self.failed(selector, error);
                }
            }
            Err(error) => return self.failed(selector, error.into()),
        }
        selector.register(socket.readable(), |selector| self.read_response(selector, socket));
    }

    /// Ends the fetch. Without the request, which was passed on to here, the error could not be assigned to a page.
    fn failed(self, selector: &mut Selector, error: Error) {
        selector.crawl.fetched(&self.request, Err(error));
    }
}
