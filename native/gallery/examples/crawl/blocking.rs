//! The first crawler: calls that block. Each line waits for the one before it, and each page for the page before it.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::crawl::{Crawl, Request};
use crate::error::Error;
use crate::response::Response;

pub fn crawl(mut crawl: Crawl) -> Result<Crawl, Error> {
    while let Some(request) = crawl.next() {
        let response = fetch(&request);
        crawl.fetched(&request, response);
    }
    Ok(crawl)
}

/// Fetches a page. The local variables are the whole state of the fetch, and their place on the stack says how far it is.
pub fn fetch(request: &Request) -> Result<Response, Error> {
    let mut socket = TcpStream::connect(request.address)?; // blocks
    socket.write_all(&request.bytes)?; // blocks
    let mut response = Response::default();
    let mut chunk = [0; 4096];
    loop {
        match socket.read(&mut chunk)? {
            0 => return Ok(response),
            count => response.add(&chunk[..count])?,
        }
    }
}
